"""Prompts to choose from."""
# pyright: reportInvalidTypeForm=false

import bpy
from bpy.props import StringProperty

from ...backend.protocol.errors import MotionGPTError
from .. import jobs
from ..translation import say
from .at_once import AtOnce
from .outcome import done, fail


class MOTIONGPT_OT_use_prompt(AtOnce, bpy.types.Operator):
    bl_idname = "motiongpt.use_prompt"
    bl_label = "Use Prompt"
    bl_description = "Put this prompt into the panel"

    prompt: StringProperty(name="Prompt", description="What the character does")

    def execute(self, context: bpy.types.Context) -> set[str]:
        context.scene.motiongpt.prompt = self.prompt
        return {"FINISHED"}


class MOTIONGPT_OT_add_prompt(AtOnce, bpy.types.Operator):
    bl_idname = "motiongpt.add_prompt"
    bl_label = "Keep Prompt"
    bl_description = "Keep the panel's prompt among your own, for every file"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        prompt = context.scene.motiongpt.prompt.strip()
        if not prompt:
            cls.poll_message_set(say("There is no prompt"))
        return bool(prompt)

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            jobs.prompt_book().add(context.scene.motiongpt.prompt.strip())
        except MotionGPTError as error:
            return fail(self, error)
        return done(self)


class MOTIONGPT_OT_remove_prompt(AtOnce, bpy.types.Operator):
    bl_idname = "motiongpt.remove_prompt"
    bl_label = "Forget Prompt"
    bl_description = "Take the panel's prompt out of your own"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        kept = context.scene.motiongpt.prompt.strip() in jobs.prompt_book().own
        if not kept:
            cls.poll_message_set(say("The prompt is not one of your own"))
        return kept

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            jobs.prompt_book().remove(context.scene.motiongpt.prompt.strip())
        except MotionGPTError as error:
            return fail(self, error)
        return done(self)


class MOTIONGPT_OT_random_seed(AtOnce, bpy.types.Operator):
    bl_idname = "motiongpt.random_seed"
    bl_label = "Random Seed"
    bl_description = "Choose a seed by chance"

    def execute(self, context: bpy.types.Context) -> set[str]:
        context.scene.motiongpt.seed = jobs.random_seed()
        return {"FINISHED"}
