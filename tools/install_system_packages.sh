#!/bin/sh
# Install Debian packages where that is allowed, otherwise print the line that does.
install="apt-get install --yes --no-install-recommends $*"
if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    apt-get update && $install
elif command -v apt-get >/dev/null && sudo -n true 2>/dev/null; then
    sudo apt-get update && sudo $install
else
    echo "System packages are missing. Install them with:  sudo $install" >&2
    exit 1
fi
