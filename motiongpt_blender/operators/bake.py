"""Bake a batch, and fill its list from a table."""
# pyright: reportInvalidTypeForm=false

from pathlib import Path

import bpy
from bpy.props import BoolProperty, StringProperty
from bpy_extras.io_utils import ImportHelper

from ...backend.protocol.errors import MotionGPTError
from ..batch import bake
from ..batch.run import batch
from ..properties import Asked
from ..properties_batch import BatchProperties
from ..translation import say
from .at_once import AtOnce
from .outcome import done, fail
from .polling import poll_idle


class MOTIONGPT_OT_bake_batch(BatchProperties, bpy.types.Operator):
    bl_idname = "motiongpt.bake_batch"
    bl_label = "Bake Batch"
    bl_description = "Make a clip for each row and each character, and write them all as actions when the last is made"
    bl_options = {"REGISTER"}

    filepath: StringProperty(name="Table", description="File of prompts, .csv or .jsonl. Empty: the panel's list", subtype="FILE_PATH")
    characters: StringProperty(name="Characters", description="Armatures, with ; between them. Empty: those that are selected")
    resume: BoolProperty(name="Resume", description="Go on with the last batch of this file", options={"SKIP_SAVE"})
    wait: BoolProperty(name="Wait", description="Return when the actions are there", options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if batch.running:
            cls.poll_message_set(say("A batch is being made. Wait for it or cancel it"))
        return not batch.running and poll_idle(cls)

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            if self.resume:
                bake.resume()
            else:
                bake.bake(context, self._asked(context), self.filepath, self.characters)
            if self.wait:
                batch.wait()
        except MotionGPTError as error:
            return fail(self, error)
        return {"FINISHED"}

    def _asked(self, context: bpy.types.Context) -> Asked:
        """What the call does not set comes from the panel."""
        said = {name: getattr(self, name) for name in BatchProperties.__annotations__ if self.properties.is_property_set(name)}
        return Asked(context.scene.motiongpt_batch, **said)


class MOTIONGPT_OT_load_table(AtOnce, ImportHelper, bpy.types.Operator):
    bl_idname = "motiongpt.load_table"
    bl_label = "Load Table"
    bl_description = "Fill the list with the rows of a .csv or .jsonl file, in place of those that are there"

    filename_ext = ".csv"
    filter_glob: StringProperty(default="*.csv;*.jsonl", options={"HIDDEN"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            count = bake.fill_list(context, Path(bpy.path.abspath(self.filepath)))
        except MotionGPTError as error:
            return fail(self, error)
        return done(self, f"{count} rows loaded")
