"""Add SMPL characters."""
# pyright: reportInvalidTypeForm=false

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatVectorProperty, StringProperty

from ...backend.protocol import messages
from ...backend.protocol.errors import MotionGPTError
from .. import jobs
from ..rigs.smpl import add_smpl_rig
from ..translation import say
from .at_once import AtOnce
from .outcome import fail
from .polling import poll_idle


class MOTIONGPT_OT_add_smpl_rig(AtOnce, bpy.types.Operator):
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


class MOTIONGPT_OT_add_smpl_body(bpy.types.Operator):
    bl_idname = "motiongpt.add_smpl_body"
    bl_label = "SMPL Body"
    bl_description = "Add a body from an SMPL, SMPL-H or SMPL-X model file of yours, which the backend shapes"
    bl_options = {"REGISTER"}

    filepath: StringProperty(name="Model", description="The .npz of the model, or the folder of such files", subtype="FILE_PATH")
    filter_glob: StringProperty(default="*.npz", options={"HIDDEN"})
    gender: EnumProperty(
        name="Gender",
        description="Whose model is taken, where a folder is chosen",
        items=[("neutral", "Neutral", ""), ("female", "Female", ""), ("male", "Male", "")],
    )
    betas: FloatVectorProperty(
        name="Shape",
        description="The body's shape in the model's own terms: height, weight, and so on",
        size=10,
        soft_min=-3.0,
        soft_max=3.0,
    )
    wait: BoolProperty(name="Wait", description="Return when the body is there", options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if context.mode != "OBJECT":
            cls.poll_message_set(say("Switch to object mode first"))
            return False
        return poll_idle(cls)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            jobs.order_body(context, messages.Body(bpy.path.abspath(self.filepath), self.gender, tuple(self.betas)))
            if self.wait:
                jobs.session.wait()
        except MotionGPTError as error:
            return fail(self, error)
        return {"FINISHED"}


def draw_in_add_menu(menu: bpy.types.Menu, context: bpy.types.Context) -> None:
    menu.layout.operator(MOTIONGPT_OT_add_smpl_rig.bl_idname, icon="OUTLINER_OB_ARMATURE")
    menu.layout.operator(MOTIONGPT_OT_add_smpl_body.bl_idname, text="SMPL Body...", icon="OUTLINER_OB_ARMATURE")
