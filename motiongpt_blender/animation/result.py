"""Where made clips go: into actions of their own, or among the keys of the character's action.

Both are written in steps, into drafts that are put in their places in one step at the end.
"""

import contextlib
import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from uuid import uuid4

import bpy
import numpy as np

from ...backend.motion.clip import Clip
from ...backend.protocol.errors import Code, MotionGPTError
from ..handle import Handle, depsgraph_of, scene_of
from ..orders import Order
from ..poses import carried_along, may_be_carried
from ..rigs.body import limb_controls
from ..rigs.controls import Limbs
from ..rigs.retarget import Ground
from ..steps import Steps
from .action import Channel, action_name, assign, channelbag, data_path, group_name, new_action, own_bag, read_value, write_track
from .channels import distance_of, form_changes, nearest_form
from .clip import puppet_channels
from .curves import extend, is_locked, key_points, new_keys, put_keys, replace_curves
from .draft import Drafts, Gone
from .history import KEY, Record, stamp
from .keys import KeyedValues, choose_keys
from .puppet import Puppet, find_switches, read_puppet
from .stills import NONE, Stills, set_stills, standing

_SAME = 1e-4  # how far from its value a switch may be
_TUNES = 0.5  # by how much a switch differs at most between kinds of controls if it does not choose between them

Find = Callable[[], bpy.types.Object]  # the character's armature as it is now; MotionGPTError if it is gone or cannot be keyed


@dataclass(frozen=True)
class Fitted:
    """A clip on a character: a value a frame of what it moves, and how many of the armature's units make a metre.

    `switches` are the bones and properties that choose between kinds of controls and tune them, `loose` the controls that say something
    else where those are otherwise.
    """

    channels: Sequence[Channel]
    units_per_metre: float
    loose: frozenset[str]
    switches: frozenset[tuple[str, str]]


def require_target(armature: bpy.types.Object, mode: str) -> None:
    """MotionGPTError if the keys of the action that `armature` has are to be changed and cannot be."""
    action = armature.animation_data and armature.animation_data.action
    if mode in ("REPLACE", "BLEND") and action and not action.is_editable:
        raise MotionGPTError(
            Code.INVALID_PARAMS, f"The action {action.name} comes from a library file.", "Have the clip in a new action, or make it local."
        )


def leave_others(armature: bpy.types.Object, order: Order) -> Order:
    """The order with a copy of the action that `armature` has for its new one, if that is to move some bones alone."""
    some, action = order.delivery.bones, armature.animation_data and armature.animation_data.action
    return replace(order, delivery=replace(order.delivery, mode="COPY")) if some and action and order.delivery.mode == "NEW" else order


def fit(find: Find, clips: Sequence[Clip], order: Order, stills: Stills = NONE) -> Steps[list[Fitted]]:
    """The finished clips of an order on the character's bones; the character is read once, in the second step, with these `stills`."""
    depsgraph_of(find())
    yield
    armature = find()
    limbs, tuning = _limbs_shown(armature, order) if order.delivery.kept else (None, frozenset())
    depsgraph = depsgraph_of(armature)
    with standing(armature, depsgraph, stills):
        puppet = read_puppet(armature, depsgraph, clips[0], order.fixed, order.origin, limbs)
    if order.delivery.mode != "NEW" and (order.delivery.kept or puppet.root is None):
        puppet = yield from _among_keys(find, puppet, order)
    bones, fitted = order.delivery.bones, []
    switches = frozenset((switch.bone, switch.property) for switch in puppet.switches)
    loose = limb_controls(puppet.rig.controls, poles_only=limbs is not None)
    for clip in clips:
        yield
        channels = yield from puppet_channels(puppet, clip, order.fixed, order.held, closed=len(clip) > order.request.frames)
        # How the animator has tuned the controls of kept poses is part of these.
        channels = [c for c in channels if (not bones or c.bone in bones) and (c.bone, c.property) not in tuning]
        fitted.append(Fitted(channels, puppet.rig.scale, loose, switches))
    return fitted


def _among_keys(find: Find, puppet: Puppet, order: Order) -> Steps[Puppet]:
    """The puppet among keys that stay. What they move below its hips goes its own way, and the hips make up for that."""
    puppet, mover = replace(puppet, root=None), puppet.body.bones[puppet.body.mover]
    if not may_be_carried(find(), mover):
        return puppet
    places, parents = yield from carried_along(find, mover, range(order.start, order.end + 1))
    if not order.delivery.kept:
        places[:] = np.eye(4)  # the clip's poses are those in the object, wherever that is
    ways = (Ground(*puppet.rig.stance.way_of(way)) for way in (places, parents @ np.linalg.inv(puppet.under)))
    return replace(puppet, carried=tuple(ways))


