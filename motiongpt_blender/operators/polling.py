"""Why a button cannot be pressed."""

import bpy

from ...backend.protocol.errors import MotionGPTError
from .. import jobs
from ..rigs.character import find_character
from ..translation import say, say_error


def poll_character(cls: type[bpy.types.Operator], context: bpy.types.Context) -> bool:
    """Whether a character is selected."""
    try:
        find_character(context)
    except MotionGPTError as error:
        cls.poll_message_set(say_error(error))
        return False
    return True


def poll_idle(cls: type[bpy.types.Operator]) -> bool:
    """Whether nothing is being made."""
    if jobs.session.busy:
        cls.poll_message_set(say("A clip is being made. Wait for it or cancel it"))
    return not jobs.session.busy
