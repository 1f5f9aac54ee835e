"""The extension's preferences, and the folders that Blender gives it."""
# pyright: reportInvalidTypeForm=false

import sys
from pathlib import Path

import bpy
from bpy.props import EnumProperty, StringProperty

from ..backend.protocol import messages
from ..backend.protocol.errors import Code, MotionGPTError
from .session import Settings

PACKAGE = (__package__ or "").rpartition(".")[0]
_ROOT = Path(__file__).parent.parent


def user_folder(name: str) -> Path:
    """The folder `name` of the extension's own place, which outlives its updates; it need not exist."""
    try:
        return Path(bpy.utils.extension_path_user(PACKAGE, path=name))
    except ValueError:  # imported from elsewhere, not installed as an extension
        return Path(bpy.utils.user_resource("DATAFILES")) / "motiongpt" / name


class MotionGPTPreferences(bpy.types.AddonPreferences):
    bl_idname = PACKAGE

    backend_folder: StringProperty(
        name="Backend",
        description="Folder of the Python environment that runs the language model. Empty: the extension's own",
        subtype="DIR_PATH",
    )
    bundle_folder: StringProperty(
        name="Bundle",
        description="Folder of the motion model. Empty: the one that comes with the extension",
        subtype="DIR_PATH",
    )
    device: EnumProperty(
        name="Device",
        description="What the language model runs on",
        items=[
            ("auto", "Automatic", "The graphics card if it can be used, else the processor"),
            ("cpu", "CPU", "The processor"),
            ("cuda", "CUDA", "An NVIDIA or AMD graphics card"),
            ("mps", "MPS", "The graphics of an Apple processor"),
        ],
    )

    def draw(self, context: bpy.types.Context) -> None:
        self.layout.use_property_split = True
        for name in ("backend_folder", "bundle_folder", "device"):
            self.layout.prop(self, name)


def backend_settings(context: bpy.types.Context) -> Settings:
    """What to start according to the preferences; MotionGPTError if there is no backend."""
    preferences = context.preferences.addons[PACKAGE].preferences
    folder = Path(bpy.path.abspath(preferences.backend_folder)) if preferences.backend_folder else user_folder("backend")
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not python.is_file():
        raise MotionGPTError(
            Code.BACKEND_MISSING,
            f"The backend is not installed: there is no {python}.",
            "Name its folder in the preferences of MotionGPT (Edit > Preferences > Add-ons).",
        )
    bundle = bpy.path.abspath(preferences.bundle_folder) if preferences.bundle_folder else ""
    return Settings(python, _ROOT, user_folder("logs") / "backend.log", messages.Load(bundle, preferences.device))
