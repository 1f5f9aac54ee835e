"""Which bone of an armature object is which joint. Maps are data: one file each in `maps/` and in the animator's own folder."""

from functools import lru_cache
from pathlib import Path

import bpy
import numpy as np

from ...backend.protocol.errors import MotionGPTError
from .bones import Bones
from .detection import Mapping, RigMap, detect, load_map

__all__ = ["Mapping", "find_mapping"]

_FOLDER = Path(__file__).parent / "maps"
_KEPT = 64  # armatures whose mapping is remembered

_known: dict[tuple[tuple[str, ...], bytes], Mapping | MotionGPTError] = {}


def find_mapping(armature: bpy.types.Object) -> Mapping:
    """Which bones of the armature object are joints; MotionGPTError names what is missing."""
    key = _look(armature)
    if key not in _known:
        if len(_known) >= _KEPT:
            _known.clear()
        try:
            _known[key] = detect(armature.name, read_bones(armature), rig_maps())
        except MotionGPTError as error:
            _known[key] = error
    known = _known[key]
    if isinstance(known, MotionGPTError):
        raise known.with_traceback(None)
    return known


def read_bones(armature: bpy.types.Object) -> Bones:
    """The armature's bones at rest."""
    bones = armature.data.bones
    index = {name: i for i, name in enumerate(bones.keys())}
    parents = tuple(index[bone.parent.name] if bone.parent else -1 for bone in bones)
    return Bones(tuple(index), parents, _places(armature, "head_local"), _places(armature, "tail_local"))


@lru_cache
def rig_maps() -> tuple[RigMap, ...]:
    """All maps there are, by file name."""
    return tuple(load_map(path) for path in sorted(_FOLDER.glob("*.json")))


def _look(armature: bpy.types.Object) -> tuple[tuple[str, ...], bytes]:
    """What tells quickly whether an armature is still as it was: the names of its bones, from the top down, and their places."""
    return tuple(armature.data.bones.keys()), _places(armature, "head_local").tobytes()


def _places(armature: bpy.types.Object, end: str) -> np.ndarray:
    places = np.empty(3 * len(armature.data.bones), dtype=np.float32)
    armature.data.bones.foreach_get(end, places)
    return places.reshape(-1, 3).astype(np.float64)
