"""What the animator says about a character, kept with its armature object."""
# pyright: reportInvalidTypeForm=false

import bpy
from bpy.props import EnumProperty, FloatProperty, PointerProperty, StringProperty

from ..backend.motion.skeleton import SMPL
from .rigs.bones import say_joint

_KEPT = {"LIBRARY_OVERRIDABLE"}  # by a character that is a library override


class MotionGPTBones(bpy.types.PropertyGroup):
    """The name of each joint's bone, empty where there is none."""

    __annotations__ = {
        joint: StringProperty(name=say_joint(joint), description="The bone that starts at this joint and turns with it", override=_KEPT)
        for joint in SMPL.joints
    }


class MotionGPTCharacter(bpy.types.PropertyGroup):
    """`kind`, `confidence` and `bones` are the animator's own mapping; with an empty kind, detection decides.

    `t_pose` holds the bones in the pose that the animator said is the T-pose, as JSON, because Blender keeps what a library
    override says in place of the library in single properties only; while it is empty, the rest pose decides.
    """

    kind: StringProperty(name="Kind", description="The kind of rig", override=_KEPT)
    confidence: FloatProperty(
        name="Confidence", description="How sure detection was of the kind of rig", subtype="FACTOR", min=0.0, max=1.0, override=_KEPT
    )
    bones: PointerProperty(type=MotionGPTBones, override=_KEPT)
    t_pose: StringProperty(override=_KEPT)
    root_motion: EnumProperty(
        name="Way Goes Into",
        description="What takes the character over the floor",
        items=[
            ("HIPS", "Hips", "The hips move by themselves"),
            ("ROOT_BONE", "Root Bone", "The bone below the hips goes and turns; the hips sway above it"),
            ("OBJECT", "Object", "The armature object goes and turns; the hips sway in it"),
        ],
        override=_KEPT,
    )
    limbs: EnumProperty(
        name="Limbs",
        description="Which controls of arms and legs are keyed, on rigs with controls",
        items=[
            ("FK", "FK", "Every joint is turned by itself"),
            ("IK", "IK", "Hands and feet are moved, elbows and knees follow"),
        ],
        override=_KEPT,
    )


def add_to_object() -> None:
    bpy.types.Object.motiongpt = PointerProperty(type=MotionGPTCharacter, override=_KEPT)


def remove_from_object() -> None:
    del bpy.types.Object.motiongpt


def keep_on_overrides() -> None:
    """Let what is said about library overrides be saved: Blender keeps what differs from the library's object, and that has nothing yet."""
    for obj in bpy.data.objects:
        if obj.type == "ARMATURE" and obj.override_library and obj.override_library.reference and obj.is_property_set("motiongpt"):
            _ = obj.motiongpt.bones, obj.override_library.reference.motiongpt.bones  # made by being read
