"""Tell which pose of the character is its T-pose."""

import bpy

from .. import jobs
from ..rigs.rig import tell_t_pose
from .mapping import OfCharacter


class MOTIONGPT_OT_tell_t_pose(OfCharacter):
    bl_idname = "motiongpt.tell_t_pose"
    bl_label = "This Is My T-Pose"
    bl_description = "Take the pose that the character stands in for its T-pose, for rigs with an unusual rest pose"

    def change(self, armature: bpy.types.Object) -> None:
        jobs.preview.end()
        tell_t_pose(armature, bpy.context.evaluated_depsgraph_get())


class MOTIONGPT_OT_forget_t_pose(OfCharacter):
    bl_idname = "motiongpt.forget_t_pose"
    bl_label = "Use Rest Pose"
    bl_description = "Work the T-pose out from the rest pose again"

    def change(self, armature: bpy.types.Object) -> None:
        armature.motiongpt.t_pose = ""
