"""Choose among the clips that were made."""
# pyright: reportInvalidTypeForm=false

import bpy
from bpy.props import BoolProperty, EnumProperty, StringProperty

from ...backend.protocol.errors import MotionGPTError
from .. import jobs, variations
from ..rigs.character import find_character
from ..translation import say
from .at_once import AtOnce
from .outcome import done, fail
from .polling import poll_character


class MOTIONGPT_OT_show_variation(AtOnce, bpy.types.Operator):
    bl_idname = "motiongpt.show_variation"
    bl_label = "Show Variation"
    bl_description = "Have the character play another of the clips that were made together"

    direction: EnumProperty(
        name="Direction",
        description="Which variation",
        items=[("NEXT", "Next", "The one after this one"), ("PREVIOUS", "Previous", "The one before this one")],
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return _poll_variations(cls, context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        jobs.preview.end()
        variations.show(find_character(context), 1 if self.direction == "NEXT" else -1)
        return {"FINISHED"}


class MOTIONGPT_OT_keep_variation(AtOnce, bpy.types.Operator):
    bl_idname = "motiongpt.keep_variation"
    bl_label = "Keep This One"
    bl_description = "Decide for the variation that the character plays"

    remove_others: BoolProperty(name="Remove Others", description="Delete the other variations, where nothing else uses them", default=True)

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return _poll_variations(cls, context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        removed = variations.keep(find_character(context), self.remove_others)
        return done(self, f"Removed {removed} other variations" if removed else "The other variations stay in the file")


class MOTIONGPT_OT_use_clip(AtOnce, bpy.types.Operator):
    bl_idname = "motiongpt.use_clip"
    bl_label = "Use Clip"
    bl_description = "Have the character play a clip that was made before"

    action: StringProperty(name="Action", description="Name of the action")

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return poll_character(cls, context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        jobs.preview.end()
        try:
            variations.use(find_character(context), self.action)
        except MotionGPTError as error:
            return fail(self, error)
        return done(self)


def _poll_variations(cls: type[bpy.types.Operator], context: bpy.types.Context) -> bool:
    if not poll_character(cls, context):
        return False
    several = variations.are_there(find_character(context))
    if not several:
        cls.poll_message_set(say("The character plays no clip of which there are variations"))
    return several
