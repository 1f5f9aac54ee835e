"""The panel in the 3D View's sidebar."""

import bpy

from ...backend.protocol.errors import Code, MotionGPTError
from .. import installation, jobs
from ..operators.generate import MOTIONGPT_OT_cancel, MOTIONGPT_OT_generate, MOTIONGPT_OT_inbetween
from ..operators.rig import MOTIONGPT_OT_add_smpl_rig
from ..rigs.character import find_character
from ..translation import say
from .backend import draw_installation
from .character import mapping_to_show
from .prompts import draw_prompt
from .text import draw_error, draw_text


class MOTIONGPT_PT_main(bpy.types.Panel):
    bl_label = "MotionGPT"
    bl_category = "MotionGPT"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"

    def draw(self, context: bpy.types.Context) -> None:
        layout, settings = self.layout, context.scene.motiongpt
        if installation.is_pressing():
            draw_installation(layout, context)
        _draw_character(layout, context)
        draw_prompt(layout, settings)
        row = layout.row(align=True)
        row.scale_y = 1.6
        row.operator(MOTIONGPT_OT_generate.bl_idname, icon="PLAY")
        row.operator(MOTIONGPT_OT_inbetween.bl_idname, icon="IPO_EASE_IN_OUT")
        _draw_progress(layout, context)


def _draw_character(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    try:
        armature = find_character(context)
        if isinstance(mapping := mapping_to_show(armature), MotionGPTError):
            raise mapping
        layout.label(text=armature.name, icon="ARMATURE_DATA", translate=False)
    except MotionGPTError as error:
        draw_text(layout, context, error.message, "INFO")
        layout.operator(MOTIONGPT_OT_add_smpl_rig.bl_idname, text="Add SMPL Character", icon="ADD")


def _draw_progress(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    session = jobs.session
    if session.busy:
        layout.progress(factor=session.fraction, text=say(session.words))
        layout.operator(MOTIONGPT_OT_cancel.bl_idname, icon="X")
    if session.error and session.error.code is not Code.CANCELLED:
        draw_error(layout, context, session.error)
