"""What is read of a character before clips are put on it, so that working them out needs nothing of Blender's data."""

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import bpy
import numpy as np

from ...backend.motion import rotations
from ...backend.motion.clip import Clip
from ...backend.protocol.errors import Code, MotionGPTError
from ..orders import OriginValue
from ..rigs.body import Body, find_limb_scales, find_root_bone, location_space, read_body, space_of
from ..rigs.controls import Limbs
from ..rigs.mapping import find_mapping
from ..rigs.retarget import Ground
from ..rigs.rig import Rig, read_bones, read_pose, read_rig
from .action import Channel, read_value, set_value
from .channels import rotation_property
from .locks import Lock, bones_in_ik, follows_bones, location_lock, rotation_lock, turning_constraint

_CARRYING = ("pelvis", "hip", "knee", "shoulder", "elbow")  # without keys on the bones of these a clip is not to be recognised
_SAME = np.radians(0.1)  # how far apart joints of the same pose are


@dataclass(frozen=True)
class Placing:
    """How a bone is moved: the matrix `inward (4, 4)` from armature space to its location, and which elements of that are held."""

    bone: str
    inward: np.ndarray
    held: tuple[int, ...]


@dataclass(frozen=True)
class Turning:
    """How a bone or object is turned: its rotation mode, the values `now (3 or 4,)` of its property, and what is locked of it."""

    mode: str
    now: np.ndarray
    lock: Lock


@dataclass(frozen=True)
class RootBone:
    """The bone below the hips: its head `(3,)`, its rotation `(4,)` and that which it has where its own is none `(4,)`, canonically."""

    placing: Placing
    turning: Turning
    head: np.ndarray
    turned: np.ndarray
    space: np.ndarray


@dataclass(frozen=True)
class RootObject:
    """The object: its location `(3,)`, the axes and scales `basis (3, 3)` that its own channels give it, the elements held.

    `mirrored (3,)` are -1 for axes along which it is mirrored, and 1 for the others.
    """

    turning: Turning
    location: np.ndarray
    basis: np.ndarray
    mirrored: np.ndarray
    held: tuple[int, ...]


@dataclass(frozen=True)
class Puppet:
    """A character, read once to put clips on it, which holds as long as nobody else changes it.

    `whole` is the body with limbs of their full lengths; `body` may have shorter ones, by scales that come with the switches.
    `placed` are the bones of `body` that are moved, `poles` those at which limbs point, `turned` those that are turned, by their
    place in `body.bones`. `root` is what takes the character over the floor, if its hips do not. `under (4, 4)` is the parent of what
    moves the hips, in the armature; `carried` are the ways that other keys take the object and that parent in the frames of a clip.
    """

    rig: Rig
    body: Body
    whole: Body
    switches: Sequence[Channel]
    placed: Mapping[int, Placing]
    poles: Sequence[Placing]
    turned: Mapping[int, Turning]
    root: RootBone | RootObject | None
    under: np.ndarray
    carried: tuple[Ground, ...] = ()


def read_puppet(
    armature: bpy.types.Object,
    depsgraph: bpy.types.Depsgraph,
    clip: Clip | None = None,
    fixed: Sequence[int] = (),
    origin: Sequence[OriginValue] = (),
    limbs: Limbs | None = None,
) -> Puppet:
    """MotionGPTError if the armature is not a character's. What takes it over the floor is read as if it were placed at `origin`.
    Limbs are of the kind that the animator has set, if no other is asked for.

    If the character stands in a pose that the clip has at one of the frames `fixed`, and IK squeezes its limbs there, they are
    as short for all of the clip.
    """
    rig = read_rig(armature)
    kind: Limbs = limbs or armature.motiongpt.limbs
    switches = find_switches(armature, kind)
    posed = armature.evaluated_get(depsgraph).pose.bones
    held = bool(rig.controls) and _stands_in(rig, armature, depsgraph, clip, fixed)
    scales = [Channel(bone, "scale", np.full((1, 3), scale)) for bone, scale in find_limb_scales(rig, posed, held).items()]
    full = [replace(scale, values=np.ones((1, 3))) for scale in scales]
    root = _find_root(rig, armature, posed)
    placed = [Channel(value.bone, value.property, np.array([value.values])) for value in origin if value.bone == root]
    with _switched(armature, depsgraph, [*placed, *switches, *full]):
        whole = read_body(rig, armature, depsgraph, kind)
        with _switched(armature, depsgraph, scales):
            body = read_body(rig, armature, depsgraph, kind) if held and scales else whole
            return _read(rig, body, whole, [*switches, *scales], armature, depsgraph)


def _read(
    rig: Rig, body: Body, whole: Body, switches: Sequence[Channel], armature: bpy.types.Object, depsgraph: bpy.types.Depsgraph
) -> Puppet:
    posed = armature.evaluated_get(depsgraph).pose.bones
    in_ik = {} if rig.controls else bones_in_ik(armature)
    return Puppet(
        rig,
        body,
        whole,
        switches,
        {bone: _placing(armature, posed[body.bones[bone]]) for bone in (body.mover, *body.goals)},
        [_placing(armature, posed[pole.bone]) for pole in body.poles],
        {bone: _turning(armature.pose.bones[body.bones[bone]], in_ik) for bone in body.keyed},
        _root(rig, armature, posed),
        np.array(above.matrix) if (above := posed[body.bones[body.mover]].parent) else np.eye(4),
    )


