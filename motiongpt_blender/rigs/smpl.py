"""SMPL characters: an armature of the skeleton's joints in T-pose, with a mannequin or with the skin of a body model."""

import contextlib

import bpy
import numpy as np

from ...backend.motion import rotations
from ...backend.motion.skeleton import SMPL
from ...backend.protocol import messages
from ...backend.protocol.errors import Code, MotionGPTError
from ..steps import Steps
from .mannequin import build_mannequin
from .skin import build_skin, sew

NAME = "SMPL Character"
ROOT_BONE = "root"
_ROOT_LENGTH = 0.3
_TAILS = {  # of bones that end in the air or have several children, in metres from the joint, in the canonical frame
    "pelvis": (0, 0.1, 0),
    "spine3": (0, 0.15, 0),
    "head": (0, 0.2, 0),
    "left_foot": (0, 0, 0.07),
    "right_foot": (0, 0, 0.07),
    "left_wrist": (0.17, 0, 0),
    "right_wrist": (-0.17, 0, 0),
}


def add_smpl_rig(context: bpy.types.Context) -> bpy.types.Object:
    """Add the character at the 3D cursor in T-pose, facing -Y, and make it the active object; Blender must be in object mode."""
    heads = SMPL.forward(np.tile(rotations.IDENTITY, (len(SMPL), 1)), np.array([0.0, SMPL.rest_height, 0.0]))
    body = build_mannequin(f"{NAME} Body", dict(zip(SMPL.joints, heads, strict=True)), to_blender)
    return _add_character(context, NAME, body, SMPL.joints, SMPL.parents, heads)


def add_body(built: messages.BodyReply) -> Steps[None]:
    """Add a body as `add_smpl_rig` does, its lowest point on the floor: worked out in steps, and all of it added in the last.

    MotionGPTError if Blender is not in object mode then.
    """
    up = np.array([0.0, -built.vertices[:, 1].min(), 0.0])
    sewn = yield from sew(to_blender(built.vertices + up), built.faces, built.weights)
    if bpy.context.mode != "OBJECT":
        raise MotionGPTError(Code.INVALID_PARAMS, "A body can only be added in object mode.", "Switch to object mode and add it again.")
    window = next(iter(bpy.context.window_manager.windows), None)  # a timer has none, and what it calls needs one
    with bpy.context.temp_override(window=window) if window else contextlib.nullcontext():
        name = f"{built.kind} Character"
        skin = build_skin(f"{name} Body", sewn, built.names)
        _add_character(bpy.context, name, skin, built.names, built.parents, built.joints + up)


def _add_character(
    context: bpy.types.Context,
    name: str,
    body: bpy.types.Object,
    joints: tuple[str, ...],
    parents: tuple[int, ...],
    heads: np.ndarray,
) -> bpy.types.Object:
    data = bpy.data.armatures.new(name)
    data.display_type = "STICK"
    rig = bpy.data.objects.new(name, data)
    rig.show_in_front = True
    rig.location = context.scene.cursor.location
    context.collection.objects.link(rig)
    for obj in context.selected_objects:
        obj.select_set(False)
    rig.select_set(True)
    context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    _build_bones(data.edit_bones, joints, parents, heads)
    bpy.ops.object.mode_set(mode="OBJECT")
    body.parent = rig  # not before: changing the mode evaluates what is there
    body.modifiers.new("Armature", "ARMATURE").object = rig
    context.collection.objects.link(body)
    return rig


def to_blender(points: np.ndarray) -> np.ndarray:
    """Canonical points `(..., 3)` (Y up, facing +Z) as Blender's (Z up, facing -Y)."""
    return points[..., [0, 2, 1]] * np.array([1.0, -1.0, 1.0])


def _build_bones(edit_bones: bpy.types.ArmatureEditBones, joints: tuple[str, ...], parents: tuple[int, ...], heads: np.ndarray) -> None:
    root = edit_bones.new(ROOT_BONE)
    root.tail = (0, _ROOT_LENGTH, 0)
    tails = np.array([_tail(joint, joints, parents, heads) for joint in range(len(joints))])
    for name, parent, head, tail in zip(joints, parents, to_blender(heads).tolist(), to_blender(tails).tolist(), strict=True):
        bone = edit_bones.new(name)
        bone.head, bone.tail = head, tail
        bone.parent = edit_bones[joints[parent]] if parent >= 0 else root
        along_floor = abs(bone.vector.normalized().y) > 0.7
        bone.align_roll((0, 0, 1) if along_floor else (0, -1, 0))  # alike on both sides, so that poses can be mirrored


def _tail(joint: int, joints: tuple[str, ...], parents: tuple[int, ...], heads: np.ndarray) -> np.ndarray:
    """Where `(3,)` the bone of a joint ends."""
    if joints[joint] in _TAILS:
        return heads[joint] + _TAILS[joints[joint]]
    if joint in parents:
        return heads[parents.index(joint)]
    return heads[joint] + (heads[joint] - heads[parents[joint]]) / 2
