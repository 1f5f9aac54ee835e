"""Longer text in a panel. Labels do not wrap by themselves."""

import textwrap

import bpy

from ...backend.protocol.errors import Code, MotionGPTError
from ..translation import say

_PIXELS_PER_CHARACTER = 7.5
_REMEDIES = {  # what went wrong -> the button that puts it right
    Code.BACKEND_MISSING: ("motiongpt.backend_setup", "Set Up Backend", "IMPORT"),
    Code.BASE_MODEL_MISSING: ("motiongpt.backend_setup", "Set Up Backend", "IMPORT"),
    Code.SETUP_FAILED: ("motiongpt.open_log", "Open Log", "TEXT"),
    Code.OFFLINE: ("extensions.userpref_allow_online", "Allow Online Access", "INTERNET"),
    Code.BACKEND_ENDED: ("motiongpt.backend_start", "Start Backend", "PLAY"),
    Code.FOLDER_MISSING: ("motiongpt.open_preferences", "Preferences", "PREFERENCES"),
    Code.BUNDLE_MISSING: ("motiongpt.open_preferences", "Preferences", "PREFERENCES"),
    Code.BUNDLE_ALTERED: ("motiongpt.open_preferences", "Preferences", "PREFERENCES"),
    Code.OUT_OF_MEMORY: ("motiongpt.open_preferences", "Preferences", "PREFERENCES"),
    Code.INTERNAL_ERROR: ("motiongpt.open_log", "Open Log", "TEXT"),
}


def draw_text(layout: bpy.types.UILayout, context: bpy.types.Context, text: str, icon: str = "NONE") -> None:
    """Text, in Blender's language, over as many lines as the region's width asks for, the first with `icon`."""
    width = context.region.width / (_PIXELS_PER_CHARACTER * context.preferences.system.ui_scale) - 6
    column = layout.column(align=True)
    column.scale_y = 0.8
    for paragraph in say(text).splitlines():
        for line in textwrap.wrap(paragraph, max(int(width), 20)):
            column.label(text=line, icon=icon, translate=False)
            icon = "NONE" if icon == "NONE" else "BLANK1"


def draw_error(layout: bpy.types.UILayout, context: bpy.types.Context, error: MotionGPTError) -> None:
    """What happened, what to do about it, and the button for that if there is one."""
    box = layout.box()
    draw_text(box, context, error.message, "ERROR")
    draw_text(box, context, error.remedy, "BLANK1")
    if error.code in _REMEDIES:
        operator, text, icon = _REMEDIES[error.code]
        box.operator(operator, text=text, icon=icon)
