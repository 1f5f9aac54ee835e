"""A clip as keyframes on a character's bones."""

from collections.abc import Sequence

import bpy

from ...backend.motion.clip import Clip
from ..rigs.rig import clip_to_bones, read_rig, read_surroundings
from .action import Channel, action_name, assign, new_action
from .channels import rotation_channel
from .keys import every_frame


def clip_to_channels(armature: bpy.types.Object, depsgraph: bpy.types.Depsgraph, clip: Clip, fixed: Sequence[int] = ()) -> list[Channel]:
    """What a clip of canonical motion is on the armature's bones, a value a frame.

    At the frames `fixed` of the clip, from 0, are poses that were read from this armature: they come out as they were.
    """
    rig = read_rig(armature)
    own, location = clip_to_bones(rig, read_surroundings(rig, armature, depsgraph), clip.local, clip.root)
    channels = [Channel(rig.bones[0], "location", location)]
    for joint, bone in enumerate(rig.bones):
        channels.append(Channel(bone, *rotation_channel(armature.pose.bones[bone].rotation_mode, own[:, joint])))
    return channels


def write_clip(
    armature: bpy.types.Object, depsgraph: bpy.types.Depsgraph, clip: Clip, start: int, prompt: str, fixed: Sequence[int] = ()
) -> bpy.types.Action:
    """Key a clip on the armature's bones, a key a frame from `start` on, in an action of its own that the armature then plays."""
    channels = clip_to_channels(armature, depsgraph, clip, fixed)
    tracks = [(channel, every_frame(channel.values)) for channel in channels]
    action = new_action(armature, action_name(prompt), start, tracks)
    assign(armature, action)
    return action
