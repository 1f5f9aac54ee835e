"""Actions written whole: a slot, a channelbag, and for each F-curve all keys at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import bpy
import numpy as np

from ...backend.protocol.errors import Code, MotionGPTError
from .curves import new_keys, write_keys
from .keys import KeyedValues

_NAME_LENGTH = 40


@dataclass(frozen=True)
class Channel:
    """A property of a bone (of the object itself if `bone` is empty) and its `values (T, n)`, one for each frame or `(1, n)` for all.

    The elements `held` keep the value that they have and get no keys.
    """

    bone: str
    property: str
    values: np.ndarray
    held: tuple[int, ...] = ()


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


def require_seen(armature: bpy.types.Object) -> None:
    """MotionGPTError if what `armature` shows is something else than what its action says."""
    if armature.data.pose_position == "REST":
        raise MotionGPTError(
            Code.INVALID_PARAMS, f"{armature.name} is shown in its rest position.", "Switch it to Pose Position, under Data > Pose."
        )
    data = armature.animation_data
    if data and data.use_nla and any(track.is_solo for track in data.nla_tracks):
        raise MotionGPTError(
            Code.INVALID_PARAMS, f"{armature.name} plays one of its NLA tracks alone.", "Take the star from the track in the NLA first."
        )
    if plays_strips(armature) and (data.action_blend_type != "REPLACE" or data.action_influence < 1.0):
        raise MotionGPTError(
            Code.INVALID_PARAMS,
            f"The action of {armature.name} is blended with its NLA strips.",
            "Set its blending to Replace and its influence to 1 in the NLA, or mute the tracks.",
        )


def plays_strips(obj: bpy.types.Object) -> bool:
    """Whether NLA strips take part in what `obj` does."""
    data = obj.animation_data
    return bool(data and data.use_nla and any(track.strips and not track.mute for track in data.nla_tracks))


def new_action(obj: bpy.types.Object, name: str) -> bpy.types.Action:
    """An action with a slot for `obj` and no keys yet; `obj` is not given it."""
    action = bpy.data.actions.new(name)
    slot = action.slots.new(id_type="OBJECT", name=obj.name)
    action.layers.new("Layer").strips.new(type="KEYFRAME").channelbag(slot, ensure=True)
    return action


def own_bag(action: bpy.types.Action) -> bpy.types.ActionChannelbag:
    """The curves of a new action's slot."""
    return action.layers[0].strips[0].channelbags[0]


def write_track(bag: bpy.types.ActionChannelbag, channel: Channel, keys: KeyedValues, start: int) -> None:
    """Give a channel new curves with its keys, frame 0 of theirs at `start`."""
    path = data_path(channel)
    for index in range(keys.values.shape[1]):
        if index not in channel.held:
            write_keys(bag.fcurves.new(path, index=index, group_name=group_name(channel)), new_keys(keys, index, start))


def assign(obj: bpy.types.Object, action: bpy.types.Action) -> None:
    """Have `obj` play `action`, from the slot that it plays now if it has one of that name. An action it had is kept, unused.

    Over NLA strips it acts in its frames alone, which else would be seen no more, or if it is a loop for ever.
    """
    data = obj.animation_data or obj.animation_data_create()
    if data.action == action and data.action_slot:
        data.action_slot = data.action_slot  # has Blender look at the curves anew
        return
    if data.action and data.action != action:
        data.action.use_fake_user = True
    if plays_strips(obj):
        data.action_extrapolation = "HOLD" if action.use_cyclic else "NOTHING"
    before = data.last_slot_identifier
    data.action = action
    data.action_slot = _slot_of(action, before)


def _slot_of(action: bpy.types.Action, identifier: str) -> bpy.types.ActionSlot | None:
    """The slot of an action that an object can play: that of `identifier`, or else the first. Others move data of another kind."""
    suitable = [slot for slot in action.slots if slot.target_id_type in ("OBJECT", "UNSPECIFIED")]
    return next((slot for slot in suitable if slot.identifier == identifier), suitable[0] if suitable else None)


def data_path(channel: Channel) -> str:
    if not channel.bone:
        return channel.property
    dot = "" if channel.property.startswith("[") else "."
    return f'pose.bones["{bpy.utils.escape_identifier(channel.bone)}"]{dot}{channel.property}'


def group_name(channel: Channel) -> str:
    """The curve group of a channel, named as Blender names it."""
    return channel.bone or "Object Transforms"


def read_value(obj: bpy.types.Object, bone: str, name: str) -> tuple[float, ...]:
    """The value of a property as channels name it: of a bone or of the object itself, its own or a custom one."""
    owner = obj.pose.bones[bone] if bone else obj
    value = owner[_custom(name)] if name.startswith("[") else getattr(owner, name)
    return (float(value),) if isinstance(value, int | float) else tuple(value)


def set_value(obj: bpy.types.Object, bone: str, name: str, value: Sequence[float]) -> None:
    """Set a property as channels name it."""
    owner = obj.pose.bones[bone] if bone else obj
    if name.startswith("["):
        key = _custom(name)
        owner[key] = type(owner[key])(value[0])
    elif isinstance(getattr(owner, name), int | float):
        setattr(owner, name, value[0])
    else:
        setattr(owner, name, value)


def _custom(name: str) -> str:
    return bpy.utils.unescape_identifier(name.removeprefix('["').removesuffix('"]'))


def channelbag(armature: bpy.types.Object, action: bpy.types.Action | None = None) -> bpy.types.ActionChannelbag | None:
    """The curves that move `armature`: of the action it plays, or of a copy of that."""
    data = armature.animation_data
    action = action or (data and data.action)
    if not data or not action or data.action_slot is None:
        return None
    slot = action.slots.get(data.action_slot.identifier)
    return slot_bag(action, slot) if slot else None


def slot_bag(action: bpy.types.Action, slot: bpy.types.ActionSlot) -> bpy.types.ActionChannelbag | None:
    """The curves that an action has for one of its slots."""
    return next((bag for layer in action.layers for strip in layer.strips if (bag := strip.channelbag(slot))), None)
