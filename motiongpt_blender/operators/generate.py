"""Generate, in-between, again and cancel."""
# pyright: reportInvalidTypeForm=false

from abc import abstractmethod

import bpy
from bpy.props import BoolProperty, StringProperty

from ...backend.protocol.errors import MotionGPTError
from .. import jobs
from ..path import find_curve
from ..properties import Asked, ClipProperties
from ..rigs.character import find_character
from ..translation import say
from .outcome import fail
from .polling import poll_character, poll_idle


class Making(bpy.types.Operator):
    """What operators have in common that have clips made; `order` says which."""

    bl_options = {"REGISTER"}

    wait: BoolProperty(name="Wait", description="Return when the keyframes are there", options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return poll_idle(cls) and poll_character(cls, context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            self.order(context)
            if self.wait:
                jobs.session.wait()
        except MotionGPTError as error:
            return fail(self, error)
        return {"FINISHED"}

    @abstractmethod
    def order(self, context: bpy.types.Context) -> None:
        """Order what the operator has made; MotionGPTError if that cannot be done."""

    def asked(self, context: bpy.types.Context) -> Asked:
        """What the call does not set comes from the panel."""
        names = [name for name in ClipProperties.__annotations__ if self.properties.is_property_set(name)]
        return Asked(context.scene.motiongpt, **{name: getattr(self, name) for name in names})


class WalkMaking(ClipProperties, Making):
    """What operators have in common whose clips may go along a curve."""

    path: StringProperty(name="Path", description="Name of a curve object that the character walks along")

    def asked(self, context: bpy.types.Context) -> Asked:
        asked = super().asked(context)
        return asked.but(path=find_curve(self.path)) if self.properties.is_property_set("path") else asked


def _poll_action(cls: type[bpy.types.Operator], context: bpy.types.Context) -> bool:
    data = find_character(context).animation_data
    if not (data and data.action):
        cls.poll_message_set(say("The character has no action"))
    return bool(data and data.action)


class MOTIONGPT_OT_generate(WalkMaking):
    bl_idname = "motiongpt.generate"
    bl_label = "Generate"
    bl_description = "Make a clip for the selected character and key it on its bones"

    def order(self, context: bpy.types.Context) -> None:
        jobs.order_clip(context, self.asked(context))


class MOTIONGPT_OT_inbetween(ClipProperties, Making):
    bl_idname = "motiongpt.inbetween"
    bl_label = "In-between"
    bl_description = "Fill what lies between the selected keys of the character, or between the keys around the current frame"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return super().poll(context) and _poll_action(cls, context)

    def order(self, context: bpy.types.Context) -> None:
        jobs.order_inbetween(context, self.asked(context))


class MOTIONGPT_OT_again(Making):
    bl_idname = "motiongpt.again"
    bl_label = "Again"
    bl_description = "Make the clip that the character plays once more, with the same prompt and poses"

    another_seed: BoolProperty(name="Another Seed", description="Make another motion of the same prompt and poses")

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return super().poll(context) and _poll_action(cls, context)

    def order(self, context: bpy.types.Context) -> None:
        jobs.order_again(context, self.another_seed)


class MOTIONGPT_OT_cancel(bpy.types.Operator):
    bl_idname = "motiongpt.cancel"
    bl_label = "Cancel"
    bl_description = "Stop what the backend is doing"
    bl_options = {"INTERNAL"}

    wait: BoolProperty(name="Wait", description="Return when it has stopped", options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not jobs.session.busy:
            cls.poll_message_set(say("Nothing is being made"))
        return jobs.session.busy

    def execute(self, context: bpy.types.Context) -> set[str]:
        jobs.cancel(self.wait)
        return {"FINISHED"}
