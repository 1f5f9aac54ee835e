"""Export what a character does."""
# pyright: reportInvalidTypeForm=false

from pathlib import Path

import bpy
from bpy.props import EnumProperty, StringProperty
from bpy_extras.io_utils import ExportHelper

from ...backend.protocol.errors import MotionGPTError
from .. import export, jobs
from ..rigs.character import find_character
from .at_once import AtOnce
from .outcome import done, fail


class ExportProperties(AtOnce, ExportHelper):
    """What all exports ask, mixed into their operators."""

    source: EnumProperty(
        name="Export",
        description="Which motion is written",
        items=[
            ("ACTION", "Action", "What the selected character does in the frames of its action"),
            ("SCENE", "Scene", "What the selected character does in the frames of the scene, NLA strips included"),
            ("LAST", "Last Clip", "The clip that was made last, as the model made it; the first of several variations"),
        ],
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        jobs.preview.end()
        path = Path(bpy.path.ensure_ext(self.filepath, self.filename_ext))
        try:
            if self.source == "LAST":
                export.export_reply(jobs.session.reply, path)
            else:
                export.export_character(context, find_character(context), self.source, path)
        except MotionGPTError as error:
            return fail(self, error)
        return done(self, f"Exported {path.name}")


class MOTIONGPT_OT_export_bvh(ExportProperties, bpy.types.Operator):
    bl_idname = "motiongpt.export_bvh"
    bl_label = "Export Clip as BVH"
    bl_description = "Write a character's motion on the SMPL skeleton as BVH, which most animation programs read"
    bl_options = {"REGISTER"}

    filename_ext = ".bvh"
    filter_glob: StringProperty(default="*.bvh", options={"HIDDEN"})


class MOTIONGPT_OT_export_amass(ExportProperties, bpy.types.Operator):
    bl_idname = "motiongpt.export_amass"
    bl_label = "Export Clip as AMASS"
    bl_description = "Write a character's motion as SMPL-H poses in the npz layout of AMASS, which tools around the SMPL body read"
    bl_options = {"REGISTER"}

    filename_ext = ".npz"
    filter_glob: StringProperty(default="*.npz", options={"HIDDEN"})


def draw_in_export_menu(menu: bpy.types.Menu, context: bpy.types.Context) -> None:
    menu.layout.operator(MOTIONGPT_OT_export_bvh.bl_idname, text="MotionGPT Clip (.bvh)")
    menu.layout.operator(MOTIONGPT_OT_export_amass.bl_idname, text="MotionGPT Clip as AMASS (.npz)")
