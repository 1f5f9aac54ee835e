"""Poses of a rig in the canonical skeleton's words.

A joint's rotation is how far its bone has turned away from the T-pose, seen in the armature's space: bone rolls, bone axes and the
object's own place, turn and scale drop out. The rig's frame (up, left, size, floor) comes from its rest pose too, so rigs in
centimetres or with Y up read the same. Joints that a rig lacks turn as those around them.
"""

import json
from dataclasses import dataclass

import bpy
import numpy as np

from ...backend.motion import rotations
from ...backend.motion.limbs import LIMBS
from ...backend.motion.skeleton import SMPL
from ...backend.protocol.errors import Code, MotionGPTError
from .controls import Controls
from .mapping import find_mapping
from .stance import Stance, find_stance, pelvis_at

SPINE = ("pelvis", "spine1", "spine2", "spine3", "neck", "head")


@dataclass(frozen=True)
class Rig:
    """What mapping and rest pose of an armature say once and for all.

    `bones` are the names of the bones that are read, `joints` for each the index of its joint, in the skeleton's order, `rest (n, 4)`
    their rotations in the canonical frame at rest and `heads (n, 3)` the joints' places there, which are those of the bones; the pelvis
    alone may lie elsewhere, at `pelvis (3,)` in the frame of its bone.
    """

    bones: tuple[str, ...]
    joints: tuple[int, ...]
    controls: Controls | None
    stance: Stance
    rest: np.ndarray
    heads: np.ndarray
    pelvis: np.ndarray

    @property
    def scale(self) -> float:
        """Armature units per metre."""
        return self.stance.scale

    def bone(self, joint: str) -> str | None:
        """The bone of a joint, if the rig has one."""
        index = SMPL.index(joint)
        return self.bones[self.joints.index(index)] if index in self.joints else None


def read_rig(armature: bpy.types.Object) -> Rig:
    """The rig of an armature object; MotionGPTError if it lacks bones, does not stand upright at rest, or is being edited."""
    if armature.data.is_editmode:  # Blender brings no pose up to date meanwhile, of no object that has these bones
        raise MotionGPTError(Code.INVALID_PARAMS, f"The bones of {armature.name} are being edited.", "Leave Edit Mode first.")
    mapping = find_mapping(armature)
    joints = tuple(joint for joint, name in enumerate(SMPL.joints) if name in mapping.bones)
    bones = tuple(mapping.bones[SMPL.joints[joint]] for joint in joints)
    told = json.loads(armature.motiongpt.t_pose or "{}")  # rotation and head of each bone, in armature space
    is_told = bool(told)
    if is_told and (unknown := [bone for bone in bones if bone not in told]):
        raise MotionGPTError(
            Code.INVALID_PARAMS,
            f"The T-pose that you told of {armature.name} does not have its bones {', '.join(unknown)}.",
            "Press Use Rest Pose under Character, and tell the T-pose again if it is not the rest pose.",
        )
    heads = [told[bone][1] if is_told else armature.data.bones[bone].head_local for bone in bones]
    at = {SMPL.joints[joint]: np.array(head) for joint, head in zip(joints, heads, strict=True)}
    feet = [armature.pose.bones[bone].head for bone, joint in zip(bones, joints, strict=True) if SMPL.joints[joint].endswith("foot")]
    stance = find_stance(at, np.array(feet), is_told)
    if stance is None:
        raise MotionGPTError(
            Code.INVALID_PARAMS,
            f"The rest pose of {armature.name} is not a person standing.",
            "Check its bones under Character, or have it stand upright in a T and press This Is My T-Pose there.",
        )
    rest, heads = read_rest(stance, [armature.data.bones[bone] for bone in bones])
    if is_told:
        posed = rotations.multiply(stance.to_canonical, np.array([told[bone][0] for bone in bones]))
        stance.turns[list(joints)] = rotations.multiply(posed, rotations.inverse(rest))
    pelvis = pelvis_at(*heads[:3], turn=rotations.inverse(stance.turns[0]))
    off = rotations.rotate(rotations.inverse(rest[0]), pelvis - heads[0])
    heads[0] = pelvis
    return Rig(bones, joints, mapping.controls, stance, rest, heads, off)


