"""A character's motion as canonical arrays and as files that other programs read."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import bpy
import numpy as np

from ..backend.files import write_whole
from ..backend.motion.amass import to_amass
from ..backend.motion.bvh import to_bvh
from ..backend.protocol import messages
from ..backend.protocol.errors import Code, MotionGPTError
from .poses import read_motion

FORMATS: dict[str, Callable[[np.ndarray, np.ndarray, float], bytes]] = {
    ".bvh": lambda local, root, fps: to_bvh(local, root, fps).encode("ascii"),
    ".npz": to_amass,
}


def export_character(context: bpy.types.Context, armature: bpy.types.Object, frames: Literal["ACTION", "SCENE"], path: Path) -> None:
    """Write what the armature does in the frames of its action or of the scene, whatever moves it.

    MotionGPTError if it plays no action, lacks bones, or the file cannot be written.
    """
    scene = context.scene
    start, end = (scene.frame_start, scene.frame_end) if frames == "SCENE" else _action_range(armature)
    local, root = read_motion(armature, range(start, end + 1))
    write_whole(path, FORMATS[path.suffix.lower()](local, root, scene.render.fps / scene.render.fps_base))


def export_reply(reply: messages.GenerateReply | None, path: Path) -> None:
    """Write the clip made last as the model made it, the first of several variations; MotionGPTError if there is none."""
    if reply is None:
        raise MotionGPTError(Code.INVALID_PARAMS, "No clip has been made yet.", "Generate one, or export what the character does.")
    clip = reply.clips[0]
    write_whole(path, FORMATS[path.suffix.lower()](clip.rotations, clip.root_translation, reply.fps))


def _action_range(armature: bpy.types.Object) -> tuple[int, int]:
    action = armature.animation_data.action if armature.animation_data else None
    if action is None:
        raise MotionGPTError(Code.INVALID_PARAMS, f"{armature.name} plays no action.", "Give it one, or export the frames of the scene.")
    return math.floor(action.frame_range[0]), math.ceil(action.frame_range[1])
