"""Add the SMPL character."""

import bpy

from ..rigs.smpl import add_smpl_rig
from ..translation import say


class MOTIONGPT_OT_add_smpl_rig(bpy.types.Operator):
    bl_idname = "motiongpt.add_smpl_rig"
    bl_label = "SMPL Character"
    bl_description = "Add an armature of the 22 SMPL joints in T-pose, with a mannequin that shows its pose"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if context.mode != "OBJECT":
            cls.poll_message_set(say("Switch to object mode first"))
        return context.mode == "OBJECT"

    def execute(self, context: bpy.types.Context) -> set[str]:
        add_smpl_rig(context)
        return {"FINISHED"}


def draw_in_add_menu(menu: bpy.types.Menu, context: bpy.types.Context) -> None:
    menu.layout.operator(MOTIONGPT_OT_add_smpl_rig.bl_idname, icon="OUTLINER_OB_ARMATURE")
