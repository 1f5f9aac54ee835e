"""The list of poses that a clip passes through."""

import bpy

from ..backend.protocol import messages
from ..backend.protocol.errors import Code, MotionGPTError
from .poses import marked_frames, pose_now, pose_of_asset, poses_at
from .properties import MotionGPTSettings


def add(context: bpy.types.Context, armature: bpy.types.Object, source: str, asset: str, only: set[str] | None) -> int:
    """Put the poses of a source into the scene's list and return how many; MotionGPTError if none.

    They are `only` of some hands and feet; None: of those of the pose that gives way, or of the whole body.
    """
    scene = context.scene
    if source == "FRAME":
        poses = [("Pose", pose_now(armature, context))]
    elif source == "ASSET":
        action = _find_asset(asset)
        poses = [(action.name, pose_of_asset(armature, action, scene.frame_current))]
    else:
        frames = marked_frames(scene)
        if not frames:
            raise MotionGPTError(
                Code.INVALID_PARAMS,
                "No marker is selected, and none is called a pose.",
                "Select markers in the timeline, or call one a pose.",
            )
        names = {marker.frame: marker.name for marker in scene.timeline_markers}
        poses = [(names[pose.frame], pose) for pose in poses_at(armature, frames)]
    for name, pose in poses:
        _put(scene.motiongpt, name, pose, only)
    return len(poses)


def remove(settings: MotionGPTSettings, every: bool) -> None:
    """Take the active pose out of the list, or every one."""
    if every:
        settings.key_poses.clear()
    else:
        settings.key_poses.remove(min(settings.active_pose, len(settings.key_poses) - 1))
    settings.active_pose = max(0, min(settings.active_pose, len(settings.key_poses) - 1))


def pose_assets() -> list[bpy.types.Action]:
    return [action for action in bpy.data.actions if action.asset_data]


def _find_asset(name: str) -> bpy.types.Action:
    assets = pose_assets()
    if not assets:
        raise MotionGPTError(Code.INVALID_PARAMS, "There is no pose asset in this file.", "Mark an action as an asset, or link one.")
    if not name:
        raise MotionGPTError(Code.INVALID_PARAMS, "No pose asset was chosen.", "Choose one of the list.")
    action = next((action for action in assets if action.name == name), None)
    if action is None:
        raise MotionGPTError(
            Code.INVALID_PARAMS, f"There is no pose asset called {name!r} in this file.", "Mark an action as an asset, or link one."
        )
    return action


def _put(settings: MotionGPTSettings, name: str, pose: messages.Pose, only: set[str] | None) -> None:
    """Into its place in time, instead of one that is there."""
    items = settings.key_poses
    frames = [item.frame for item in items]
    if pose.frame in frames:
        at = frames.index(pose.frame)
    else:
        items.add()
        at = sum(frame < pose.frame for frame in frames)
        items.move(len(items) - 1, at)
    items[at].hold(pose, name, items[at].only if only is None else only)
    settings.active_pose = at