def tell_t_pose(armature: bpy.types.Object, depsgraph: bpy.types.Depsgraph) -> None:
    """Keep with the armature that its evaluated pose is the T-pose; MotionGPTError if it is no character's, or does not stand."""
    posed = armature.evaluated_get(depsgraph).pose.bones
    before = armature.motiongpt.t_pose
    told = {bone.name: (tuple(bone.matrix.to_quaternion()), tuple(bone.head)) for bone in posed}  # of all: others may become joints
    armature.motiongpt.t_pose = json.dumps(told)
    try:
        read_rig(armature)
    except MotionGPTError:
        armature.motiongpt.t_pose = before
        raise


def read_pose(rig: Rig, armature: bpy.types.Object, depsgraph: bpy.types.Depsgraph) -> tuple[np.ndarray, np.ndarray]:
    """The evaluated pose: canonical parent-relative rotations `(22, 4)` and root translation `(3,)` in metres."""
    posed = armature.evaluated_get(depsgraph).pose.bones
    turned, heads = read_bones(rig.stance, [posed[bone] for bone in rig.bones])
    return SMPL.to_local(turns_of_joints(rig, turned)), heads[0] + rotations.rotate(turned[0], rig.pelvis)


def read_ends(rig: Rig, armature: bpy.types.Object, depsgraph: bpy.types.Depsgraph) -> np.ndarray | None:
    """Where the limbs end in the evaluated pose `(4, 3)`, in the canonical frame and the order of `LIMBS`; None if the rig lacks one."""
    bones = [rig.bone(limb.end) for limb in LIMBS.values()]
    posed = armature.evaluated_get(depsgraph).pose.bones
    return read_bones(rig.stance, [posed[bone] for bone in bones if bone])[1] if all(bones) else None


def read_bones(stance: Stance, bones: list[bpy.types.PoseBone]) -> tuple[np.ndarray, np.ndarray]:
    """The rotations `(n, 4)`, any scale left out, and the heads `(n, 3)` of posed bones, in the canonical frame."""
    matrices = np.array([bone.matrix for bone in bones])
    axes = matrices[:, :3, :3]
    turned = rotations.from_matrix(axes / np.linalg.norm(axes, axis=-2, keepdims=True))
    return rotations.multiply(stance.to_canonical, turned), stance.place(matrices[:, :3, 3])


def read_rest(stance: Stance, bones: list[bpy.types.Bone]) -> tuple[np.ndarray, np.ndarray]:
    """The rotations `(n, 4)` and the heads `(n, 3)` of bones at rest, in the canonical frame."""
    matrices = np.array([bone.matrix_local for bone in bones])
    return rotations.multiply(stance.to_canonical, rotations.from_matrix(matrices[:, :3, :3])), stance.place(matrices[:, :3, 3])


def turns_of_joints(rig: Rig, turned: np.ndarray) -> np.ndarray:
    """How far the joints have turned from the T-pose `(22, 4)` where the bones that are read have the rotations `turned (n, 4)`.

    A joint without a bone lies evenly between those above and below it in the spine, and elsewhere follows its parent.
    """
    joints = list(rig.joints)
    t_pose = rotations.multiply(rig.stance.turns[joints], rig.rest)
    turns = np.empty((len(SMPL), 4))
    turns[joints] = rotations.multiply(turned, rotations.inverse(t_pose))
    for joint, parent in enumerate(SMPL.parents):
        if joint in rig.joints:
            continue
        turns[joint] = turns[parent]
        if SMPL.joints[joint] in SPINE:
            chain = [SMPL.index(name) for name in SPINE]
            above = next(j for j in chain[chain.index(joint) :] if j in rig.joints)
            turns[joint] = rotations.slerp(turns[parent], turns[above], np.array(1 / (chain.index(above) - chain.index(parent))))
    return turns


def carried(rig: Rig, local: np.ndarray, root: np.ndarray, carry: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The motion of a rig that is itself moved by `carry (T, 4, 4)` in its own space."""
    turn, move = rig.stance.way_of(carry)
    local = local.copy()
    local[:, 0] = rotations.multiply(turn, local[:, 0])
    return rotations.continuous(local), rotations.rotate(turn, root) + move
