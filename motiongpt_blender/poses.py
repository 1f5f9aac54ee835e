"""Poses of a character as the protocol has them: as it stands, at other frames, and of a pose asset."""

import contextlib
from collections.abc import Iterable, Iterator

import bpy

from ..backend.protocol import messages
from .animation.puppet import read_origin
from .orders import OriginValue
from .rigs.rig import read_pose, read_rig


def pose_now(armature: bpy.types.Object, context: bpy.types.Context) -> messages.Pose:
    """The pose that the character stands in at the current frame, keyed or not."""
    pose = read_pose(read_rig(armature), armature, context.evaluated_depsgraph_get())
    return messages.Pose(context.scene.frame_current, *pose)


def poses_at(armature: bpy.types.Object, frames: Iterable[int]) -> list[messages.Pose]:
    """The poses that the character's animation gives it at frames of the scene."""
    rig, poses = read_rig(armature), []
    with _scene_of(armature) as scene:
        for frame in frames:
            scene.frame_set(frame)
            poses.append(messages.Pose(frame, *read_pose(rig, armature, scene.view_layers[0].depsgraph)))
    return poses


def origin_at(armature: bpy.types.Object, frame: int) -> tuple[OriginValue, ...]:
    """How the character's animation places that at a frame of the scene which takes it over the floor; empty if its hips do."""
    with _scene_of(armature) as scene:
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
        with _scene_of(double) as scene:
            scene.frame_set(frame)
            pose = read_pose(read_rig(double), double, scene.view_layers[0].depsgraph)
    finally:
        bpy.data.objects.remove(double)
    return messages.Pose(frame, *pose)


def marked_frames(scene: bpy.types.Scene) -> list[int]:
    """The frames of the selected timeline markers, or else of those called a pose."""
    markers = [marker for marker in scene.timeline_markers if marker.select]
    markers = markers or [marker for marker in scene.timeline_markers if "pose" in marker.name.lower()]
    return sorted({marker.frame for marker in markers})


@contextlib.contextmanager
def _scene_of(obj: bpy.types.Object) -> Iterator[bpy.types.Scene]:
    """A scene that holds `obj` alone: its frames can be gone through fast, and what is not keyed stays in the animator's own scene."""
    scene = bpy.data.scenes.new("MotionGPT")
    try:
        scene.collection.objects.link(obj)
        yield scene
    finally:
        bpy.data.scenes.remove(scene)
