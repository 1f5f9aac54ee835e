"""Which bone of an armature is which joint: humanoid maps are data, one file each in `maps/`."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ...backend.motion.skeleton import SMPL
from ...backend.protocol.errors import Code, MotionGPTError

_FOLDER = Path(__file__).parent / "maps"


@dataclass(frozen=True)
class RigMap:
    """One kind of rig: the bone of each joint by name, whatever the case, where any of `prefixes` may stand before all names."""

    name: str
    prefixes: tuple[str, ...]
    bones: dict[str, str]


@lru_cache
def rig_maps() -> tuple[RigMap, ...]:
    """All maps there are, by file name."""
    fields = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(_FOLDER.glob("*.json"))]
    return tuple(RigMap(f["name"], tuple(f["prefixes"]), f["bones"]) for f in fields)


def find_bones(armature: str, bones: Iterable[str]) -> tuple[str, ...]:
    """Of the bone names of the object called `armature` those of the 22 joints; MotionGPTError names what is missing."""
    actual = {name.lower(): name for name in bones}
    closest = [*SMPL.joints]
    for rig_map in rig_maps():
        for prefix in rig_map.prefixes:
            wanted = [prefix + rig_map.bones[joint] for joint in SMPL.joints]
            missing = [name for name in wanted if name.lower() not in actual]
            if not missing:
                return tuple(actual[name.lower()] for name in wanted)
            closest = min(closest, missing, key=len)
    raise MotionGPTError(
        Code.INVALID_PARAMS,
        f"{armature} lacks the bones {', '.join(closest)}.",
        "Rename its bones to the SMPL names, or use the character of Add > Armature > SMPL Character.",
    )
