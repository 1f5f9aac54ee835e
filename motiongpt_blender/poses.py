"""Poses of a character as the protocol has them: as it stands, at other frames, and of a pose asset."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence

import bpy
import numpy as np

from ..backend.protocol import messages
from .animation.action import channelbag, plays_strips
from .animation.puppet import read_origin
from .orders import OriginValue
from .rigs.body import bones_above
from .rigs.rig import Rig, carried, read_ends, read_pose, read_rig
from .steps import Steps

_AT_ONCE = 16  # frames that are looked at in one step; making a scene to look at them in takes longer than they do
_PLACES = ("location", "rotation_", "scale")


def pose_now(armature: bpy.types.Object, context: bpy.types.Context) -> messages.Pose:
    """The pose that the character stands in at the current frame, keyed or not."""
    return _read(read_rig(armature), armature, context.scene.frame_current, context.evaluated_depsgraph_get())


def poses_at(armature: bpy.types.Object, frames: Iterable[int], travelling: bool = False) -> list[messages.Pose]:
    """The poses that the character's animation gives it at frames of the scene.

    They are those in the object's own space; if `travelling`, in that of the first frame, from which the object may go on.
    """
    poses, places = [], []
    for pose, shown in _go_through(armature, frames):
        poses.append(pose)
        places.append(np.array(shown.matrix_local))
    if not travelling or np.allclose(places, places[0]):
        return poses
    moved = _from_first(armature, poses, places)
    return [messages.Pose(pose.frame, *there) for pose, *there in zip(poses, *moved, strict=True)]


def read_motion(armature: bpy.types.Object, frames: Iterable[int]) -> tuple[np.ndarray, np.ndarray]:
    """Canonical rotations `(T, 22, 4)` and root translations `(T, 3)`, in the place where the armature is at the first frame."""
    poses, places = [], []
    for pose, shown in _go_through(armature, frames):
        poses.append(pose)
        places.append(np.array(shown.matrix_world))
    return _from_first(armature, poses, places)


def _go_through(armature: bpy.types.Object, frames: Iterable[int]) -> Iterator[tuple[messages.Pose, bpy.types.Object]]:
    """The pose that the character's animation gives it at each frame of the scene, and the evaluated object."""
    rig = read_rig(armature)
    with scene_with(armature) as scene:
        for frame in frames:
            scene.frame_set(frame)
            depsgraph = scene.view_layers[0].depsgraph
            yield _read(rig, armature, frame, depsgraph), armature.evaluated_get(depsgraph)


def _read(rig: Rig, armature: bpy.types.Object, frame: int, depsgraph: bpy.types.Depsgraph) -> messages.Pose:
    return messages.Pose(frame, *read_pose(rig, armature, depsgraph), ends=read_ends(rig, armature, depsgraph))


def _from_first(armature: bpy.types.Object, poses: Sequence[messages.Pose], places: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Poses of an object that goes from place to place, as one that stays at the first of `places (T, 4, 4)` would have them."""
    local, root = np.stack([pose.rotations for pose in poses]), np.stack([pose.root_translation for pose in poses])
    return carried(read_rig(armature), local, root, np.linalg.inv(places[0]) @ np.array(places))


def may_be_carried(armature: bpy.types.Object, bone: str) -> bool:
    """Whether anything but its own channels may move a bone from frame to frame: the object, or the bones that it goes along with."""
    above = [other.name for other in bones_above(armature.pose.bones[bone])]
    if armature.constraints or any(armature.pose.bones[name].constraints for name in above):
        return True
    data, bag = armature.animation_data, channelbag(armature)
    if data is None:
        return False
    if plays_strips(armature):
        return True
    theirs = tuple(f'pose.bones["{bpy.utils.escape_identifier(name)}"]' for name in above)
    paths = [curve.data_path for curve in (*data.drivers, *(bag.fcurves if bag else ()))]
    return any(path.startswith(theirs) or path.removeprefix("delta_").startswith(_PLACES) for path in paths)


def carried_along(find: Callable[[], bpy.types.Object], bone: str, frames: Sequence[int]) -> Steps[tuple[np.ndarray, np.ndarray]]:
    """How a bone is taken along at frames of the scene, looked up in steps: matrices `(T, 4, 4)`.

    They are those of the object, in its own space of the first frame, and of the bone's parent in the object.
    """
    places, parents = [], []
    for first in range(0, len(frames), _AT_ONCE):
        yield
        armature = find()
        with scene_with(armature) as scene:
            for frame in frames[first : first + _AT_ONCE]:
                scene.frame_set(frame)
                shown = armature.evaluated_get(scene.view_layers[0].depsgraph)
                parent = shown.pose.bones[bone].parent
                places.append(np.array(shown.matrix_local))
                parents.append(np.array(parent.matrix) if parent else np.eye(4))
    return np.linalg.inv(places[0]) @ np.array(places), np.array(parents)


def origin_at(armature: bpy.types.Object, frame: int) -> tuple[OriginValue, ...]:
    """How the character's animation places that at a frame of the scene which takes it over the floor; empty if its hips do."""
    with scene_with(armature) as scene:
        scene.frame_set(frame)
        return read_origin(armature, scene.view_layers[0].depsgraph)


def pose_of_asset(armature: bpy.types.Object, action: bpy.types.Action, frame: int) -> messages.Pose:
    """The pose that a pose asset gives the character, to be met at `frame` of the scene; bones it does not name stay as they are."""
    double = armature.copy()
    try:
        double.animation_data_clear()
        for bone in double.pose.bones:
            bone.select = False  # an asset is applied to what is selected, or to all where nothing is
        double.pose.apply_pose_from_action(action, evaluation_time=action.frame_range[0])
        with scene_with(double) as scene:
            scene.frame_set(frame)
            return _read(read_rig(double), double, frame, scene.view_layers[0].depsgraph)
    finally:
        bpy.data.objects.remove(double)


def marked_frames(scene: bpy.types.Scene) -> list[int]:
    """The frames of the selected timeline markers, or else of those called a pose."""
    markers = [marker for marker in scene.timeline_markers if marker.select]
    markers = markers or [marker for marker in scene.timeline_markers if "pose" in marker.name.lower()]
    return sorted({marker.frame for marker in markers})


@contextlib.contextmanager
def scene_with(obj: bpy.types.Object) -> Iterator[bpy.types.Scene]:
    """A scene that holds `obj` alone: its frames can be gone through fast, and what is not keyed stays in the animator's own scene.

    What moves it without being in there is evaluated too.
    """
    scene = bpy.data.scenes.new("MotionGPT")
    try:
        scene.collection.objects.link(obj)
        yield scene
    finally:
        bpy.data.scenes.remove(scene)
