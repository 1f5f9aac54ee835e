"""Operators that are done when they return."""
# pyright: reportInvalidTypeForm=false

from bpy.props import BoolProperty


class AtOnce:
    """Mixed into them, so that scripts may say `wait` everywhere."""

    bl_options = {"REGISTER", "UNDO"}

    wait: BoolProperty(name="Wait", description="It is always waited for", options={"HIDDEN", "SKIP_SAVE"})
