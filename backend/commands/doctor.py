"""`motiongpt doctor`: what works on this computer and what does not, a line each."""

import argparse
import importlib.metadata
import importlib.util
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).parents[1]
_DISK_GB = 1.0
_MEMORY_GB = 2.0


@dataclass(frozen=True)
class Finding:
    """`works` is what was looked for; what is not `essential` is not needed to make a clip."""

    works: bool
    text: str
    essential: bool = True


def add_parser(subparsers: Any) -> None:
    subparsers.add_parser("doctor", help="say what works here and what does not")


def run(args: argparse.Namespace) -> int:
    failed = False
    for finding in examine():
        failed |= finding.essential and not finding.works
        mark = "ok  " if finding.works else "FAIL" if finding.essential else "note"
        print(f"{mark}  {finding.text}", flush=True)
    return int(failed)


def examine() -> Iterator[Finding]:
    """Every check in turn; one that cannot even be made is a finding as well."""
    for check in (_python, _packages, _device, _base_model, _bundle, _disk, _memory, _uv):
        try:
            yield from check()
        except Exception as error:
            yield Finding(False, f"{check.__name__.strip('_').replace('_', ' ')}: {error}")


def _python() -> Iterator[Finding]:
    yield Finding(sys.version_info >= (3, 11), f"Python {sys.version.split()[0]} ({sys.executable})")


def _packages() -> Iterator[Finding]:
    lines = (_PACKAGE / "requirements.txt").read_text(encoding="utf-8").splitlines()
    for name, _, wanted in (line.partition("==") for line in lines if "==" in line):
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield Finding(False, f"{name} is missing; install {name}=={wanted}")
            continue
        same = found.partition("+")[0] == wanted
        yield Finding(same, f"{name} {found}" + ("" if same else f", not the {wanted} that this was tested with"), essential=False)


def _device() -> Iterator[Finding]:
    import torch

    from ..models.devices import choose, dtype_for

    device = choose("auto")
    ones = torch.ones(8, 8, device=device, dtype=dtype_for(device))
    works = bool((ones @ ones == 8).all())  # a build that does not suit the hardware fails here, not when it is chosen
    yield Finding(works, f"computes on {device} in {str(ones.dtype).removeprefix('torch.')}, {torch.get_num_threads()} threads")


def _base_model() -> Iterator[Finding]:
    from ..models.base import SMOLLM2, converted_folder, find_base

    if not converted_folder(SMOLLM2).is_dir() and importlib.util.find_spec(SMOLLM2.package):
        yield Finding(True, f"base model {SMOLLM2.name}: there; `motiongpt base` or the first use makes it ready")
        return
    yield Finding(True, f"base model {SMOLLM2.name}: {find_base(SMOLLM2)}")


def _bundle() -> Iterator[Finding]:
    from ..models.bundle import open_bundle
    from ..request import LONGEST_SECONDS

    bundle = open_bundle()
    told = f"clips up to {LONGEST_SECONDS:g} s, {bundle.max_seconds:g} s at a time"
    yield Finding(True, f"bundle {bundle.name}: whole and unaltered, {told}, {bundle.folder}")


def _disk() -> Iterator[Finding]:
    from ..models.base import cache_folder

    folder = cache_folder()
    existing = next(place for place in (folder, *folder.parents) if place.is_dir())
    free = shutil.disk_usage(existing).free / 1e9
    yield Finding(free >= _DISK_GB, f"{free:.1f} GB free on the disk of {folder}", essential=False)


def _memory() -> Iterator[Finding]:
    import psutil

    free = psutil.virtual_memory().available / 1e9
    yield Finding(free >= _MEMORY_GB, f"{free:.1f} GB of memory free", essential=False)


def _uv() -> Iterator[Finding]:
    wheels = sorted((_PACKAGE.parent / "wheels").glob("uv-*.whl"))
    told = wheels[0].name if len(wheels) == 1 else f"{len(wheels)} wheels" if wheels else "no wheel; only the built extension has one"
    yield Finding(bool(wheels), f"uv, which sets the backend up from Blender: {told}", essential=False)
