"""The clips that were made."""

import bpy

from ...backend.protocol.errors import MotionGPTError
from .. import jobs, variations
from ..animation.history import is_made, prompt_of
from ..operators.generate import MOTIONGPT_OT_again
from ..operators.prompts import MOTIONGPT_OT_use_prompt
from ..operators.variations import MOTIONGPT_OT_keep_variation, MOTIONGPT_OT_show_variation, MOTIONGPT_OT_use_clip
from ..rigs.character import find_character
from .clip import SubPanel
from .text import draw_text


class MOTIONGPT_UL_clips(bpy.types.UIList):
    def draw_item(self, context: bpy.types.Context, layout: bpy.types.UILayout, data, item, icon, active, active_property) -> None:
        row = layout.row(align=True)
        row.label(text=item.name, icon="ACTION", translate=False)
        row.operator(MOTIONGPT_OT_use_prompt.bl_idname, text="", icon="TEXT", emboss=False).prompt = prompt_of(item)
        row.operator(MOTIONGPT_OT_use_clip.bl_idname, text="", icon="PLAY", emboss=False).action = item.name

    def filter_items(self, context: bpy.types.Context, data, property: str) -> tuple[list[int], list[int]]:
        text = self.filter_name.lower()
        actions = getattr(data, property)
        return [self.bitflag_filter_item if is_made(a) and text in a.name.lower() else 0 for a in actions], []


class MOTIONGPT_PT_result(SubPanel, bpy.types.Panel):
    bl_label = "Result"
    bl_order = 13

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        if jobs.session.note:
            draw_text(layout, context, jobs.session.note, "CHECKMARK")
        row = layout.row(align=True)
        row.operator(MOTIONGPT_OT_again.bl_idname, icon="LOOP_BACK").another_seed = False
        row.operator(MOTIONGPT_OT_again.bl_idname, text="Another Seed", icon="FILE_REFRESH").another_seed = True
        _draw_variations(layout, context)
        layout.template_list("MOTIONGPT_UL_clips", "", bpy.data, "actions", context.scene.motiongpt, "active_clip", rows=3)


def _draw_variations(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    try:
        armature = find_character(context)
    except MotionGPTError:
        return
    if not variations.are_there(armature):
        return
    row = layout.row(align=True)
    row.operator(MOTIONGPT_OT_show_variation.bl_idname, text="", icon="TRIA_LEFT").direction = "PREVIOUS"
    row.label(text="{} / {}".format(*variations.place(armature)), translate=False)
    row.operator(MOTIONGPT_OT_show_variation.bl_idname, text="", icon="TRIA_RIGHT").direction = "NEXT"
    row.operator(MOTIONGPT_OT_keep_variation.bl_idname, icon="CHECKMARK")