def _limbs_shown(armature: bpy.types.Object, order: Order) -> tuple[Limbs | None, frozenset[tuple[str, str]]]:
    """The kind of controls that limbs obey in all poses that are kept, and the switches that only tune it; None if it is not one kind."""
    bag, frames = channelbag(armature), [order.start + frame for frame in order.delivery.kept]

    def is_so(switch: Channel) -> bool:
        return all(abs(_value(armature, bag, switch, frame) - switch.values[0, 0]) < _SAME for frame in frames)

    pairs = list(zip(*(find_switches(armature, limbs) for limbs in ("FK", "IK")), strict=True))
    apart = [abs(fk.values[0, 0] - ik.values[0, 0]) for fk, ik in pairs]
    choosing = [pair for pair, far in zip(pairs, apart, strict=True) if far > _TUNES]
    tuning = frozenset((fk.bone, fk.property) for (fk, _), far in zip(pairs, apart, strict=True) if 0 < far <= _TUNES)
    if choosing and all(is_so(fk) for fk, _ in choosing):
        return "FK", tuning
    if choosing and all(is_so(ik) for _, ik in choosing):
        return "IK", tuning
    return None, frozenset()


def _value(armature: bpy.types.Object, bag: bpy.types.ActionChannelbag | None, channel: Channel, frame: int) -> float:
    """What the first element of a channel is at a frame of the scene."""
    curve = bag.fcurves.find(data_path(channel), index=0) if bag else None
    return curve.evaluate(frame) if curve else _still(armature, channel)[0]


def make_action(find: Find, name: str, order: Order, fitted: Fitted) -> Steps[bpy.types.Action]:
    """An action of a clip, which the character is not given."""
    while True:
        with Drafts() as drafts, contextlib.suppress(Gone):
            draft = yield from _write(drafts, find, name, order, fitted)
            find()  # or there is nobody whom it is for
            return drafts.take(draft)


def _write(drafts: Drafts, find: Find, name: str, order: Order, fitted: Fitted) -> Steps[Handle]:
    """The draft of an action of its own."""
    draft = drafts.add(new_action(find(), name))
    for channel in fitted.channels:
        yield
        keys = _choose_keys(channel, order, fitted)
        write_track(own_bag(drafts.find(draft)), channel, keys, order.start)
    yield
    action = drafts.find(draft)
    _mark_segments(action, order)
    if order.request.loop:
        action.use_frame_range, action.use_cyclic = True, True
        action.frame_start, action.frame_end = order.start, order.end + 1
        if _ends_as_it_begins(fitted.channels):
            _repeat(action)
    return draft


def _choose_keys(channel: Channel, order: Order, fitted: Fitted) -> KeyedValues:
    keys = order.delivery.keys
    distance, is_turn = distance_of(channel.property)
    tolerance = np.radians(keys.degrees) if is_turn else keys.millimetres / 1000 * fitted.units_per_metre
    jumps = form_changes(channel.property, channel.values).tolist()
    return choose_keys(channel.values, keys, order.met, distance, tolerance, jumps)


def _mark_segments(action: bpy.types.Action, order: Order) -> None:
    """Mark where each of several prompts begins, if it is not yet."""
    segments, frame = order.request.segments, order.start
    marked = {(marker.name, marker.frame) for marker in action.pose_markers}
    for segment in segments if len(segments) > 1 else ():
        marker = action.pose_markers.new(segment.prompt)
        if (marker.name, frame) in marked:  # by a name as long as Blender lets it be
            action.pose_markers.remove(marker)
        else:
            marker.frame = frame
        frame += segment.frames


def put(find: Find, order: Order, clips: Sequence[Fitted], bundle: str, stills: Stills = NONE) -> Steps[list[bpy.types.Action]]:
    """Put the clips of an order where they belong, an action for each; the character plays the first.

    What the action that it had moves, and a new one does not, is left with the values `stills`.

    The action that it had is changed only where the order says so and there is one clip; of several each gets a copy of it, which one
    of mode COPY gets as well. All that anybody can see happens in the last step.
    """
    while True:
        with Drafts() as drafts, contextlib.suppress(Gone):
            target, drafted = _target(find(), order), []
            for fitted in clips:
                yield
                if target is None:
                    drafted.append((yield from _write(drafts, find, action_name(order.prompt), order, fitted)))
                else:
                    drafted.append((yield from _write_changed(drafts, find, order, fitted)))
            yield
            armature = find()
            if _target(armature, order) != target:
                continue  # somebody has changed it meanwhile
            written = [drafts.find(draft) for draft in drafted]
            if target is None or len(clips) > 1 or order.delivery.mode == "COPY":
                actions = [drafts.take(draft) for draft in drafted]
            else:
                actions = [armature.animation_data.action]
                _hand_over(armature, written[0], clips[0].channels)
            for action in actions if target else ():
                _end_loop(action, order)
                _mark_segments(action, order)
            _sign(actions, order, bundle)
            if target is None:
                moved = {curve.data_path for curve in own_bag(actions[0]).fcurves}
                set_stills(armature, {path: value for path, value in stills.items() if path not in moved})
            assign(armature, actions[0])
            return actions


