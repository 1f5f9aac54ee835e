"""What a clip is asked to be."""

import bpy

from ..operators.poses import MOTIONGPT_OT_add_pose, MOTIONGPT_OT_remove_pose
from ..operators.prompts import MOTIONGPT_OT_random_seed


class SubPanel:
    """A panel below the main one."""

    bl_parent_id = "MOTIONGPT_PT_main"
    bl_category = "MotionGPT"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"


class MOTIONGPT_PT_length(SubPanel, bpy.types.Panel):
    bl_label = "Length and Variations"
    bl_order = 10

    def draw(self, context: bpy.types.Context) -> None:
        settings = context.scene.motiongpt
        column = split(self.layout)
        column.prop(settings, "length")
        if settings.length != "POSES":
            column.prop(settings, "seconds" if settings.length == "SECONDS" else "frames")
        row = column.row(align=True)
        row.prop(settings, "seed")
        row.operator(MOTIONGPT_OT_random_seed.bl_idname, text="", icon="FILE_REFRESH")
        column.prop(settings, "variations")


class MOTIONGPT_UL_key_poses(bpy.types.UIList):
    def draw_item(self, context: bpy.types.Context, layout: bpy.types.UILayout, data, item, icon, active, active_property) -> None:
        row = layout.split(factor=0.7)
        row.label(text=item.name, icon="CON_KINEMATIC" if item.only else "ARMATURE_DATA", translate=False)
        row.prop(item, "frame", text="", emboss=False)


class MOTIONGPT_PT_poses(SubPanel, bpy.types.Panel):
    bl_label = "Poses"
    bl_order = 11

    def draw(self, context: bpy.types.Context) -> None:
        layout, settings = self.layout, context.scene.motiongpt
        split(layout).prop(settings, "pose_use")
        layout.label(text="Key Poses")
        row = layout.row()
        row.template_list("MOTIONGPT_UL_key_poses", "", settings, "key_poses", settings, "active_pose", rows=3)
        column = row.column(align=True)
        for source, icon in (("FRAME", "ADD"), ("MARKERS", "MARKER_HLT"), ("ASSET", "ASSET_MANAGER")):
            column.operator(MOTIONGPT_OT_add_pose.bl_idname, text="", icon=icon).source = source
        column.operator(MOTIONGPT_OT_remove_pose.bl_idname, text="", icon="REMOVE")
        if settings.active_pose < len(settings.key_poses):
            column = split(layout)
            column.column(align=True).prop(settings.key_poses[settings.active_pose], "only")


class MOTIONGPT_PT_options(SubPanel, bpy.types.Panel):
    bl_label = "Options"
    bl_options = {"DEFAULT_CLOSED"}
    bl_order = 12

    def draw(self, context: bpy.types.Context) -> None:
        settings = context.scene.motiongpt
        column = split(self.layout)
        for name in ("guidance", "candidates", "lock_feet", "loop", "in_place", "path"):
            column.prop(settings, name)
        if settings.path:
            column.prop(settings, "face_path")
        column.separator()
        column.prop(settings, "mode")
        if settings.mode == "BLEND":
            column.prop(settings, "blend_frames")
        column.prop(settings, "keys")
        for name in {"EVERY": (), "STEP": ("key_step",), "REDUCED": ("key_degrees", "key_millimetres")}[settings.keys]:
            column.prop(settings, name)
        for name in ("only_selected_bones", "extend_scene", "preview"):
            column.prop(settings, name)


def split(layout: bpy.types.UILayout) -> bpy.types.UILayout:
    """A column of properties with their names on the left."""
    column = layout.column()
    column.use_property_split = True
    column.use_property_decorate = False
    return column
