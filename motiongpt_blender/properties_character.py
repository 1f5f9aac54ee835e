"""What the animator says about a character, kept with its armature object."""
# pyright: reportInvalidTypeForm=false

import bpy
from bpy.props import CollectionProperty, EnumProperty, FloatProperty, FloatVectorProperty, PointerProperty, StringProperty

from ..backend.motion.skeleton import SMPL


class MotionGPTBones(bpy.types.PropertyGroup):
    """The name of each joint's bone, empty where there is none."""

    __annotations__ = {
        joint: StringProperty(name=joint.replace("_", " ").title(), description="The bone that starts at this joint and turns with it")
        for joint in SMPL.joints
    }


class MotionGPTPosedBone(bpy.types.PropertyGroup):
    """The bone called `name` in a pose: its rotation and its head in armature space."""

    rotation: FloatVectorProperty(size=4, subtype="QUATERNION", default=(1, 0, 0, 0))
    head: FloatVectorProperty(size=3)


class MotionGPTCharacter(bpy.types.PropertyGroup):
    """`kind`, `confidence` and `bones` are the animator's own mapping; with an empty kind, detection decides.

    `t_pose` holds the joints' bones in the pose that the animator said is the T-pose; while it is empty, the rest pose decides.
    """

    kind: StringProperty(name="Kind", description="The kind of rig")
    confidence: FloatProperty(
        name="Confidence", description="How sure detection was of the kind of rig", subtype="FACTOR", min=0.0, max=1.0
    )
    bones: PointerProperty(type=MotionGPTBones)
    t_pose: CollectionProperty(type=MotionGPTPosedBone)
    root_motion: EnumProperty(
        name="Way Goes Into",
        description="What takes the character over the floor",
        items=[
            ("HIPS", "Hips", "The hips move by themselves"),
            ("ROOT_BONE", "Root Bone", "The bone below the hips goes and turns; the hips sway above it"),
            ("OBJECT", "Object", "The armature object goes and turns; the hips sway in it"),
        ],
    )
    limbs: EnumProperty(
        name="Limbs",
        description="Which controls of arms and legs are keyed, on rigs with controls",
        items=[
            ("FK", "FK", "Every joint is turned by itself"),
            ("IK", "IK", "Hands and feet are moved, elbows and knees follow"),
        ],
    )


def add_to_object() -> None:
    bpy.types.Object.motiongpt = PointerProperty(type=MotionGPTCharacter)


def remove_from_object() -> None:
    del bpy.types.Object.motiongpt
