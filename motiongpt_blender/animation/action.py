"""Actions written whole: a slot, a channelbag, and for each F-curve all keys at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import bpy
import numpy as np

from ...backend.protocol.errors import Code, MotionGPTError

_NAME_LENGTH = 40


@dataclass(frozen=True)
class Channel:
    """A property of a bone, named `property`, and its `values (T, n)`, a key for each frame."""

    bone: str
    property: str
    values: np.ndarray


def action_name(prompt: str) -> str:
    """A short name from a prompt, cut between words."""
    words = " ".join(prompt.split())
    if len(words) <= _NAME_LENGTH:
        return words or "MotionGPT"
    return words[: _NAME_LENGTH + 1].rpartition(" ")[0] or words[:_NAME_LENGTH]


def require_animatable(obj: bpy.types.Object) -> None:
    """MotionGPTError if `obj` cannot be given an action."""
    if not obj.is_editable:
        raise MotionGPTError(Code.INVALID_PARAMS, f"{obj.name} comes from a library file.", "Make a library override of it first.")
    if obj.animation_data and obj.animation_data.use_tweak_mode:
        raise MotionGPTError(Code.INVALID_PARAMS, f"An NLA strip of {obj.name} is being edited.", "Leave the tweak mode of the NLA first.")


def new_action(obj: bpy.types.Object, name: str, start: int, channels: Sequence[Channel]) -> bpy.types.Action:
    """An action with a slot for `obj` and the channels' keys from frame `start` on; `obj` is not given it yet."""
    action = bpy.data.actions.new(name)
    slot = action.slots.new(id_type="OBJECT", name=obj.name)
    bag = action.layers.new("Layer").strips.new(type="KEYFRAME").channelbag(slot, ensure=True)
    for channel in channels:
        path = data_path(channel)
        for index, values in enumerate(channel.values.T):
            _set_keys(bag.fcurves.new(path, index=index, group_name=channel.bone), start, values)
    return action


def assign(obj: bpy.types.Object, action: bpy.types.Action) -> None:
    """Have `obj` play `action` from its first slot. An action it had is kept, unused."""
    data = obj.animation_data or obj.animation_data_create()
    if data.action and data.action != action:
        data.action.use_fake_user = True
    data.action = action
    data.action_slot = action.slots[0]


def data_path(channel: Channel) -> str:
    return f'pose.bones["{bpy.utils.escape_identifier(channel.bone)}"].{channel.property}'


def _set_keys(curve: bpy.types.FCurve, start: int, values: np.ndarray) -> None:
    keys = curve.keyframe_points
    keys.add(len(values))
    keys.foreach_set("co", np.stack([np.arange(start, start + len(values)), values], axis=-1).ravel())
    linear = bpy.types.Keyframe.bl_rna.properties["interpolation"].enum_items["LINEAR"].value
    keys.foreach_set("interpolation", np.full(len(values), linear))
    curve.update()
