"""A clip as keyframes on a character's bones, or on its controls."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import bpy
import numpy as np

from ...backend.motion import rotations
from ...backend.motion.clip import Clip
from ...backend.protocol.errors import Code, MotionGPTError
from ..rigs.body import Body, find_limb_scales, find_root_bone, location_space, read_body, space_of
from ..rigs.controls import Controls, Limbs
from ..rigs.retarget import Ground, Motion, find_ground, point_at, retarget
from ..rigs.rig import Rig, read_bones, read_pose, read_rig
from .action import Channel, action_name, assign, new_action, read_value, set_value
from .channels import rotation_channel, rotation_property, rotations_of
from .keys import every_frame
from .locks import Lock, bones_in_ik, hold, location_lock, rotation_lock

_SAME = np.radians(0.1)  # how far apart joints of the same pose are


@dataclass(frozen=True)
class Puppet:
    """What is read of a character once to put clips on it, which holds as long as nobody else changes it.

    `whole` is the body with limbs of their full lengths; `body` may have shorter ones, by scales that come with the switches.
    """

    rig: Rig
    body: Body
    whole: Body
    switches: Sequence[Channel]


def read_puppet(armature: bpy.types.Object, depsgraph: bpy.types.Depsgraph, clip: Clip | None = None, fixed: Sequence[int] = ()) -> Puppet:
    """MotionGPTError if the armature is not a character's.

    If the character stands in a pose that the clip has at one of the frames `fixed`, and IK squeezes its limbs there, they are
    as short for all of the clip.
    """
    rig, limbs = read_rig(armature), armature.motiongpt.limbs
    switches = _switches(rig.controls, limbs, armature) if rig.controls else []
    posed = armature.evaluated_get(depsgraph).pose.bones
    held = bool(rig.controls) and _stands_in(rig, armature, depsgraph, clip, fixed)
    scales = [Channel(bone, "scale", np.full((1, 3), scale)) for bone, scale in find_limb_scales(rig, posed, held).items()]
    full = [replace(scale, values=np.ones((1, 3))) for scale in scales]
    with _switched(armature, depsgraph, [*switches, *full]):
        body = whole = read_body(rig, armature, depsgraph, limbs)
        if held and scales:
            with _switched(armature, depsgraph, scales):
                body = read_body(rig, armature, depsgraph, limbs)
        return Puppet(rig, body, whole, [*switches, *scales])


def puppet_channels(
    puppet: Puppet, armature: bpy.types.Object, depsgraph: bpy.types.Depsgraph, clip: Clip, fixed: Sequence[int] = ()
) -> list[Channel]:
    """What a clip of canonical motion is on the armature's bones, a value a frame; MotionGPTError if it cannot be put there.

    At the frames `fixed` of the clip, from 0, are poses that were read from this armature: they come out as they were. Switches
    between kinds of controls come with it.
    """
    rig, body, way = puppet.rig, puppet.body, []
    with _switched(armature, depsgraph, puppet.switches):
        motion = retarget(body, clip, fixed, puppet.whole)
        if take := {"ROOT_BONE": _take_root_bone, "OBJECT": _take_object}.get(armature.motiongpt.root_motion):
            ground, way = take(rig, armature, depsgraph, clip, fixed[0] if fixed else 0)
            motion = ground.taken_off(motion, by_bone=armature.motiongpt.root_motion == "ROOT_BONE")
        return [*puppet.switches, *way, *_body_channels(rig, body, armature, depsgraph, motion)]


def clip_to_channels(armature: bpy.types.Object, depsgraph: bpy.types.Depsgraph, clip: Clip, fixed: Sequence[int] = ()) -> list[Channel]:
    """As `puppet_channels`, of a character as it is now."""
    return puppet_channels(read_puppet(armature, depsgraph, clip, fixed), armature, depsgraph, clip, fixed)


def write_clip(
    armature: bpy.types.Object, depsgraph: bpy.types.Depsgraph, clip: Clip, start: int, prompt: str, fixed: Sequence[int] = ()
) -> bpy.types.Action:
    """Key a clip on the armature's bones, a key a frame from `start` on, in an action of its own that the armature then plays."""
    channels = clip_to_channels(armature, depsgraph, clip, fixed)
    tracks = [(channel, every_frame(channel.values)) for channel in channels]
    action = new_action(armature, action_name(prompt), start, tracks)
    assign(armature, action)
    return action


def _switches(controls: Controls, limbs: Limbs, armature: bpy.types.Object) -> list[Channel]:
    channels = []
    for switch in controls.switches:
        bone = armature.pose.bones.get(switch.bone)
        if bone is None or not (switch.property in bone or hasattr(bone, switch.property)):
            continue
        name = f'["{bpy.utils.escape_identifier(switch.property)}"]' if switch.property in bone else switch.property
        channels.append(Channel(switch.bone, name, np.array([[float(switch.value[limbs])]])))
    return channels


def _stands_in(rig: Rig, armature: bpy.types.Object, depsgraph: bpy.types.Depsgraph, clip: Clip | None, fixed: Sequence[int]) -> bool:
    """Whether the character stands in a pose that the clip has at one of the frames `fixed`."""
    if clip is None or not fixed:
        return False
    now, _ = read_pose(rig, armature, depsgraph)
    return any(rotations.angle_between(now, clip.local[frame]).max() < _SAME for frame in fixed)


