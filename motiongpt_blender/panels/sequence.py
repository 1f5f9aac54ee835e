"""The sub-panel of sequences."""

import bpy

from ..operators.sequence import MOTIONGPT_OT_generate_sequence
from ..translation import say
from .clip import SubPanel
from .lists import PromptList, draw_list


class MOTIONGPT_UL_segments(PromptList, bpy.types.UIList):
    prompt_in = "name"


class MOTIONGPT_PT_sequence(SubPanel, bpy.types.Panel):
    bl_label = "Sequence"
    bl_options = {"DEFAULT_CLOSED"}
    bl_order = 20

    def draw(self, context: bpy.types.Context) -> None:
        layout, settings = self.layout, context.scene.motiongpt_batch
        draw_list(layout, "MOTIONGPT_UL_segments", settings, "SEGMENTS")
        if count := len(settings.segments):
            total = sum(part.seconds for part in settings.segments)
            layout.label(text=say(f"{count} part{'s' if count > 1 else ''}, {total:.1f} s"), translate=False, icon="TIME")
        layout.operator(MOTIONGPT_OT_generate_sequence.bl_idname, icon="PLAY")