def _target(armature: bpy.types.Object, order: Order) -> Hashable:
    """What tells whether the action that is to be changed is still the same and unchanged; None if there is none to change."""
    require_target(armature, order.delivery.mode)
    bag = channelbag(armature)
    if order.delivery.mode == "NEW" or bag is None:
        return None
    data = armature.animation_data
    curves = tuple((c.data_path, c.array_index, is_locked(c), key_points(c).tobytes()) for c in bag.fcurves)
    return data.action.session_uid, data.action_slot.handle, curves


def _hand_over(armature: bpy.types.Object, draft: bpy.types.Action, channels: Sequence[Channel]) -> None:
    """Give the armature's action the curves that the draft has for `channels`."""
    bag, source = channelbag(armature), channelbag(armature, draft)
    assert bag and source
    channels = [_without_locked(bag, channel) for channel in channels]
    replace_curves(bag, source, [(data_path(c), i) for c in channels for i in range(c.values.shape[1]) if i not in c.held])


def _without_locked(bag: bpy.types.ActionChannelbag, channel: Channel) -> Channel:
    """The channel with those elements held whose curve is locked, or would come into a locked group: Blender keys none of them."""
    path, group = data_path(channel), bag.groups.get(group_name(channel))

    def is_locked_of(index: int) -> bool:
        curve = bag.fcurves.find(path, index=index)
        return is_locked(curve) if curve else bool(group and group.lock)

    locked = {index for index in range(channel.values.shape[1]) if is_locked_of(index)}
    return replace(channel, held=tuple(sorted({*channel.held, *locked})))


def _end_loop(action: bpy.types.Action, order: Order) -> None:
    """An action that was a loop is none any more with a clip that goes beyond it."""
    if action.use_cyclic and not action.frame_start <= order.start <= order.end <= action.frame_end:
        action.use_frame_range = action.use_cyclic = False


def _sign(actions: Sequence[bpy.types.Action], order: Order, bundle: str) -> None:
    """Say on actions what made them."""
    group, name = uuid4().hex, action_name(order.prompt)
    for number, action in enumerate(actions, start=1):
        if len(actions) > 1:
            action.name = f"{name} {number}"
            action.use_fake_user = True
        stamp(action, Record(order, bundle, group, number, len(actions)))


def _ends_as_it_begins(channels: Sequence[Channel]) -> bool:
    """Whether all bones end turned as they begin; a loop that has turned as a whole cannot be repeated by its curves."""
    turned = [(channel.property, channel.values) for channel in channels if channel.property.startswith("rotation")]
    return all(np.allclose(nearest_form(name, values[-1:], values[0]), values[0], atol=1e-3) for name, values in turned)


def _repeat(action: bpy.types.Action) -> None:
    """Have the action go on for ever, each time from where it has come to."""
    for bag in action.layers[0].strips[0].channelbags:
        for curve in bag.fcurves:
            mode = "REPEAT_OFFSET" if curve.data_path.endswith("location") else "REPEAT"
            cycles = curve.modifiers.new("CYCLES")
            cycles.mode_before = cycles.mode_after = mode


