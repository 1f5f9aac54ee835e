"""The interface in Blender's language. Blender itself translates the fixed texts of labels, buttons and properties."""

import bpy

from ..backend.protocol.errors import MotionGPTError
from .preferences import PACKAGE
from .translations import languages, texts, translate

_CONTEXTS = (bpy.app.translations.contexts.default, bpy.app.translations.contexts.operator_default)


def register() -> None:
    known = {language: {(c, text): said for text, said in texts(language).items() for c in _CONTEXTS} for language in languages()}
    bpy.app.translations.register(PACKAGE, known)


def unregister() -> None:
    bpy.app.translations.unregister(PACKAGE)


def say_error(error: MotionGPTError) -> str:
    """What happened and what to do about it, in Blender's language."""
    return f"{say(error.message)} {say(error.remedy)}".strip()


def say(text: str) -> str:
    """A text that was put together while the program runs, such as an error or what is being done, in Blender's language."""
    return translate(text, bpy.app.translations.pgettext_iface)
