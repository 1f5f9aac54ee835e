"""Prompts that are played after each other, as one clip without a seam."""

from collections.abc import Sequence

import bpy

from ..backend.protocol import messages
from ..backend.protocol.errors import Code, MotionGPTError
from . import jobs
from .asking import make_order, scene_rate
from .properties import Asked
from .properties_batch import MotionGPTSegment
from .rigs.character import find_character


def order_sequence(context: bpy.types.Context, asked: Asked, parts: Sequence[MotionGPTSegment]) -> None:
    """Have `parts` made as one clip of the selected character; returns at once. MotionGPTError if that cannot be done."""
    if not parts:
        raise MotionGPTError(Code.INVALID_PARAMS, "The sequence has no parts.", "Add one.")
    fps = scene_rate(context.scene)
    segments = [messages.Segment(part.name.strip(), round(part.seconds * fps)) for part in parts]
    for number, segment in enumerate(segments, start=1):
        if not segment.prompt or segment.frames < 2:
            wanted = "a prompt" if not segment.prompt else "two frames"
            raise MotionGPTError(Code.INVALID_PARAMS, f"Part {number} of the sequence lacks {wanted}.", "Complete it, or remove it.")
    armature = find_character(context)
    jobs.submit(context, armature, make_order(context, armature, asked, segments))
