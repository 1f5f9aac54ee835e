"""The sub-panel of the model and the backend, drawn in the preferences as well."""

import bpy

from .. import installation, jobs
from ..operators import backend
from ..translation import say
from .text import draw_error, draw_text


class MOTIONGPT_PT_backend(bpy.types.Panel):
    bl_label = "Model and Backend"
    bl_parent_id = "MOTIONGPT_PT_main"
    bl_category = "MotionGPT"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_options = {"DEFAULT_CLOSED"}
    bl_order = 100

    def draw(self, context: bpy.types.Context) -> None:
        if not installation.is_pressing():
            draw_installation(self.layout, context)
        _draw_session(self.layout)
        row = self.layout.row(align=True)
        row.operator(backend.MOTIONGPT_OT_open_log.bl_idname, icon="TEXT")
        row.operator(backend.MOTIONGPT_OT_open_preferences.bl_idname, icon="PREFERENCES")


def draw_installation(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """What is installed, and the buttons to change it."""
    job = installation.job
    if job.busy:
        layout.progress(factor=job.fraction, text=say(job.progress))
        draw_text(layout, context, job.step)
        layout.operator(backend.MOTIONGPT_OT_backend_setup_cancel.bl_idname, icon="X")
        return
    state = installation.state
    draw_text(layout, context, state.words, "CHECKMARK" if state.usable else "ERROR" if state.stale or state.missing else "INFO")
    row = layout.row(align=True)
    if state.missing:
        row.operator(backend.MOTIONGPT_OT_open_preferences.bl_idname, icon="PREFERENCES")
    else:
        icon = "FILE_REFRESH" if state.installed else "IMPORT"
        row.operator(backend.MOTIONGPT_OT_backend_setup.bl_idname, text=say(state.button), translate=False, icon=icon)
    if state.there:
        row.operator(backend.MOTIONGPT_OT_backend_remove.bl_idname, text="", icon="TRASH")
    if job.remark:
        draw_text(layout, context, job.remark, "INFO")
    if error := installation.trouble():
        draw_error(layout, context, error)


def _draw_session(layout: bpy.types.UILayout) -> None:
    session = jobs.session
    layout.label(text=say(session.words), translate=False, icon="LINKED" if session.running else "UNLINKED")
    if session.model:
        model = session.model
        layout.label(text=say(f"{model.bundle} on {model.device}, {model.memory_mb:,.0f} MB"), translate=False)
    row = layout.row(align=True)
    row.operator(backend.MOTIONGPT_OT_backend_start.bl_idname, text="Load" if session.running else "Start", icon="PLAY")
    row.operator(backend.MOTIONGPT_OT_backend_unload.bl_idname, text="Unload", icon="FREEZE")
    row.operator(backend.MOTIONGPT_OT_backend_stop.bl_idname, text="Stop", icon="X")
