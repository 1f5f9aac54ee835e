"""Edit the lists of the panel: the parts of a sequence, the rows of a batch."""
# pyright: reportInvalidTypeForm=false

from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty

from .at_once import AtOnce

LISTS = {"SEGMENTS": ("segments", "active_segment"), "ROWS": ("rows", "active_row")}


class ListOperator(AtOnce):
    """What operators on a list have in common."""

    list_name: EnumProperty(
        name="List",
        description="The list that is changed",
        items=[("SEGMENTS", "Sequence", "The parts of the sequence"), ("ROWS", "Batch", "The rows of the batch")],
    )

    def find(self, context: bpy.types.Context) -> tuple[Any, str, Any, int]:
        """The settings, the name of the property that holds the active index, the list, and that index."""
        settings = context.scene.motiongpt_batch
        items, active = LISTS[self.list_name]
        return settings, active, getattr(settings, items), getattr(settings, active)


class MOTIONGPT_OT_list_add(ListOperator, bpy.types.Operator):
    bl_idname = "motiongpt.list_add"
    bl_label = "Add"
    bl_description = "Add one below the active one, with the same settings"

    def execute(self, context: bpy.types.Context) -> set[str]:
        settings, active, items, index = self.find(context)
        new = items.add()
        if len(items) > 1:
            for name in set(new.bl_rna.properties.keys()) - {"rna_type", "name", "prompt"}:
                setattr(new, name, getattr(items[index], name))
            items.move(len(items) - 1, index + 1)
            index += 1
        setattr(settings, active, index)
        return {"FINISHED"}


class MOTIONGPT_OT_list_remove(ListOperator, bpy.types.Operator):
    bl_idname = "motiongpt.list_remove"
    bl_label = "Remove"
    bl_description = "Remove the active one"

    def execute(self, context: bpy.types.Context) -> set[str]:
        settings, active, items, index = self.find(context)
        items.remove(index)
        setattr(settings, active, max(0, min(index, len(items) - 1)))
        return {"FINISHED"}


class MOTIONGPT_OT_list_move(ListOperator, bpy.types.Operator):
    bl_idname = "motiongpt.list_move"
    bl_label = "Move"
    bl_description = "Move the active one"

    up: BoolProperty(name="Up", description="Towards the top, not the bottom")

    def execute(self, context: bpy.types.Context) -> set[str]:
        settings, active, items, index = self.find(context)
        target = index + (-1 if self.up else 1)
        if not 0 <= target < len(items):
            return {"CANCELLED"}
        items.move(index, target)
        setattr(settings, active, target)
        return {"FINISHED"}
