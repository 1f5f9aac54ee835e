"""What the animator has keyed and selected."""

import bpy
import numpy as np

from ..backend.protocol.errors import Code, MotionGPTError
from .animation.action import channelbag
from .animation.curves import keyed_frames


def between_keys(context: bpy.types.Context, armature: bpy.types.Object) -> list[int]:
    """The frames of the selected keys of the character, or else those of the keys before and after the current frame.

    Keys that were generated are not the animator's: they count where they are selected alone. MotionGPTError if there are not two
    frames, or one that is not whole.
    """
    bag = channelbag(armature)
    curves = list(bag.fcurves) if bag else []
    frames = keyed_frames(curves, selected=True)
    if len(frames) < 2:
        frames = _around(keyed_frames(curves), context.scene.frame_current)
    if len(frames) < 2:
        raise MotionGPTError(
            Code.INVALID_PARAMS,
            "There are no two keyed poses to go between.",
            "Key two poses and select their keys, or go to a frame between them.",
        )
    if np.abs(frames - np.round(frames)).max() > 0.01:
        raise MotionGPTError(Code.INVALID_PARAMS, "A selected key lies between two frames.", "Snap the keys to whole frames first.")
    return [round(frame) for frame in frames]


def selected_bones(armature: bpy.types.Object) -> tuple[str, ...]:
    """The names of the selected pose bones; MotionGPTError if there are none."""
    names = tuple(bone.name for bone in armature.pose.bones if bone.select)
    if not names:
        raise MotionGPTError(
            Code.INVALID_PARAMS, "No bone is selected.", "Select bones in pose mode, or turn off Only Selected Bones under Options."
        )
    return names


def _around(frames: np.ndarray, now: int) -> np.ndarray:
    """The last of `frames` up to `now` and the first after it, as far as there are."""
    return np.concatenate([frames[frames <= now][-1:], frames[frames > now][:1]])