def _placing(armature: bpy.types.Object, posed: bpy.types.PoseBone) -> Placing:
    return Placing(posed.name, np.linalg.inv(location_space(posed)), location_lock(armature.pose.bones[posed.name]))


def _turning(owner: bpy.types.PoseBone | bpy.types.Object, in_ik: Mapping[str, bpy.types.Constraint]) -> Turning:
    name, _ = rotation_property(owner.rotation_mode)
    return Turning(owner.rotation_mode, np.array(getattr(owner, name)), rotation_lock(owner, in_ik))


def read_origin(armature: bpy.types.Object, depsgraph: bpy.types.Depsgraph) -> tuple[OriginValue, ...]:
    """How that is placed which takes the character over the floor, if its hips do not; MotionGPTError if nothing can take it there."""
    shown, rig = armature.evaluated_get(depsgraph), read_rig(armature)
    root = _find_root(rig, armature, shown.pose.bones)
    if root is None:
        _require_free_hips(rig, armature)
        return ()
    turned, _ = rotation_property((shown.pose.bones[root] if root else shown).rotation_mode)
    return tuple(OriginValue(root, name, read_value(shown, root, name)) for name in ("location", turned))


def bones_left_alone(armature: bpy.types.Object) -> dict[str, bpy.types.Constraint]:
    """The bones of hips, upper and lower limbs that get no keys, each with the constraint that turns it instead."""
    mapping = find_mapping(armature)
    if mapping.controls:
        return {}
    bones, in_ik = armature.pose.bones, bones_in_ik(armature)
    carrying = [bones[name] for joint, name in mapping.bones.items() if joint.endswith(_CARRYING) and name in bones]
    return {bone.name: constraint for bone in carrying if (constraint := turning_constraint(bone, in_ik))}


def require_free_bones(armature: bpy.types.Object, bones: Collection[str] = ()) -> None:
    """MotionGPTError if a clip would not be seen because hips or limbs, as far as they are among `bones`, follow bones without keys."""
    held = {name: c for name, c in bones_left_alone(armature).items() if follows_bones(c) and (name in bones or not bones)}
    if not held:
        return
    mapping, names = find_mapping(armature), ", ".join(held)
    if mapping.lacks:
        lacks = ", ".join(mapping.lacks)
        raise MotionGPTError(
            Code.INVALID_PARAMS,
            f"Constraints turn the bones {names} of {armature.name}, and of the controls of {mapping.kind} it lacks {lacks}.",
            "Generate the rig anew with all its controls, or choose the controls that there are under Character.",
        )
    constraints = ", ".join(dict.fromkeys(constraint.name for constraint in held.values()))
    raise MotionGPTError(
        Code.INVALID_PARAMS,
        f"The bones {names} of {armature.name} are turned by constraints ({constraints}), so they cannot be keyed.",
        "Mute the constraints, or choose the control bones under Character.",
    )


def _require_free_hips(rig: Rig, armature: bpy.types.Object) -> None:
    bone = armature.data.bones[rig.controls.body if rig.controls else rig.bones[0]]
    if bone.parent and bone.use_connect:
        raise MotionGPTError(
            Code.INVALID_PARAMS,
            f"{bone.name} of {armature.name} is connected to its parent, so it cannot be moved.",
            "Turn off Connected for it in edit mode, or set Way Goes Into under Character to Root Bone or Object.",
        )


def _root(rig: Rig, armature: bpy.types.Object, posed: Mapping[str, bpy.types.PoseBone]) -> RootBone | RootObject | None:
    name = _find_root(rig, armature, posed)
    if name is None:
        return None
    if not name:
        basis = np.array(armature.matrix_basis)[:3, :3]
        mirrored = np.where(np.array(armature.scale) < 0.0, -1.0, 1.0)
        return RootObject(_turning(armature, {}), np.array(armature.location), basis, mirrored, location_lock(armature))
    turned, heads = read_bones(rig.stance, [posed[name]])
    turning = _turning(armature.pose.bones[name], {})
    return RootBone(_placing(armature, posed[name]), turning, heads[0], turned[0], space_of(rig.stance, posed[name]))


def _find_root(rig: Rig, armature: bpy.types.Object, posed: Mapping[str, bpy.types.PoseBone]) -> str | None:
    """What takes the character over the floor, if its hips do not: a bone, or the object, which has the empty name."""
    if armature.motiongpt.root_motion == "OBJECT":
        return ""
    if armature.motiongpt.root_motion != "ROOT_BONE":
        return None
    name = find_root_bone(rig, posed)
    if name is None:
        raise MotionGPTError(
            Code.INVALID_PARAMS,
            f"{armature.name} has no bone below its hips.",
            "Set Way Goes Into under Character to Hips or Object, or add a bone that is the hips' parent.",
        )
    return name


def find_switches(armature: bpy.types.Object, limbs: Limbs) -> list[Channel]:
    """What has to be set so that a character's limbs obey controls of a kind."""
    controls, channels = find_mapping(armature).controls, []
    for switch in controls.switches if controls else ():
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
