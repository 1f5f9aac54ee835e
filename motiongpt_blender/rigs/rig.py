"""Poses and clips between a rig and the canonical skeleton, through the rig's rest pose.

A joint's rotation is how far its bone has turned away from rest, seen in the armature's space: bone rolls, bone axes and the
object's own place, turn and scale drop out. The rig's frame (up, left, size, floor) comes from its rest pose too, so rigs
in centimetres or with Y up read the same.
"""

from dataclasses import dataclass

import bpy
import numpy as np

from ...backend.motion import rotations
from ...backend.motion.skeleton import SMPL
from ...backend.protocol.errors import Code, MotionGPTError
from .mapping import find_mapping


@dataclass(frozen=True)
class Rig:
    """What the rest pose of an armature says once and for all.

    `bones` are the names of the 22 joints' bones, `parents` for each the index of the nearest of them above it (-1: none),
    `rest (22, 4)` their rotations in armature space. `to_canonical (4,)` turns armature space into the canonical frame,
    `scale` is armature units per metre there, `floor (3,)` the point of the floor above or below the armature's origin.
    """

    bones: tuple[str, ...]
    parents: tuple[int, ...]
    rest: np.ndarray
    to_canonical: np.ndarray
    scale: float
    floor: np.ndarray


@dataclass(frozen=True)
class Surroundings:
    """What the other bones of the rig do in a pose, which a clip has to reckon with and leaves as it is.

    `turns (22, 4)` is how much further each bone's parent has turned than the nearest of our bones above it: identity
    unless other bones lie between. `pelvis_space (4, 4)` is the space in which the pelvis bone's location counts.
    """

    turns: np.ndarray
    pelvis_space: np.ndarray


def read_rig(armature: bpy.types.Object) -> Rig:
    """The rig of an armature object; MotionGPTError if it lacks bones or does not stand upright at rest."""
    bones = armature.data.bones
    mapping = find_mapping(armature)
    names = tuple(mapping.bones[joint] for joint in SMPL.joints)
    parents = tuple(next((names.index(b.name) for b in bones[name].parent_recursive if b.name in names), -1) for name in names)
    rest = np.array([bones[name].matrix_local for name in names])
    at = dict(zip(SMPL.joints, rest[:, :3, 3], strict=True))
    up = _nearest_axis(at["head"] - (at["left_hip"] + at["right_hip"]) / 2)
    left = _nearest_axis((at["left_hip"] - at["right_hip"]) * (up == 0))
    lowest = (rest[:, :3, 3] @ up).min()
    scale = (at["pelvis"] @ up - lowest) / SMPL.rest_height
    if not left.any() or scale <= 0:
        raise MotionGPTError(
            Code.INVALID_PARAMS, f"The rest pose of {armature.name} is not a person standing.", "Edit its bones so that it stands upright."
        )
    to_canonical = rotations.from_matrix(np.stack([left, up, np.cross(left, up)]))
    return Rig(names, parents, rotations.from_matrix(rest[:, :3, :3]), to_canonical, float(scale), lowest * up)


def read_pose(rig: Rig, armature: bpy.types.Object, depsgraph: bpy.types.Depsgraph) -> tuple[np.ndarray, np.ndarray]:
    """The evaluated pose: canonical parent-relative rotations `(22, 4)` and root translation `(3,)` in metres."""
    posed = armature.evaluated_get(depsgraph).pose.bones
    matrices = np.array([posed[name].matrix for name in rig.bones])
    turns = _turns(matrices, rig.rest)
    canonical = rotations.multiply(rotations.multiply(rig.to_canonical, turns), rotations.inverse(rig.to_canonical))
    root = rotations.rotate(rig.to_canonical, matrices[0, :3, 3] - rig.floor) / rig.scale
    return SMPL.to_local(canonical), root


def read_surroundings(rig: Rig, armature: bpy.types.Object, depsgraph: bpy.types.Depsgraph) -> Surroundings:
    """What the bones above and between the rig's own do in the evaluated pose."""
    bones = armature.data.bones
    posed = armature.evaluated_get(depsgraph).pose.bones
    turns = np.tile(rotations.IDENTITY, (len(rig.bones), 1))
    for joint, name in enumerate(rig.bones):
        parent, ancestor = bones[name].parent, rig.parents[joint]
        if parent is None or parent.name == (rig.bones[ancestor] if ancestor >= 0 else None):
            continue
        turn = _turns(np.array(posed[parent.name].matrix), _rotation(parent))
        above = rotations.IDENTITY
        if ancestor >= 0:
            above = _turns(np.array(posed[rig.bones[ancestor]].matrix), rig.rest[ancestor])
        turns[joint] = rotations.multiply(rotations.inverse(above), turn)
    pelvis = bones[rig.bones[0]]
    pelvis_space = np.array(pelvis.matrix_local)
    if pelvis.parent:
        pelvis_space = np.array(posed[pelvis.parent.name].matrix @ pelvis.parent.matrix_local.inverted()) @ pelvis_space
    return Surroundings(turns, pelvis_space)


def clip_to_bones(rig: Rig, surroundings: Surroundings, local: np.ndarray, root: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each bone's own rotation `(T, 22, 4)` and the pelvis bone's location `(T, 3)` for canonical `local (T, 22, 4)`, `root (T, 3)`."""
    to_rig = rotations.inverse(rig.to_canonical)
    turns = rotations.multiply(rotations.multiply(to_rig, SMPL.to_global(local)), rig.to_canonical)
    rooted = np.concatenate([turns, np.broadcast_to(rotations.IDENTITY, (len(turns), 1, 4))], axis=1)
    above = rotations.multiply(rooted[:, list(rig.parents)], surroundings.turns)  # parent -1 is the identity at the end
    bent = rotations.multiply(rotations.inverse(above), turns)
    own = rotations.multiply(rotations.inverse(rig.rest), rotations.multiply(bent, rig.rest))
    place = rotations.rotate(to_rig, root) * rig.scale + rig.floor
    inward = np.linalg.inv(surroundings.pelvis_space)
    return own, place @ inward[:3, :3].T + inward[:3, 3]


def _turns(matrices: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Rotations `(..., 4)` from `rest (..., 4)` to posed `matrices (..., 4, 4)`, any scale of the pose left out."""
    axes = matrices[..., :3, :3]
    posed = rotations.from_matrix(axes / np.linalg.norm(axes, axis=-2, keepdims=True))
    return rotations.multiply(posed, rotations.inverse(rest))


def _rotation(bone: bpy.types.Bone) -> np.ndarray:
    return rotations.from_matrix(np.array(bone.matrix_local)[:3, :3])


def _nearest_axis(direction: np.ndarray) -> np.ndarray:
    axis = np.argmax(np.abs(direction))
    return np.eye(3)[axis] * np.sign(direction[axis])
