"""Start and stop the backend."""
# pyright: reportInvalidTypeForm=false

import bpy
from bpy.props import BoolProperty

from ...backend.protocol.errors import MotionGPTError
from .. import jobs
from .failure import fail


class MOTIONGPT_OT_backend_start(bpy.types.Operator):
    bl_idname = "motiongpt.backend_start"
    bl_label = "Start Backend"
    bl_description = "Start the backend and load the model"

    wait: BoolProperty(name="Wait", description="Return when the model is loaded", options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if jobs.session.busy:
            cls.poll_message_set("The backend is busy")
        return not jobs.session.busy

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            jobs.start_backend(context)
            if self.wait:
                jobs.session.wait()
        except MotionGPTError as error:
            return fail(self, error)
        return {"FINISHED"}


class MOTIONGPT_OT_backend_stop(bpy.types.Operator):
    bl_idname = "motiongpt.backend_stop"
    bl_label = "Stop Backend"
    bl_description = "End the backend and free its memory"

    wait: BoolProperty(name="Wait", description="Stopping is always waited for", options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not jobs.session.running:
            cls.poll_message_set("The backend is not running")
        return jobs.session.running

    def execute(self, context: bpy.types.Context) -> set[str]:
        jobs.stop_backend()
        return {"FINISHED"}
