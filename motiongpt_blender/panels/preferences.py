"""What the extension's preferences look like."""

import bpy

from ..operators import backend
from ..preferences import MotionGPTPreferences, bundles
from .backend import draw_installation


class MOTIONGPT_UL_bundle_folders(bpy.types.UIList):
    def draw_item(self, context: bpy.types.Context, layout: bpy.types.UILayout, data, item, icon, active, active_property) -> None:
        layout.prop(item, "path", text="", emboss=False)


class MOTIONGPT_MT_bundles(bpy.types.Menu):
    bl_label = "Bundles"
    bl_description = "Choose one of the motion models in the bundle folders"

    def draw(self, context: bpy.types.Context) -> None:
        for name, folder in bundles(context):
            self.layout.operator(backend.MOTIONGPT_OT_bundle_choose.bl_idname, text=name, translate=False).folder = folder


def draw_preferences(preferences: MotionGPTPreferences, context: bpy.types.Context) -> None:
    layout = preferences.layout
    box = layout.box()
    box.label(text="Backend")
    draw_installation(box, context)
    box.use_property_split = True
    box.prop(preferences, "wheels_folder")
    box.prop(preferences, "backend_folder")
    box.prop(preferences, "log_level")
    box = layout.box()
    box.label(text="Model")
    box.use_property_split = True
    for name in ("device", "precision", "memory_limit", "idle_unload"):
        box.prop(preferences, name)
    row = box.row(align=True)
    row.prop(preferences, "bundle_folder")
    row.menu(MOTIONGPT_MT_bundles.__name__, text="", icon="DOWNARROW_HLT")
    box.label(text="Bundle Folders")
    row = box.row()
    row.template_list(MOTIONGPT_UL_bundle_folders.__name__, "", preferences, "bundle_folders", preferences, "bundle_folder_index", rows=2)
    column = row.column(align=True)
    column.operator(backend.MOTIONGPT_OT_bundle_folder_add.bl_idname, text="", icon="ADD")
    column.operator(backend.MOTIONGPT_OT_bundle_folder_remove.bl_idname, text="", icon="REMOVE")
