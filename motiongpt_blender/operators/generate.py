"""Generate and cancel."""
# pyright: reportInvalidTypeForm=false

import bpy
from bpy.props import BoolProperty

from ...backend.protocol.errors import MotionGPTError
from .. import jobs
from ..properties import ClipProperties
from .failure import fail


class MOTIONGPT_OT_generate(ClipProperties, bpy.types.Operator):
    bl_idname = "motiongpt.generate"
    bl_label = "Generate"
    bl_description = "Make a clip for the selected character and key it on its bones"
    bl_options = {"REGISTER"}

    wait: BoolProperty(name="Wait", description="Return when the keyframes are there", options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if jobs.session.busy:
            cls.poll_message_set("A clip is being made. Wait for it or cancel it")
        return not jobs.session.busy

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            jobs.order_clip(context, self._order(context))
            if self.wait:
                jobs.session.wait()
        except MotionGPTError as error:
            return fail(self, error)
        return {"FINISHED"}

    def _order(self, context: bpy.types.Context) -> jobs.Order:
        """What the call does not set comes from the panel."""
        settings = context.scene.motiongpt
        is_set = self.properties.is_property_set
        return jobs.Order(**{name: getattr(self if is_set(name) else settings, name) for name in ClipProperties.__annotations__})


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
