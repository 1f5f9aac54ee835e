"""Which bone of an armature is which joint: humanoid maps are data, one file each in `maps/`."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import bpy

from ...backend.motion.skeleton import SMPL
from ...backend.protocol.errors import Code, MotionGPTError
from .controls import Controls, read_controls

_FOLDER = Path(__file__).parent / "maps"


@dataclass(frozen=True)
class Mapping:
    """The bones of an armature that are joints: `bones` from joint to bone name, read and (without `controls`) written.

    `kind` is the map's name, `confidence` 0 to 1. Spine joints (but one), neck, collars and feet may be missing. `controls` are
    the bones that are written in place of `bones` on rigs that have such.
    """

    kind: str
    confidence: float
    bones: dict[str, str]
    controls: Controls | None


@dataclass(frozen=True)
class RigMap:
    """One kind of rig: the bone of each joint by name, whatever the case, where any of `prefixes` may stand before all names."""

    name: str
    prefixes: tuple[str, ...]
    bones: dict[str, str]
    controls: Controls | None


@lru_cache
def rig_maps() -> tuple[RigMap, ...]:
    """All maps there are, by file name."""
    fields = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(_FOLDER.glob("*.json"))]
    return tuple(
        RigMap(f["name"], tuple(f["prefixes"]), f["bones"], read_controls(f["controls"]) if "controls" in f else None) for f in fields
    )


def find_mapping(armature: bpy.types.Object) -> Mapping:
    """Which bones of the armature object are joints; MotionGPTError names what is missing."""
    return _by_name(armature.name, armature.data.bones.keys())


def _by_name(armature: str, bones: Iterable[str]) -> Mapping:
    actual = {name.lower(): name for name in bones}
    closest = [*SMPL.joints]
    for rig_map in rig_maps():
        for prefix in rig_map.prefixes:
            wanted = {joint: (prefix + name).lower() for joint, name in rig_map.bones.items()}
            missing = [prefix + rig_map.bones[joint] for joint, name in wanted.items() if name not in actual]
            if not missing:
                return Mapping(rig_map.name, 1.0, {joint: actual[name] for joint, name in wanted.items()}, rig_map.controls)
            closest = min(closest, missing, key=len)
    raise MotionGPTError(
        Code.INVALID_PARAMS,
        f"{armature} lacks the bones {', '.join(closest)}.",
        "Rename its bones to the SMPL names, or use the character of Add > Armature > SMPL Character.",
    )
