"""The sub-panel of batches."""

import bpy

from ..batch.run import REPORT, batch
from ..operators.bake import MOTIONGPT_OT_bake_batch, MOTIONGPT_OT_load_table
from ..operators.generate import MOTIONGPT_OT_cancel
from ..translation import say
from .clip import SubPanel, split
from .lists import PromptList, draw_list
from .text import draw_text

_SHOWN_FAILURES = 4


class MOTIONGPT_UL_rows(PromptList, bpy.types.UIList):
    pass


class MOTIONGPT_PT_batch(SubPanel, bpy.types.Panel):
    bl_label = "Batch"
    bl_options = {"DEFAULT_CLOSED"}
    bl_order = 21

    def draw(self, context: bpy.types.Context) -> None:
        layout, settings = self.layout, context.scene.motiongpt_batch
        column = draw_list(layout, "MOTIONGPT_UL_rows", settings, "ROWS")
        column.separator()
        column.operator(MOTIONGPT_OT_load_table.bl_idname, text="", icon="FILE_FOLDER")
        column = split(layout)
        if settings.active_row < len(settings.rows):
            item = settings.rows[settings.active_row]
            column.prop(item, "seed")
            column.prop_search(item, "character", context.scene, "objects", icon="ARMATURE_DATA")
            column.prop(item, "name", text="Action Name")
            column.prop(item, "tags")
            column.prop(item, "loop")
        _draw_run(layout, context)


class MOTIONGPT_PT_batch_options(SubPanel, bpy.types.Panel):
    bl_label = "Batch Options"
    bl_parent_id = "MOTIONGPT_PT_batch"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        column = split(self.layout)
        for name in ("layout", "travel_on", "rule", "assets", "previews", "skip_existing"):
            column.prop(context.scene.motiongpt_batch, name)


def _draw_run(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    if batch.running:
        layout.progress(factor=batch.fraction, text=say(batch.words))
        layout.operator(MOTIONGPT_OT_cancel.bl_idname, text="Cancel and Keep What Is Made", icon="X")
        return
    row = layout.row(align=True)
    row.operator(MOTIONGPT_OT_bake_batch.bl_idname, icon="RENDER_ANIMATION")
    if batch.unfinished:
        row.operator(MOTIONGPT_OT_bake_batch.bl_idname, text=say(f"Resume ({batch.unfinished})"), translate=False).resume = True
    if batch.outcome is None:
        return
    box = layout.box()
    draw_text(box, context, batch.outcome.summary, "ERROR" if batch.outcome.failed or batch.error else "CHECKMARK")
    for note in batch.outcome.notes:
        draw_text(box, context, note)
    for name, why in list(batch.outcome.failed.items())[:_SHOWN_FAILURES]:
        draw_text(box, context, f"{name}: {say(why)}")
    draw_text(box, context, f"All of it: text “{REPORT}” in the Text Editor")
