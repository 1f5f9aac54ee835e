"""For operators that are done when they return."""
# pyright: reportInvalidTypeForm=false

from bpy.props import BoolProperty


class Immediate:
    """Takes `wait` as every operator does, so that scripts need not know which ones go on in the background."""

    wait: BoolProperty(name="Wait", description="This is always done at once", options={"HIDDEN", "SKIP_SAVE"})
