"""Generate a sequence."""
# pyright: reportInvalidTypeForm=false

import bpy
from bpy.props import CollectionProperty

from ..properties_batch import MotionGPTSegment
from ..sequence import order_sequence
from .generate import WalkMaking


class MOTIONGPT_OT_generate_sequence(WalkMaking):
    bl_idname = "motiongpt.generate_sequence"
    bl_label = "Generate Sequence"
    bl_description = "Make one clip in which the prompts of the list happen after each other, and mark where each begins"

    parts: CollectionProperty(
        type=MotionGPTSegment, name="Parts", description="Prompts and their seconds. Empty: the list in the panel", options={"SKIP_SAVE"}
    )

    def order(self, context: bpy.types.Context) -> None:
        order_sequence(context, self.asked(context), self.parts or context.scene.motiongpt_batch.segments)
