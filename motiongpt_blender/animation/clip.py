"""A clip as keyframes on a character's bones, or on its controls."""

from collections.abc import Sequence

import bpy
import numpy as np

from ...backend.motion import rotations
from ...backend.motion.clip import Clip
from ...backend.protocol.messages import Pose
from ..rigs.retarget import Ground, Motion, find_ground, point_at, retarget
from ..rigs.stance import Stance
from ..steps import Steps, finish
from .action import Channel, action_name, assign, new_action, own_bag, write_track
from .channels import rotation_channel, rotations_of
from .keys import every_frame
from .locks import hold
from .puppet import Placing, Puppet, RootBone, RootObject, read_puppet


def puppet_channels(
    puppet: Puppet, clip: Clip, fixed: Sequence[int] = (), held: Sequence[Pose] = (), closed: bool = False
) -> Steps[list[Channel]]:
    """What a clip of canonical motion is on a character's bones, a value a frame, worked out in steps.

    At the frames `fixed` of the clip, from 0, are poses that were read from this character: they come out as they were.
    Of those `held` the hands and feet do that they are about. A `closed` clip is a loop that ends in its first frame. Switches between
    kinds of controls come with it.
    """
    motion = yield from retarget(puppet.body, clip, fixed, puppet.whole, held, closed)
    stance, root, way = puppet.rig.stance, puppet.root, []
    if puppet.carried:
        by_object, by_bone = puppet.carried
        motion = by_bone.taken_off(by_object.taken_off(motion, by_bone=False), by_bone=True)
    if root:
        yield
        ground = find_ground(clip, fixed[0] if fixed else 0, turns=not root.turning.lock.elements)
        way = _bone_takes(root, stance, ground) if isinstance(root, RootBone) else _object_takes(root, stance, ground)
        motion = ground.taken_off(motion, by_bone=isinstance(root, RootBone))
    yield
    body = yield from _body_channels(puppet, motion)
    return [*puppet.switches, *way, *body]


def clip_to_channels(armature: bpy.types.Object, depsgraph: bpy.types.Depsgraph, clip: Clip, fixed: Sequence[int] = ()) -> list[Channel]:
    """As `puppet_channels`, of a character as it is now and at once; MotionGPTError if it is none."""
    return finish(puppet_channels(read_puppet(armature, depsgraph, clip, fixed), clip, fixed))


def write_clip(
    armature: bpy.types.Object, depsgraph: bpy.types.Depsgraph, clip: Clip, start: int, prompt: str, fixed: Sequence[int] = ()
) -> bpy.types.Action:
    """Key a clip on the armature's bones, a key a frame from `start` on, in an action of its own that the armature then plays."""
    channels = clip_to_channels(armature, depsgraph, clip, fixed)
    action = new_action(armature, action_name(prompt))
    for channel in channels:
        write_track(own_bag(action), channel, every_frame(channel.values), start)
    assign(armature, action)
    return action


def _body_channels(puppet: Puppet, motion: Motion) -> Steps[list[Channel]]:
    body, stance = puppet.body, puppet.rig.stance
    channels = [_location(placing, stance, motion.heads[:, bone]) for bone, placing in puppet.placed.items()]
    for pole, placing in zip(body.poles, puppet.poles, strict=True):
        channels.append(_location(placing, stance, point_at(pole, body, motion)))
    yield
    turned, values = yield from _with_locks(puppet, motion)
    own = rotations.multiply(rotations.inverse(body.spaces_in(turned, motion.loose)), turned)
    for bone, turning in puppet.turned.items():
        yield
        if not turning.lock.entire:
            name, free = rotation_channel(turning.mode, own[:, bone])
            held = () if turning.lock.as_euler else turning.lock.elements
            channels.append(Channel(body.bones[bone], name, values.get(bone, free), held))
    return [channel for channel in channels if len(channel.held) < channel.values.shape[1]]


def _with_locks(puppet: Puppet, motion: Motion) -> Steps[tuple[np.ndarray, dict[int, np.ndarray]]]:
    """The bones' rotations `(T, n, 4)` as far as locks let them, and the values of those that are locked in part."""
    body, turned, values = puppet.body, motion.turned.copy(), {}
    for bone, turning in puppet.turned.items():
        if not turning.lock.elements:
            continue
        yield
        space = body.spaces_in(turned, motion.loose)[:, bone]
        own = rotations.multiply(rotations.inverse(space), turned[:, bone])
        if turning.lock.entire:
            own = body.own[bone]
        else:
            values[bone], own = hold(turning.mode, turning.now, turning.lock, own)
        turned[:, bone] = rotations.multiply(space, own)
    return turned, values


def _location(placing: Placing, stance: Stance, places: np.ndarray) -> Channel:
    """The location of a bone whose head goes to the canonical `places (T, 3)`."""
    values = stance.place_back(places) @ placing.inward[:3, :3].T + placing.inward[:3, 3]
    return Channel(placing.bone, "location", values, placing.held)


def _bone_takes(root: RootBone, stance: Stance, ground: Ground) -> list[Channel]:
    """How the bone below the hips takes a clip's way over the floor."""
    channels = [_location(root.placing, stance, rotations.rotate(ground.turn, root.head) + ground.move)]
    if not root.turning.lock.elements:
        own = rotations.multiply(rotations.inverse(root.space), rotations.multiply(ground.turn, root.turned))
        channels.append(Channel(root.placing.bone, *rotation_channel(root.turning.mode, own)))
    return channels


def _object_takes(root: RootObject, stance: Stance, ground: Ground) -> list[Channel]:
    """How the object takes a clip's way over the floor."""
    back, mode = rotations.inverse(stance.to_canonical), root.turning.mode
    turn = rotations.multiply(rotations.multiply(back, ground.turn), stance.to_canonical)
    turn = turn * [1.0, *(root.mirrored * root.mirrored.prod())]  # as it is seen from outside a mirrored object
    origin = stance.place_back(rotations.rotate(ground.turn, stance.place(np.zeros(3))) + ground.move)
    channels = [Channel("", "location", root.location + origin @ root.basis.T, root.held)]
    if not root.turning.lock.elements:
        now = rotations_of(mode, root.turning.now[None])
        channels.append(Channel("", *rotation_channel(mode, rotations.multiply(now, turn))))
    return channels
