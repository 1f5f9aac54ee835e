"""Generate, in-between, again and cancel."""
# pyright: reportInvalidTypeForm=false

import bpy
from bpy.props import BoolProperty, StringProperty

from ...backend.protocol.errors import MotionGPTError
from .. import jobs
from ..path import find_curve
from ..properties import Asked, ClipProperties
from .failure import fail


class Making:
    """What operators have in common that have clips made."""

    bl_options = {"REGISTER"}

    wait: BoolProperty(name="Wait", description="Return when the keyframes are there", options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if jobs.session.busy:
            cls.poll_message_set("A clip is being made. Wait for it or cancel it")
        return not jobs.session.busy

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            self.order(context)
            if self.wait:
                jobs.session.wait()
        except MotionGPTError as error:
            return fail(self, error)
        return {"FINISHED"}

    def asked(self, context: bpy.types.Context) -> Asked:
        """What the call does not set comes from the panel."""
        names = [name for name in ClipProperties.__annotations__ if self.properties.is_property_set(name)]
        return Asked(context.scene.motiongpt, **{name: getattr(self, name) for name in names})


class MOTIONGPT_OT_generate(Making, ClipProperties, bpy.types.Operator):
    bl_idname = "motiongpt.generate"
    bl_label = "Generate"
    bl_description = "Make a clip for the selected character and key it on its bones"

    path: StringProperty(name="Path", description="Name of a curve object that the character walks along")

    def order(self, context: bpy.types.Context) -> None:
        jobs.order_clip(context, self.asked(context))

    def asked(self, context: bpy.types.Context) -> Asked:
        asked = super().asked(context)
        return asked.but(path=find_curve(self.path)) if self.properties.is_property_set("path") else asked


class MOTIONGPT_OT_inbetween(Making, ClipProperties, bpy.types.Operator):
    bl_idname = "motiongpt.inbetween"
    bl_label = "In-between"
    bl_description = "Fill what lies between the selected keys of the character, or between the keys around the current frame"

    only_selected_bones: BoolProperty(name="Only Selected Bones", description="Leave the keys of all other bones as they are")

    def order(self, context: bpy.types.Context) -> None:
        jobs.order_inbetween(context, self.asked(context), self.only_selected_bones)


class MOTIONGPT_OT_again(Making, bpy.types.Operator):
    bl_idname = "motiongpt.again"
    bl_label = "Again"
    bl_description = "Make the clip that the character plays once more, with the same prompt and poses"

    another_seed: BoolProperty(name="Another Seed", description="Make another motion of the same prompt and poses")

    def order(self, context: bpy.types.Context) -> None:
        jobs.order_again(context, self.another_seed)


class MOTIONGPT_OT_cancel(bpy.types.Operator):
    bl_idname = "motiongpt.cancel"
    bl_label = "Cancel"
    bl_description = "Stop what the backend is doing"
    bl_options = {"INTERNAL"}

    wait: BoolProperty(name="Wait", description="Return when it has stopped", options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not jobs.session.busy:
            cls.poll_message_set("Nothing is being made")
        return jobs.session.busy

    def execute(self, context: bpy.types.Context) -> set[str]:
        jobs.cancel(self.wait)
        return {"FINISHED"}
