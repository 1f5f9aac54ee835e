"""Build the extension's zip files, one for each platform, with Blender's own tool, and have that tool check them.

Needs an interpreter that has the bpy module. The path of this machine's zip is the only thing said on stdout.
"""

import hashlib
import importlib.util
import platform
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
WHEEL_LOCK = ROOT / "wheels" / "requirements.txt"
SYSTEMS = {"Linux": "linux", "Windows": "windows", "Darwin": "macos"}
MACHINES = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}


def main() -> int:
    manifest = tomllib.loads((ROOT / "blender_manifest.toml").read_text(encoding="utf-8"))
    for wheel in manifest["wheels"]:
        fetch_wheel(ROOT / wheel)
    out = ROOT / "build" / "extension"
    for zip_file in build(out):
        run_blender_tool("validate", str(zip_file))
    system, machine = SYSTEMS[platform.system()], MACHINES[platform.machine().lower()]
    print(out / f"{manifest['id']}-{manifest['version']}-{system}_{machine}.zip")
    return 0


def fetch_wheel(wheel: Path) -> None:
    """Have pip fetch a wheel into its place, checked against the lock, unless it already lies there."""
    if wheel.is_file() and is_locked(wheel):
        return
    print(f"Fetching {wheel.name}", file=sys.stderr)
    tags = [argument for tag in wheel.stem.split("-")[-1].split(".") for argument in ("--platform", tag)]
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    pip = [sys.executable, "-m", "pip", "download", *options, *tags, "--dest", str(wheel.parent), "-r", str(WHEEL_LOCK)]
    subprocess.run(pip, check=True, stdout=sys.stderr)
    if not wheel.is_file():
        raise SystemExit(f"The lock {WHEEL_LOCK} does not give {wheel.name}. The manifest and the lock must name the same version.")


def is_locked(wheel: Path) -> bool:
    hashes = re.findall(r"--hash=sha256:(\w+)", WHEEL_LOCK.read_text(encoding="utf-8"))
    return hashlib.sha256(wheel.read_bytes()).hexdigest() in hashes


def build(out: Path) -> list[Path]:
    """The zip files built, in the folder `out`, which holds no others afterwards."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as fresh:
        run_blender_tool("build", "--source-dir", str(ROOT), "--output-dir", fresh, "--split-platforms")
        for old in out.glob("*.zip"):
            old.unlink()
        return [zip_file.replace(out / zip_file.name) for zip_file in sorted(Path(fresh).glob("*.zip"))]


def run_blender_tool(command: str, *arguments: str) -> None:
    blender = find_blender()
    tool = blender / "addons_core" / "bl_pkg" / "cli" / "blender_ext.py"
    tags = blender / "modules" / "_bpy_internal" / "extensions" / "tags.py"
    subprocess.run([sys.executable, str(tool), command, "--valid-tags", str(tags), *arguments], check=True, stdout=sys.stderr)


def find_blender() -> Path:
    """The folder of scripts inside the installed bpy module."""
    spec = importlib.util.find_spec("bpy")
    if spec is None or spec.origin is None:
        raise SystemExit("This needs Blender's own tool: run it with an interpreter that has the bpy module.")
    return next(Path(spec.origin).parent.glob("*/scripts"))


if __name__ == "__main__":
    raise SystemExit(main())
