"""A clip as keyframes on a character's bones."""

import bpy
import numpy as np

from ..rigs.rig import clip_to_bones, read_rig, read_surroundings
from .action import Channel, action_name, write_action
from .channels import rotation_channel


def write_clip(
    armature: bpy.types.Object, depsgraph: bpy.types.Depsgraph, local: np.ndarray, root: np.ndarray, start: int, prompt: str
) -> bpy.types.Action:
    """Key canonical `local (T, 22, 4)` and `root (T, 3)` on the armature's bones, a key a frame from `start` on."""
    rig = read_rig(armature)
    own, location = clip_to_bones(rig, read_surroundings(rig, armature, depsgraph), local, root)
    channels = [Channel(rig.bones[0], "location", location)]
    for joint, bone in enumerate(rig.bones):
        channels.append(Channel(bone, *rotation_channel(armature.pose.bones[bone].rotation_mode, own[:, joint])))
    return write_action(armature, action_name(prompt), start, channels)
