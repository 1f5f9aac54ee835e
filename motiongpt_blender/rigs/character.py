"""The character that the animator means."""

import bpy

from ...backend.protocol.errors import Code, MotionGPTError


def find_character(context: bpy.types.Context) -> bpy.types.Object:
    """The active or else a selected armature, or that of a mesh which one moves; MotionGPTError if there is none."""
    for obj in (context.active_object, *context.selected_objects):
        if armature := _armature_of(obj):
            return armature
    raise MotionGPTError(Code.INVALID_PARAMS, "No character is selected.", "Select an armature, or a mesh that an armature moves.")


def _armature_of(obj: bpy.types.Object | None) -> bpy.types.Object | None:
    if obj is None or obj.type == "ARMATURE":
        return obj
    moved_by = (modifier.object for modifier in obj.modifiers if modifier.type == "ARMATURE")
    return next((armature for armature in moved_by if armature), None)
