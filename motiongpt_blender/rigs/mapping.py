"""Which bone of an armature object is which joint: as the animator said, else as detection finds."""

import bpy
import numpy as np

from ...backend.motion.skeleton import SMPL
from ...backend.protocol.errors import Code, MotionGPTError
from .bones import Bones, missing_joints, say_joint, spread_spine
from .detection import Mapping, begin_by_hand, detect, find_shared, fitting_controls, match_map, mirror_bones
from .presets import find_map, remove_map, rig_maps, save_map

__all__ = ["Mapping", "find_mapping"]

_KEPT = 64  # armatures whose detection is remembered

_detected: dict[tuple, Mapping | MotionGPTError] = {}


def find_mapping(armature: bpy.types.Object) -> Mapping:
    """Which bones of the armature object are joints; MotionGPTError names what is missing."""
    if armature.motiongpt.kind:
        return _own_mapping(armature)
    key = _look(armature)
    if key not in _detected:
        _remember(key, armature)
    outcome = _detected[key]
    if isinstance(outcome, MotionGPTError):
        raise outcome.with_traceback(None)
    return outcome


def is_known(armature: bpy.types.Object) -> bool:
    """Whether `find_mapping` would answer without looking at the bones anew."""
    return bool(armature.motiongpt.kind) or _look(armature) in _detected


def keep_detected(armature: bpy.types.Object) -> Mapping:
    """Make what detection finds now the animator's own mapping, to be edited, even where it does not find all that is needed."""
    bones = read_bones(armature)
    try:
        mapping = detect(armature.name, bones, rig_maps())
    except MotionGPTError:
        mapping = begin_by_hand(bones, rig_maps())
    _keep(armature, mapping)
    return mapping


def keep_map(armature: bpy.types.Object, name: str) -> Mapping:
    """Make what the map called `name` finds the animator's own mapping; MotionGPTError names what is missing."""
    mapping = match_map(armature.name, read_bones(armature), find_map(name))
    _keep(armature, mapping)
    return mapping


def forget_own(armature: bpy.types.Object) -> None:
    """Leave the mapping to detection again."""
    armature.motiongpt.kind = ""
    _detected.clear()


def mirror_own(armature: bpy.types.Object, source: str) -> None:
    """Give the other side the twins of the bones of the side `source`, left or right; MotionGPTError names those without a twin."""
    character = armature.motiongpt
    if not character.kind:
        keep_detected(armature)
    bones = {joint: getattr(character.bones, joint) for joint in SMPL.joints}
    for joint, bone in mirror_bones(armature.name, read_bones(armature), bones, source).items():
        setattr(character.bones, joint, bone)


def save_mapping(armature: bpy.types.Object, name: str) -> None:
    """Save the armature's mapping as a map called `name`, by which rigs like it are known from now on."""
    save_map(name, find_mapping(armature))
    _detected.clear()


def remove_saved(name: str) -> None:
    """Remove the animator's own map `name`; MotionGPTError if there is none."""
    remove_map(name)
    _detected.clear()


def read_bones(armature: bpy.types.Object) -> Bones:
    """The armature's bones at rest."""
    bones = armature.data.bones
    index = {name: i for i, name in enumerate(bones.keys())}
    parents = tuple(index[bone.parent.name] if bone.parent else -1 for bone in bones)
    return Bones(tuple(index), parents, _places(armature, "head_local"), _places(armature, "tail_local"))


def _own_mapping(armature: bpy.types.Object) -> Mapping:
    character = armature.motiongpt
    bones = {joint: name for joint in SMPL.joints if (name := getattr(character.bones, joint))}
    remedy = "Choose its bones under Character, or detect them again."
    if gone := [name for name in bones.values() if name not in armature.data.bones]:
        raise MotionGPTError(Code.INVALID_PARAMS, f"{armature.name} has no bones {', '.join(gone)} any more.", remedy)
    if missing := missing_joints(bones):
        raise MotionGPTError(Code.INVALID_PARAMS, f"{armature.name} has no bone for {', '.join(map(say_joint, missing))}.", remedy)
    if shared := find_shared({joint: (name,) for joint, name in bones.items()}):
        bone, first, second = shared
        message = f"{armature.name} has the bone {bone} for {say_joint(first)} and for {say_joint(second)}."
        raise MotionGPTError(Code.INVALID_PARAMS, message, "Choose another for one of them under Character, or none where it has none.")
    described = next((rig_map.controls for rig_map in rig_maps() if rig_map.name == character.kind), None)
    controls = fitting_controls(described, bones, armature.data.bones.keys())
    places = spread_spine(bones)
    return Mapping(character.kind, character.confidence, {places[joint]: bone for joint, bone in bones.items()}, *controls)


def _keep(armature: bpy.types.Object, mapping: Mapping) -> None:
    character = armature.motiongpt
    character.kind, character.confidence = mapping.kind, mapping.confidence
    for joint in SMPL.joints:
        setattr(character.bones, joint, mapping.bones.get(joint, ""))


def _remember(key: tuple, armature: bpy.types.Object) -> None:
    if len(_detected) >= _KEPT:
        _detected.clear()
    try:
        _detected[key] = detect(armature.name, read_bones(armature), rig_maps())
    except MotionGPTError as error:
        _detected[key] = error


def _look(armature: bpy.types.Object) -> tuple:
    """What tells quickly whether an armature is as it was: its name, the names of its bones from the top down, and their places."""
    return armature.name, tuple(armature.data.bones.keys()), _places(armature, "head_local").tobytes()


def _places(armature: bpy.types.Object, end: str) -> np.ndarray:
    places = np.empty(3 * len(armature.data.bones), dtype=np.float32)
    armature.data.bones.foreach_get(end, places)
    return places.reshape(-1, 3).astype(np.float64)
