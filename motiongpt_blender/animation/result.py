"""Where made clips go: into actions of their own, or among the keys of the character's action."""

from collections.abc import Generator, Sequence
from dataclasses import replace
from uuid import uuid4

import bpy
import numpy as np

from ...backend.motion.clip import Clip
from ...backend.protocol.errors import Code, MotionGPTError
from ..orders import Order
from ..rigs.rig import read_rig
from .action import Channel, Track, action_name, assign, data_path, group_name, new_action, read_value
from .channels import distance_of, form_changes, nearest_form
from .clip import clip_to_channels
from .curves import new_keys, put_keys
from .history import Record, stamp
from .keys import choose_keys


def require_target(armature: bpy.types.Object, mode: str) -> None:
    """MotionGPTError if the keys of the action that `armature` has are to be changed and cannot be."""
    action = armature.animation_data and armature.animation_data.action
    if mode != "NEW" and action and not action.is_editable:
        raise MotionGPTError(
            Code.INVALID_PARAMS, f"The action {action.name} comes from a library file.", "Have the clip in a new action, or make it local."
        )


def to_tracks(armature: bpy.types.Object, depsgraph: bpy.types.Depsgraph, clip: Clip, order: Order) -> Generator[None, None, list[Track]]:
    """The keys of a finished clip on the character's bones, worked out bone after bone; Blender's data is read at first only."""
    delivery = order.delivery
    channels = clip_to_channels(armature, depsgraph, clip, order.fixed)
    if delivery.bones:
        channels = [channel for channel in channels if channel.bone in delivery.bones]
    if delivery.mode != "NEW" and (bag := channelbag(armature)):
        channels = [_joined(armature, bag, channel, order) for channel in channels]
    units_per_metre = read_rig(armature).scale
    tracks = []
    for channel in channels:
        yield
        distance, is_turn = distance_of(channel.property)
        tolerance = np.radians(delivery.keys.degrees) if is_turn else delivery.keys.millimetres / 1000 * units_per_metre
        jumps = form_changes(channel.property, channel.values).tolist()
        tracks.append((channel, choose_keys(channel.values, delivery.keys, order.fixed, distance, tolerance, jumps)))
    return tracks


def make_action(armature: bpy.types.Object, name: str, order: Order, tracks: Sequence[Track]) -> bpy.types.Action:
    """An action of a clip for `armature`, which is not given it yet."""
    action = new_action(armature, name, order.start, tracks)
    _mark_segments(action, order)
    if order.request.loop:
        action.use_frame_range, action.use_cyclic = True, True
        action.frame_start, action.frame_end = order.start, order.end + 1
        if _ends_as_it_begins(tracks):
            _repeat(action)
    return action


def _mark_segments(action: bpy.types.Action, order: Order) -> None:
    """Mark where each of several prompts begins."""
    segments, frame = order.request.segments, order.start
    for segment in segments if len(segments) > 1 else ():
        action.pose_markers.new(segment.prompt).frame = frame
        frame += segment.frames


def put(armature: bpy.types.Object, order: Order, variations: Sequence[Sequence[Track]], bundle: str) -> list[bpy.types.Action]:
    """Put the clips of an order where they belong, an action for each; the character plays the first.

    The action that it had is changed only where the order says so and there is one clip; of several each gets a copy of it.
    """
    had = armature.animation_data and armature.animation_data.action
    group, actions = uuid4().hex, []
    for index, tracks in enumerate(variations):
        name = action_name(order.prompt)
        if order.delivery.mode == "NEW" or had is None or channelbag(armature) is None:
            action = make_action(armature, name, order, tracks)
        else:
            action = had if len(variations) == 1 else had.copy()
            _change(armature, action, order, tracks)
        if len(variations) > 1:
            action.name = f"{name} {index + 1}"
            action.use_fake_user = True
        stamp(action, Record(order, bundle, group, index + 1, len(variations)))
        actions.append(action)
    assign(armature, actions[0])
    return actions


def channelbag(armature: bpy.types.Object, action: bpy.types.Action | None = None) -> bpy.types.ActionChannelbag | None:
    """The curves that move `armature`: of the action it plays, or of a copy of that."""
    data = armature.animation_data
    action = action or (data and data.action)
    if not action or data.action_slot is None:
        return None
    slot = action.slots[data.action_slot.identifier]
    return next((bag for layer in action.layers for strip in layer.strips if (bag := strip.channelbag(slot))), None)


def _ends_as_it_begins(tracks: Sequence[Track]) -> bool:
    """Whether all bones end turned as they begin; a loop that has turned as a whole cannot be repeated by its curves."""
    turned = [(channel.property, keys.values) for channel, keys in tracks if channel.property.startswith("rotation")]
    return all(np.allclose(nearest_form(name, values[-1:], values[0]), values[0], atol=1e-3) for name, values in turned)


def _repeat(action: bpy.types.Action) -> None:
    """Have the action go on for ever, each time from where it has come to."""
    for bag in action.layers[0].strips[0].channelbags:
        for curve in bag.fcurves:
            mode = "REPEAT_OFFSET" if curve.data_path.endswith("location") else "REPEAT"
            cycles = curve.modifiers.new("CYCLES")
            cycles.mode_before = cycles.mode_after = mode


def _change(armature: bpy.types.Object, action: bpy.types.Action, order: Order, tracks: Sequence[Track]) -> None:
    bag = channelbag(armature, action)
    assert bag
    first, last = action.curve_frame_range
    held = [frame for frame in (order.start - 1, order.end + 1) if first <= frame <= last]
    kept = [order.start + frame for frame in order.delivery.kept]
    for channel, keys in tracks:
        path = data_path(channel)
        for index in range(keys.values.shape[1]):
            if index in channel.held:
                continue
            curve = bag.fcurves.find(path, index=index)
            if curve is None:
                curve = bag.fcurves.new(path, index=index, group_name=group_name(channel))
                for frame in () if kept else held:  # what had no keys stays as it is before and after the clip
                    curve.keyframe_points.insert(frame, _still(armature, channel)[index]).interpolation = "CONSTANT"
            put_keys(curve, new_keys(keys, index, order.start), order.start, order.end, kept)


def _joined(armature: bpy.types.Object, bag: bpy.types.ActionChannelbag, channel: Channel, order: Order) -> Channel:
    """The channel in the form that the keys around it have, and blended into them at both ends where that is asked for."""
    path, still = data_path(channel), _still(armature, channel)
    curves = [bag.fcurves.find(path, index=index) for index in range(channel.values.shape[1])]

    def was(frame: int) -> np.ndarray:
        return np.array([curve.evaluate(frame) if curve else still[index] for index, curve in enumerate(curves)])

    values = channel.values.copy()
    for frame in order.delivery.kept or (0,):
        values[frame:] = nearest_form(channel.property, values[frame:], was(order.start + frame))
    if order.delivery.mode == "BLEND":
        frames = min(order.delivery.blend, len(values) // 2)
        for i in range(frames):
            share = (i / frames) ** 2 * (3 - 2 * i / frames)
            for at in (i, len(values) - 1 - i):
                old = nearest_form(channel.property, was(order.start + at)[None], values[at])[0]
                values[at] = old + (values[at] - old) * share
    return replace(channel, values=values)


def _still(armature: bpy.types.Object, channel: Channel) -> np.ndarray:
    return np.array(read_value(armature, channel.bone, channel.property))
