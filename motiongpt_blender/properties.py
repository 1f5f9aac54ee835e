"""What the animator asks for. One definition for the panel's settings and the operator's properties."""
# pyright: reportInvalidTypeForm=false

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, PointerProperty, StringProperty


class ClipProperties:
    """Properties of a clip, mixed into the scene's settings and into the operator."""

    prompt: StringProperty(name="Prompt", description="What the character does, in English")
    seconds: FloatProperty(name="Seconds", description="Length of the clip", default=4.0, soft_min=0.5, soft_max=9.8, step=10, precision=1)
    seed: IntProperty(name="Seed", description="Another seed gives another motion, the same seed the same", default=0, min=0)
    pose_use: EnumProperty(
        name="Current Pose Is",
        description="What the pose that the character stands in is to the clip",
        items=[
            ("FIRST", "First Frame", "The clip starts at the current frame, in this pose"),
            ("LAST", "Last Frame", "The clip ends at the current frame, in this pose"),
            ("NONE", "Not Used", "The clip starts at the current frame, where the character stands and faces"),
        ],
    )
    lock_feet: BoolProperty(name="Lock Feet", description="Keep feet from sliding while they touch the floor", default=True)


class MotionGPTSettings(ClipProperties, bpy.types.PropertyGroup):
    """The panel's settings, kept in the scene."""


def add_to_scene() -> None:
    bpy.types.Scene.motiongpt = PointerProperty(type=MotionGPTSettings)


def remove_from_scene() -> None:
    del bpy.types.Scene.motiongpt
