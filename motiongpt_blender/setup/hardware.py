"""What this computer has to compute with, found without importing anything heavy."""

import contextlib
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_SYSTEMS = {"win32": "windows", "darwin": "macos"}
_MACHINES = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64"}
_KFD = Path("/sys/class/kfd/kfd/topology/nodes")
_QUERY = ("--query-gpu=driver_version,compute_cap", "--format=csv,noheader")
_SECONDS = 20.0


@dataclass(frozen=True)
class Hardware:
    """`driver` is that of NVIDIA cards, `compute` their highest capability, `gfx` are the kinds of AMD cards; else empty or 0."""

    platform: str
    driver: tuple[int, ...] = ()
    compute: float = 0.0
    gfx: tuple[str, ...] = ()

    @property
    def system(self) -> str:
        return self.platform.partition("-")[0]


def platform_name() -> str:
    """As the extension's manifest spells it, for example `linux-x64`."""
    machine = platform.machine().lower()
    return f"{_SYSTEMS.get(sys.platform, sys.platform)}-{_MACHINES.get(machine, machine)}"


def detect() -> Hardware:
    """Ask the drivers. Takes up to seconds, so it is for a thread."""
    driver, compute = read_nvidia(_ask_nvidia())
    return Hardware(platform_name(), driver, compute, _amd_kinds())


def read_nvidia(answer: str) -> tuple[tuple[int, ...], float]:
    """The driver's version and the highest compute capability in the answer of nvidia-smi: a line `580.95.05, 12.0` for each card."""
    rows = re.findall(r"^\s*(\d+(?:\.\d+)+)\s*,\s*(\d+\.\d+)\s*$", answer, re.MULTILINE)
    if not rows:
        return (), 0.0
    return tuple(int(part) for part in rows[0][0].split(".")), max(float(compute) for _, compute in rows)


def gfx_name(version: int) -> str:
    """The kernel's number of an AMD card as a name: 110001 is gfx1101, 90010 is gfx90a."""
    return f"gfx{version // 10000}{version // 100 % 100:x}{version % 100:x}"


def _ask_nvidia() -> str:
    for command in _nvidia_commands():
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            flags = subprocess.CREATE_NO_WINDOW if sys.platform == "win32" else 0
            options = {"capture_output": True, "text": True, "encoding": "utf-8", "errors": "replace"}
            return subprocess.run([command, *_QUERY], timeout=_SECONDS, creationflags=flags, check=True, **options).stdout
    return ""


def _nvidia_commands() -> list[str]:
    """Where the driver puts the command. A Blender started from a desktop may have a PATH without it."""
    if sys.platform == "win32":
        places = [Path(os.environ.get("SYSTEMROOT", r"C:\Windows")) / "System32" / "nvidia-smi.exe"]
    else:
        places = [Path("/usr/bin/nvidia-smi"), Path("/usr/lib/wsl/lib/nvidia-smi"), Path("/run/current-system/sw/bin/nvidia-smi")]
    found = [str(place) for place in places if place.is_file()]
    return found + [path for path in [shutil.which("nvidia-smi")] if path and path not in found]


def _amd_kinds() -> tuple[str, ...]:
    kinds = []
    for properties in sorted(_KFD.glob("*/properties")):
        with contextlib.suppress(OSError):
            text = properties.read_text(encoding="utf-8")
            versions = [int(number) for number in re.findall(r"^gfx_target_version (\d+)", text, re.MULTILINE)]
            kinds += [gfx_name(version) for version in versions if version]  # 0 is the processor
    return tuple(kinds)
