"""What must not be keyed: locked channels, those with a driver, and rotations that constraints replace."""

from collections.abc import Mapping
from dataclasses import dataclass

import bpy
import numpy as np
from mathutils import Quaternion

from .channels import rotation_channel, rotation_property, rotations_of, to_euler

_REPLACING = {"COPY_TRANSFORMS", "COPY_ROTATION", "ARMATURE"}  # constraints that can leave nothing of a bone's own rotation


@dataclass(frozen=True)
class Lock:
    """Elements of a bone's rotation that keep their values: of its property, or with `as_euler` of the XYZ angles that it comes to."""

    elements: tuple[int, ...]
    as_euler: bool = False

    @property
    def entire(self) -> bool:
        return self.as_euler and len(self.elements) == 3


def rotation_lock(bone: bpy.types.PoseBone, in_ik: Mapping[str, bpy.types.Constraint]) -> Lock:
    """What is locked of a bone's rotation; `in_ik` has the bones that IK turns."""
    name, count = rotation_property(bone.rotation_mode)
    locked = {axis for axis in range(3) if bone.lock_rotation[axis]}
    driven = set(_driven(bone, name, count))
    if turning_constraint(bone, in_ik) or len(locked) == 3 or len(driven) == count:
        return Lock((0, 1, 2), as_euler=True)
    if count == 4 and bone.lock_rotations_4d:
        locked = {axis + 1 for axis in locked} | ({0} if bone.lock_rotation_w else set())
    elif count == 4 and locked:
        return Lock(tuple(sorted(locked)), as_euler=True)
    return Lock(tuple(sorted(locked | driven)))


def hold(mode: str, now: np.ndarray, lock: Lock, own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The values `(T, n)` of a rotation property for rotations `own (T, 4)` and, because of a lock, what these come to.

    `mode` is the rotation mode, `now (n,)` what the property has, n being 3 or 4.
    """
    elements = list(lock.elements)
    if lock.as_euler:
        angles = to_euler("XYZ", own)
        angles[:, elements] = np.array(Quaternion(rotations_of(mode, now[None])[0]).to_euler("XYZ"))[elements]
        own = rotations_of("XYZ", angles)
    values = rotation_channel(mode, own)[1]
    if elements and not lock.as_euler:
        values[:, elements] = now[elements]
        own = rotations_of(mode, values)
    return values, own


def location_lock(owner: bpy.types.PoseBone | bpy.types.Object) -> tuple[int, ...]:
    """Which elements of a bone's or an object's location are locked or driven."""
    return tuple(sorted({axis for axis in range(3) if owner.lock_location[axis]} | set(_driven(owner, "location", 3))))


def bones_in_ik(armature: bpy.types.Object) -> dict[str, bpy.types.Constraint]:
    """The bones that IK constraints turn, each with its constraint."""
    turned = {}
    for bone in armature.pose.bones:
        for constraint in bone.constraints:
            if constraint.type == "IK" and constraint.target and not constraint.mute and constraint.influence > 0:
                chain = [bone, *bone.parent_recursive]
                turned |= {link.name: constraint for link in chain[: constraint.chain_count or None]}
    return turned


def turning_constraint(bone: bpy.types.PoseBone, in_ik: Mapping[str, bpy.types.Constraint]) -> bpy.types.Constraint | None:
    """The constraint that leaves nothing of a bone's own rotation, if any; `in_ik` has the bones that IK turns."""
    return in_ik.get(bone.name) or next(filter(_replaces_rotation, bone.constraints), None)


def follows_bones(constraint: bpy.types.Constraint) -> bool:
    """Whether a constraint has a bone follow others, such as controls, and not an object in the scene."""
    return constraint.type == "ARMATURE" or bool(constraint.subtarget and constraint.target.type == "ARMATURE")


def _driven(owner: bpy.types.PoseBone | bpy.types.Object, name: str, count: int) -> list[int]:
    data = owner.id_data.animation_data
    if data is None or not data.drivers:
        return []
    path = owner.path_from_id(name)
    return [element for element in range(count) if data.drivers.find(path, index=element)]


def _replaces_rotation(constraint: bpy.types.Constraint) -> bool:
    if constraint.type not in _REPLACING or constraint.mute or constraint.influence < 1:
        return False
    if constraint.type == "ARMATURE":
        return True
    axes = constraint.type == "COPY_TRANSFORMS" or (constraint.use_x and constraint.use_y and constraint.use_z)
    return bool(constraint.target and constraint.mix_mode == "REPLACE" and axes)