@contextlib.contextmanager
def _switched(armature: bpy.types.Object, depsgraph: bpy.types.Depsgraph, switches: Sequence[Channel]) -> Iterator[None]:
    """The rig is evaluated with its switches as they will be."""
    before = [read_value(armature, switch.bone, switch.property) for switch in switches]
    if all(tuple(switch.values[0]) == value for switch, value in zip(switches, before, strict=True)):
        yield
        return
    for switch in switches:
        set_value(armature, switch.bone, switch.property, switch.values[0].tolist())
    armature.update_tag()
    depsgraph.update()
    try:
        yield
    finally:
        for switch, value in zip(switches, before, strict=True):
            set_value(armature, switch.bone, switch.property, value)
        armature.update_tag()


def _body_channels(rig: Rig, body: Body, armature: bpy.types.Object, depsgraph: bpy.types.Depsgraph, motion: Motion) -> list[Channel]:
    posed = armature.evaluated_get(depsgraph).pose.bones
    moved = {body.bones[bone]: motion.heads[:, bone] for bone in (body.mover, *body.goals)}
    moved |= {pole.bone: point_at(pole, body, motion) for pole in body.poles}
    channels = [_location(rig, armature.pose.bones[bone], posed[bone], places) for bone, places in moved.items()]
    in_ik = set() if rig.controls else bones_in_ik(armature)
    locks = {bone: rotation_lock(armature.pose.bones[body.bones[bone]], in_ik) for bone in body.keyed}
    turned, values = _with_locks(body, armature, motion, {bone: lock for bone, lock in locks.items() if lock.elements})
    own = rotations.multiply(rotations.inverse(body.spaces_in(turned, motion.loose)), turned)
    for bone, lock in locks.items():
        name = body.bones[bone]
        if not lock.entire:
            prop, free = rotation_channel(armature.pose.bones[name].rotation_mode, own[:, bone])
            channels.append(Channel(name, prop, values.get(bone, free), () if lock.as_euler else lock.elements))
    return [channel for channel in channels if len(channel.held) < channel.values.shape[1]]


def _with_locks(body: Body, armature: bpy.types.Object, motion: Motion, locks: dict[int, Lock]) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """The bones' rotations `(T, n, 4)` as far as locks let them, and the values of those that are locked in part."""
    turned, values = motion.turned.copy(), {}
    for bone, lock in locks.items():
        space = body.spaces_in(turned, motion.loose)[:, bone]
        own = rotations.multiply(rotations.inverse(space), turned[:, bone])
        if lock.entire:
            own = body.own[bone]
        else:
            values[bone], own = hold(armature.pose.bones[body.bones[bone]], lock, own)
        turned[:, bone] = rotations.multiply(space, own)
    return turned, values


def _location(rig: Rig, bone: bpy.types.PoseBone, posed: bpy.types.PoseBone, places: np.ndarray) -> Channel:
    """The location of a bone whose head goes to the canonical `places (T, 3)`."""
    inward = np.linalg.inv(location_space(posed))
    values = rig.stance.place_back(places) @ inward[:3, :3].T + inward[:3, 3]
    return Channel(bone.name, "location", values, location_lock(bone))


def _take_root_bone(
    rig: Rig, armature: bpy.types.Object, depsgraph: bpy.types.Depsgraph, clip: Clip, anchor: int
) -> tuple[Ground, list[Channel]]:
    """The clip's way over the floor, and how the bone below the hips takes it."""
    posed = armature.evaluated_get(depsgraph).pose.bones
    name = find_root_bone(rig, posed)
    if name is None:
        raise MotionGPTError(
            Code.INVALID_PARAMS,
            f"{armature.name} has no bone below its hips.",
            "Have the character moved by its hips or by its object, or add a bone that is the hips' parent.",
        )
    bone = armature.pose.bones[name]
    lock = rotation_lock(bone, set())
    ground = find_ground(clip, anchor, turns=not lock.elements)
    turned, heads = read_bones(rig.stance, [posed[name]])
    channels = [_location(rig, bone, posed[name], rotations.rotate(ground.turn, heads) + ground.move)]
    if not lock.elements:
        own = rotations.multiply(rotations.inverse(space_of(rig.stance, posed[name])), rotations.multiply(ground.turn, turned))
        channels.append(Channel(name, *rotation_channel(bone.rotation_mode, own)))
    return ground, channels


def _take_object(
    rig: Rig, armature: bpy.types.Object, depsgraph: bpy.types.Depsgraph, clip: Clip, anchor: int
) -> tuple[Ground, list[Channel]]:
    """The clip's way over the floor, and how the object takes it."""
    lock = rotation_lock(armature, set())
    ground = find_ground(clip, anchor, turns=not lock.elements)
    stance, back = rig.stance, rotations.inverse(rig.stance.to_canonical)
    turn = rotations.multiply(rotations.multiply(back, ground.turn), stance.to_canonical)
    origin = stance.place_back(rotations.rotate(ground.turn, stance.place(np.zeros(3))) + ground.move)
    basis = np.array(armature.matrix_basis)[:3, :3]
    channels = [Channel("", "location", np.array(armature.location) + origin @ basis.T, location_lock(armature))]
    if not lock.elements:
        name, _ = rotation_property(armature.rotation_mode)
        now = rotations_of(armature.rotation_mode, np.array(getattr(armature, name))[None])
        channels.append(Channel("", *rotation_channel(armature.rotation_mode, rotations.multiply(now, turn))))
    return ground, channels
