"""The character's kind of rig and the bone of each joint."""

import contextlib
from functools import partial

import bpy

from ...backend.motion.skeleton import SMPL
from ...backend.protocol.errors import MotionGPTError
from ..animation.puppet import bones_left_alone
from ..operators import mapping as operators
from ..operators import t_pose
from ..rigs.character import find_character
from ..rigs.mapping import Mapping, find_mapping, is_known
from .text import draw_error, draw_text

_MIDDLE = tuple(joint for joint in SMPL.joints if not joint.startswith(("left", "right")))
_LEFT = tuple(joint for joint in SMPL.joints if joint.startswith("left"))

_looking: set[str] = set()  # names of armatures whose bones are about to be looked at


class _CharacterPanel(bpy.types.Panel):
    bl_category = "MotionGPT"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        try:
            return bool(find_character(context))
        except MotionGPTError:
            return False


class MOTIONGPT_PT_character(_CharacterPanel):
    bl_label = "Character"
    bl_parent_id = "MOTIONGPT_PT_main"
    bl_order = 15

    def draw(self, context: bpy.types.Context) -> None:
        layout, armature = self.layout, find_character(context)
        mapping = mapping_to_show(armature)
        if isinstance(mapping, Mapping):
            row = layout.split(factor=0.7)
            row.label(text=mapping.kind, icon="ARMATURE_DATA")
            row.label(text=f"{mapping.confidence:.0%}", translate=False)
            if left_alone := bones_left_alone(armature):
                draw_text(layout, context, f"Turned by constraints, so without keys: {', '.join(left_alone)}.", "INFO")
        elif mapping is None:
            layout.label(text="Looking at its bones", icon="SORTTIME")
        else:
            layout.label(text="Not recognised", icon="QUESTION")
            draw_error(layout, context, mapping)
        row = layout.row(align=True)
        if armature.motiongpt.kind:
            row.operator(operators.MOTIONGPT_OT_detect_rig.bl_idname, text="Detect Again", icon="FILE_REFRESH")
            row.operator(operators.MOTIONGPT_OT_clear_mapping.bl_idname, text="Automatic", icon="LOOP_BACK")
        else:
            row.operator(operators.MOTIONGPT_OT_detect_rig.bl_idname, text="Edit Bones", icon="GREASEPENCIL")
        row = layout.row(align=True)
        row.operator(operators.MOTIONGPT_OT_load_mapping_preset.bl_idname, text="Load", icon="PRESET")
        row.operator(operators.MOTIONGPT_OT_save_mapping_preset.bl_idname, text="Save", icon="ADD")
        row.operator(operators.MOTIONGPT_OT_remove_mapping_preset.bl_idname, text="", icon="REMOVE")
        column = layout.column()
        column.use_property_split, column.use_property_decorate = True, False
        column.prop(armature.motiongpt, "root_motion")
        if isinstance(mapping, Mapping) and mapping.controls:
            column.prop(armature.motiongpt, "limbs", expand=True)
        if armature.motiongpt.t_pose:
            layout.operator(t_pose.MOTIONGPT_OT_forget_t_pose.bl_idname, icon="LOOP_BACK")
        else:
            layout.operator(t_pose.MOTIONGPT_OT_tell_t_pose.bl_idname, icon="OUTLINER_OB_ARMATURE")


class MOTIONGPT_PT_bones(_CharacterPanel):
    bl_label = "Bones"
    bl_parent_id = "MOTIONGPT_PT_character"

    def draw(self, context: bpy.types.Context) -> None:
        layout, armature = self.layout, find_character(context)
        layout.use_property_split = True
        layout.use_property_decorate = False
        bones = armature.motiongpt.bones
        if not armature.motiongpt.kind:
            mapping = mapping_to_show(armature)
            found = mapping.bones if isinstance(mapping, Mapping) else {}
            for joint, bone in found.items():
                row = layout.split(factor=0.4)
                row.label(text=bones.bl_rna.properties[joint].name)
                row.label(text=bone)
            return
        for side in (_MIDDLE, _LEFT, [joint.replace("left", "right") for joint in _LEFT]):
            column = layout.column(align=True)
            for joint in side:
                column.prop_search(bones, joint, armature.data, "bones")
        row = layout.row(align=True)
        for source, text in (("left", "Left to Right"), ("right", "Right to Left")):
            row.operator(operators.MOTIONGPT_OT_mirror_mapping.bl_idname, text=text, icon="MOD_MIRROR").source = source


def mapping_to_show(armature: bpy.types.Object) -> Mapping | MotionGPTError | None:
    """What is known of the bones, or what is wrong with them; None while they are looked at, which drawing does not wait for."""
    if is_known(armature):
        try:
            return find_mapping(armature)
        except MotionGPTError as error:
            return error
    if armature.name not in _looking:
        _looking.add(armature.name)
        bpy.app.timers.register(partial(_look, armature.name))
    return None


def _look(name: str) -> None:
    """Detect the rig of the object called `name` outside of drawing, and draw again."""
    _looking.discard(name)
    armature = bpy.data.objects.get(name)
    if armature:
        with contextlib.suppress(MotionGPTError):  # remembered, and shown from now on
            find_mapping(armature)
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                area.tag_redraw()
