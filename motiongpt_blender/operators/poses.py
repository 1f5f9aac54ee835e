"""Key poses: add and remove them."""
# pyright: reportInvalidTypeForm=false

import bpy
from bpy.props import BoolProperty, EnumProperty, StringProperty

from ...backend.protocol.errors import MotionGPTError
from .. import jobs, key_poses
from ..properties import LIMBS, ONLY
from ..rigs.character import find_character
from ..translation import say
from .at_once import AtOnce
from .outcome import done, fail
from .polling import poll_character


class MOTIONGPT_OT_add_pose(AtOnce, bpy.types.Operator):
    bl_idname = "motiongpt.add_pose"
    bl_label = "Add Key Pose"
    bl_description = "Have the clip pass through a pose; one that is there for the same frame gives way to it"

    source: EnumProperty(
        name="From",
        description="Where the pose comes from",
        items=[
            ("FRAME", "Current Frame", "The pose that the character stands in, keyed or not"),
            ("MARKERS", "Timeline Markers", "The poses at the selected markers, or else at those called a pose"),
            ("ASSET", "Pose Asset", "A pose of the asset library, at the current frame"),
        ],
        options={"SKIP_SAVE"},
    )
    asset: StringProperty(
        name="Pose Asset",
        description="Name of the action that is the pose",
        search=lambda self, context, text: [a.name for a in key_poses.pose_assets() if text.lower() in a.name.lower()],
        options={"SKIP_SAVE"},  # or the dialog that asks for it would not open again
    )

    only: EnumProperty(name="Only", description=ONLY, items=LIMBS, options={"ENUM_FLAG", "SKIP_SAVE"})

    @classmethod
    def description(cls, context: bpy.types.Context, properties: bpy.types.OperatorProperties) -> str:
        """Also from where: buttons that differ in that alone show no more than an icon."""
        source = properties.bl_rna.properties["source"].enum_items[properties.source]
        return f"{say(cls.bl_description)}.\n{say(source.name)}: {say(source.description)}"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return poll_character(cls, context)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if self.source == "ASSET" and not self.asset and key_poses.pose_assets():
            return context.window_manager.invoke_props_dialog(self)
        return self.execute(context)

    def draw(self, context: bpy.types.Context) -> None:
        self.layout.prop(self, "asset")

    def execute(self, context: bpy.types.Context) -> set[str]:
        jobs.preview.end()
        try:
            only = self.only if self.properties.is_property_set("only") else None
            added = key_poses.add(context, find_character(context), self.source, self.asset, only)
        except MotionGPTError as error:
            return fail(self, error)
        return done(self, f"Added {added} key pose{'s' if added > 1 else ''}")


class MOTIONGPT_OT_remove_pose(AtOnce, bpy.types.Operator):
    bl_idname = "motiongpt.remove_pose"
    bl_label = "Remove Key Pose"
    bl_description = "Take a pose out of the list"

    every: BoolProperty(name="All", description="Take all of them out", options={"SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not context.scene.motiongpt.key_poses:
            cls.poll_message_set(say("There is no key pose"))
        return bool(context.scene.motiongpt.key_poses)

    def execute(self, context: bpy.types.Context) -> set[str]:
        key_poses.remove(context.scene.motiongpt, self.every)
        return {"FINISHED"}
