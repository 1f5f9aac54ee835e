"""The `uv` that the extension carries, and how it is called."""

import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

from ...backend.protocol.errors import Code, MotionGPTError
from ..connection.process import clean_environment
from .hardware import platform_name
from .place import Place

_TAGS = {  # as wheels spell the platforms
    "linux-x64": "manylinux_2_17_x86_64",
    "windows-x64": "win_amd64",
    "windows-arm64": "win_arm64",
    "macos-x64": "x86_64",
    "macos-arm64": "macosx_11_0_arm64",
}


def unpack(root: Path, place: Place) -> Path:
    """The program, unpacked from the wheel of this platform into the backend's folder unless it lies there already."""
    wheel = _wheel(root)
    program = place.folder / "uv" / wheel.name.split("-")[1] / ("uv.exe" if sys.platform == "win32" else "uv")
    if program.is_file():
        return program
    program.parent.mkdir(parents=True, exist_ok=True)
    temporary = program.with_suffix(".tmp")
    with zipfile.ZipFile(wheel) as archive:
        member = next(name for name in archive.namelist() if name.endswith(f".data/scripts/{program.name}"))
        temporary.write_bytes(archive.read(member))
    temporary.chmod(0o755)
    temporary.replace(program)
    return program


def environment(place: Place) -> Mapping[str, str]:
    """All that uv writes stays in the backend's folder; certificates are those that the system trusts."""
    inherited = {name: value for name, value in clean_environment().items() if name not in ("UV_PYTHON", "CONDA_PREFIX")}
    return {
        "UV_SYSTEM_CERTS": "1",
        "UV_HTTP_TIMEOUT": "60",
        **inherited,
        "UV_CACHE_DIR": str(place.folder / "cache"),
        "UV_PYTHON_INSTALL_DIR": str(place.folder / "python"),
        "UV_PYTHON_INSTALL_BIN": "0",
        "UV_PYTHON_INSTALL_REGISTRY": "0",
        "NO_COLOR": "1",
    }


def _wheel(root: Path) -> Path:
    tag = _TAGS.get(platform_name(), platform_name())
    wheels = sorted((root / "wheels").glob("uv-*.whl"), reverse=True)
    matching = [wheel for wheel in wheels if tag in wheel.name]
    if matching or len(wheels) == 1:  # an installed extension has the one for the Blender that it was made for, emulated or not
        return (matching or wheels)[0]
    raise MotionGPTError(
        Code.SETUP_FAILED,
        f"The extension carries no uv for this computer ({platform_name()}).",
        "Install the extension's zip that is made for this platform.",
    )
