#!/bin/sh
# Print a working interpreter of a version, for example 3.11; nothing if there is none.
# A name on the PATH may be a shim that does not work, so each candidate is asked.
for python in "python$1" python3 python "$HOME"/.pyenv/versions/"$1".*/bin/python3; do
    if [ "$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = "$1" ]; then
        command -v "$python"
        exit
    fi
done
