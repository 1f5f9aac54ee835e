"""Lists with the buttons that change them."""

import bpy

from ..operators.lists import LISTS, MOTIONGPT_OT_list_add, MOTIONGPT_OT_list_move, MOTIONGPT_OT_list_remove


class PromptList:
    """A UIList of prompts, in the property `prompt_in`, and their seconds."""

    prompt_in = "prompt"

    def draw_item(self, context: bpy.types.Context, layout: bpy.types.UILayout, data, item, icon, active_data, active_property) -> None:
        row = layout.row(align=True)
        row.prop(item, self.prompt_in, text="", emboss=False, placeholder="What the character does")
        seconds = row.row()
        seconds.ui_units_x = 3
        seconds.prop(item, "seconds", text="", emboss=False)


def draw_list(layout: bpy.types.UILayout, kind: str, settings: bpy.types.PropertyGroup, name: str) -> bpy.types.UILayout:
    """Draw the list `name` in the UIList called `kind`; the column of its buttons, for more of them."""
    items, active = LISTS[name]
    row = layout.row()
    row.template_list(kind, "", settings, items, settings, active, rows=4)
    column = row.column(align=True)
    column.operator(MOTIONGPT_OT_list_add.bl_idname, text="", icon="ADD").list_name = name
    column.operator(MOTIONGPT_OT_list_remove.bl_idname, text="", icon="REMOVE").list_name = name
    column.separator()
    for up, icon in ((True, "TRIA_UP"), (False, "TRIA_DOWN")):
        button = column.operator(MOTIONGPT_OT_list_move.bl_idname, text="", icon=icon)
        button.list_name, button.up = name, up
    return column
