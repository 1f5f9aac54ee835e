"""Menus of prompts."""

import bpy

from .. import jobs
from ..operators.prompts import MOTIONGPT_OT_add_prompt, MOTIONGPT_OT_remove_prompt, MOTIONGPT_OT_use_prompt
from ..prompts import presets


class MOTIONGPT_MT_recent_prompts(bpy.types.Menu):
    bl_label = "Recent Prompts"
    bl_description = "Prompts that were used lately"

    def draw(self, context: bpy.types.Context) -> None:
        recent = jobs.prompt_book().recent
        if not recent:
            self.layout.label(text="No prompt was used yet")
        for prompt in recent:
            _draw_prompt(self.layout, prompt)


class MOTIONGPT_MT_prompt_presets(bpy.types.Menu):
    bl_label = "Prompt Presets"
    bl_description = "Prompts to begin with, and your own"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.operator(MOTIONGPT_OT_add_prompt.bl_idname, icon="ADD")
        layout.operator(MOTIONGPT_OT_remove_prompt.bl_idname, icon="REMOVE")
        for kind, prompts in (("Own", jobs.prompt_book().own), *presets().items()):
            if prompts:
                layout.separator()
                layout.label(text=kind)
            for prompt in prompts:
                _draw_prompt(layout, prompt)


def draw_prompt(layout: bpy.types.UILayout, settings: bpy.types.PropertyGroup) -> None:
    """The panel's prompt with its menus."""
    row = layout.row(align=True)
    row.prop(settings, "prompt", text="", icon="TEXT", placeholder="What the character does")
    row.menu(MOTIONGPT_MT_recent_prompts.__name__, text="", icon="RECOVER_LAST")
    row.menu(MOTIONGPT_MT_prompt_presets.__name__, text="", icon="PRESET")


def _draw_prompt(layout: bpy.types.UILayout, prompt: str) -> None:
    layout.operator(MOTIONGPT_OT_use_prompt.bl_idname, text=prompt, translate=False).prompt = prompt