def _write_changed(drafts: Drafts, find: Find, order: Order, fitted: Fitted) -> Steps[Handle]:
    """The draft of the action that the character plays with the clip in it."""
    armature = find()
    bag = channelbag(armature)
    if bag is None:
        raise Gone  # the action has been taken from the character
    had = armature.animation_data.action
    free = replace(order, delivery=replace(order.delivery, kept=()))
    around = _frames_around(bag, order, scene_of(armature))
    draft = drafts.add(had.copy())
    drafts.find(draft).pop(KEY, None)  # it is not one of the clips that were made together with the one it copies
    if order.delivery.mode == "COPY":
        drafts.find(draft).name = action_name(order.prompt)

    def there() -> tuple[bpy.types.Object, bpy.types.ActionChannelbag]:
        armature = find()
        bag = channelbag(armature, drafts.find(draft))
        if bag is None:
            raise Gone  # the character plays another action, or none
        return armature, bag

    switched = _switched(*there(), fitted, order)
    for channel in fitted.channels:
        yield
        # Where limbs are seen to obey other controls, or those otherwise, the keys of a kept pose do not say what is seen.
        kept = (channel.bone, channel.property) not in switched and not (switched and channel.bone in fitted.loose)
        armature, bag = there()
        joined = _joined(armature, bag, _without_locked(bag, channel), order)
        yield
        keys = _choose_keys(joined, order, fitted)
        for index in range(joined.values.shape[1]):
            if index not in joined.held:
                yield
                _change(*there(), joined, keys, index, order if kept else free, *around)
    return draft


def _frames_around(bag: bpy.types.ActionChannelbag, order: Order, scene: bpy.types.Scene) -> tuple[range, range]:
    """The frames before the clip and after it at which all stays as it is, as far as the scene and the keys go.

    There are none on a side where nothing is keyed: there the clip is held.
    """
    keyed = [frame for curve in bag.fcurves if len(curve.keyframe_points) for frame in curve.range()]
    first, last = order.start, order.end
    if keyed and min(keyed) <= order.start - 1:
        first = min(math.floor(min(keyed)), scene.frame_start)
    if keyed and max(keyed) >= order.end + 1:
        last = max(math.ceil(max(keyed)), scene.frame_end)
    return range(first, order.start), range(order.end + 1, last + 1)


def _switched(armature: bpy.types.Object, bag: bpy.types.ActionChannelbag, fitted: Fitted, order: Order) -> frozenset[tuple[str, str]]:
    """The switches that are not in all poses that are kept what the clip needs."""
    return frozenset(
        (channel.bone, channel.property)
        for channel in fitted.channels
        for frame in order.delivery.kept
        if (channel.bone, channel.property) in fitted.switches
        and abs(_value(armature, bag, channel, order.start + frame) - channel.values[0, 0]) > _SAME
    )


def _change(
    armature: bpy.types.Object,
    bag: bpy.types.ActionChannelbag,
    channel: Channel,
    keys: KeyedValues,
    index: int,
    order: Order,
    before: range,
    after: range,
) -> None:
    """Put the keys of an element of a channel into its curve, which stays as it is in the frames `before` and `after`."""
    path, kept = data_path(channel), [order.start + frame for frame in order.delivery.kept]
    curve = bag.fcurves.find(path, index=index)
    if curve is None:
        curve = bag.fcurves.new(path, index=index, group_name=group_name(channel))
        for frame in () if kept else (*before[-1:], *after[:1]):
            key = curve.keyframe_points.insert(frame, _still(armature, channel)[index], keyframe_type="GENERATED")
            key.interpolation = "CONSTANT"
            key.select_control_point = key.select_left_handle = key.select_right_handle = False
    elif not kept:
        extend(curve, before, after)
    put_keys(curve, new_keys(keys, index, order.start), order.start, order.end, kept)


def _joined(armature: bpy.types.Object, bag: bpy.types.ActionChannelbag, channel: Channel, order: Order) -> Channel:
    """The channel in the form that the keys around it have, and blended into them at both ends where that is asked for."""
    path, still = data_path(channel), _still(armature, channel)
    owner = armature.pose.bones[channel.bone] if channel.bone else armature
    mode = "" if channel.held else owner.rotation_mode  # what is held says which of the forms it is
    curves = [bag.fcurves.find(path, index=index) for index in range(channel.values.shape[1])]

    def was(frame: int) -> np.ndarray:
        return np.array([curve.evaluate(frame) if curve else still[index] for index, curve in enumerate(curves)])

    values = channel.values.copy()
    for frame in order.delivery.kept or (0,):
        values[frame:] = nearest_form(channel.property, values[frame:], was(order.start + frame), mode)
    if order.delivery.mode == "BLEND":
        frames = min(order.delivery.blend, len(values) // 2)
        for i in range(frames):
            share = (i / frames) ** 2 * (3 - 2 * i / frames)
            for at in (i, len(values) - 1 - i):
                old = nearest_form(channel.property, was(order.start + at)[None], values[at], mode)[0]
                values[at] = old + (values[at] - old) * share
    return replace(channel, values=values)


def _still(armature: bpy.types.Object, channel: Channel) -> np.ndarray:
    return np.array(read_value(armature, channel.bone, channel.property))
