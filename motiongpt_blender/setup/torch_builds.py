"""Which build of PyTorch suits the hardware; the builds that there are, and where, are data."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from ...backend.protocol.errors import Code, MotionGPTError
from .hardware import Hardware


@dataclass(frozen=True)
class TorchBuild:
    """A build, the index it comes from (empty: the default one), what it runs on, and the room it takes while it is installed.

    `compute` is the range of NVIDIA's compute capabilities that it has kernels for, `driver` the oldest driver per system.
    """

    name: str
    title: str
    index: str
    platforms: tuple[str, ...]
    gigabytes: float
    compute: tuple[float, float] = (0.0, 0.0)
    driver: dict[str, list[int]] = field(default_factory=dict)
    gfx: tuple[str, ...] = ()

    @property
    def needs_card(self) -> bool:
        return bool(self.driver or self.gfx)

    def has_kernels_for(self, hardware: Hardware) -> bool:
        if self.driver:
            return self.compute[0] <= hardware.compute <= self.compute[1]
        return not self.gfx or any(kind in self.gfx for kind in hardware.gfx)

    def suits(self, hardware: Hardware) -> bool:
        oldest = tuple(self.driver.get(hardware.system, ()))
        return self.has_kernels_for(hardware) and hardware.driver >= oldest


BUILDS = [TorchBuild(**facts) for facts in json.loads((Path(__file__).parent / "torch_builds.json").read_text(encoding="utf-8"))]


def choose(hardware: Hardware, only_processor: bool) -> list[TorchBuild]:
    """The builds to try, best first: one for the graphics card if there is one that suits, and one for the processor.

    MotionGPTError where there is no PyTorch for this platform at all.
    """
    there = [build for build in BUILDS if hardware.platform in build.platforms]
    if not there:
        raise MotionGPTError(
            Code.SETUP_FAILED,
            f"There is no PyTorch for this computer ({hardware.platform}).",
            "Use a computer with an x64 processor, or a Mac with an Apple processor.",
        )
    suitable = [] if only_processor else [build for build in there if build.needs_card and build.suits(hardware)]
    return suitable[:1] + [build for build in there if not build.needs_card]


def remark(hardware: Hardware) -> str:
    """What the animator should know about a card that cannot be used as it is; empty if there is nothing to say."""
    cards = [b for b in BUILDS if b.driver and hardware.platform in b.platforms and b.has_kernels_for(hardware)]
    if not cards or any(build.suits(hardware) for build in cards):
        return ""
    found = ".".join(map(str, hardware.driver))
    needed = min(build.driver[hardware.system][0] for build in cards)
    return (
        f"The NVIDIA driver {found} is too old for PyTorch, so the processor is used. Install driver {needed} or newer, then set up again."
    )
