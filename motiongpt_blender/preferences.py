"""The extension's preferences, and the folders that Blender gives it."""
# pyright: reportInvalidTypeForm=false

import os
from pathlib import Path

import bpy
from bpy.props import CollectionProperty, EnumProperty, IntProperty, StringProperty

from ..backend.protocol import messages
from ..backend.protocol.errors import Code, MotionGPTError
from .bundles import find_bundles
from .session import Settings
from .setup import Place
from .setup.place import interpreter

PACKAGE = (__package__ or "").rpartition(".")[0]
ROOT = Path(__file__).parent.parent


def user_folder(name: str) -> Path:
    """The folder `name` of the extension's own place, which outlives its updates; it need not exist."""
    try:
        return Path(bpy.utils.extension_path_user(PACKAGE, path=name))
    except ValueError:  # imported from elsewhere, not installed as an extension
        return Path(bpy.utils.user_resource("DATAFILES")) / "motiongpt" / name


def _look_again(self: bpy.types.AddonPreferences, context: bpy.types.Context) -> None:
    from . import installation  # it is made of the preferences

    installation.look_again()


class MotionGPTFolder(bpy.types.PropertyGroup):
    path: StringProperty(name="Folder", description="A bundle, or a folder of bundles", subtype="DIR_PATH")


class MotionGPTPreferences(bpy.types.AddonPreferences):
    bl_idname = PACKAGE

    backend_folder: StringProperty(
        name="Backend Folder",
        description="Folder of a Python environment of your own that runs the language model. Empty: the one that is set up here",
        subtype="DIR_PATH",
        update=_look_again,
    )
    wheels_folder: StringProperty(
        name="Folder of Wheels",
        description="Where the set-up takes packages from, first or, without online access, alone. Empty: everything is downloaded",
        subtype="DIR_PATH",
        update=_look_again,
    )
    bundle_folder: StringProperty(
        name="Bundle",
        description="Folder of the motion model. Empty: the one that comes with the extension",
        subtype="DIR_PATH",
    )
    bundle_folders: CollectionProperty(type=MotionGPTFolder)
    bundle_folder_index: IntProperty(name="Bundle Folder", description="The selected folder")
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
    precision: EnumProperty(
        name="Precision",
        description="Form of the language model's weights: less memory or more exactness",
        items=[
            ("auto", "Automatic", "What the device computes best with"),
            ("float32", "32 bit (float32)", "Exact; takes the most memory"),
            ("bfloat16", "16 bit (bfloat16)", "Half the memory, for devices that compute with it"),
            ("int8", "8 bit (int8)", "A quarter of the memory, on the processor alone"),
        ],
    )
    memory_limit: IntProperty(
        name="Memory Limit (MB)",
        description="How many megabytes the model may take. 0: no limit",
        min=0,
        soft_max=65536,
        step=512,
    )
    idle_unload: IntProperty(
        name="Unload After (minutes)",
        description="After how many minutes without use the model gives its memory back. 0: never",
        default=30,
        min=0,
        soft_max=240,
    )
    log_level: EnumProperty(
        name="Log Level",
        description="How much the backend writes into its log",
        items=[
            ("warning", "Problems", "Warnings and errors"),
            ("info", "Requests", "What was asked for and how long it took, too"),
            ("debug", "Everything", "Everything that can be said"),
        ],
    )

    def draw(self, context: bpy.types.Context) -> None:
        from .panels.preferences import draw_preferences  # it draws operators, which import this module

        draw_preferences(self, context)


def get(context: bpy.types.Context | None = None) -> MotionGPTPreferences:
    return (context or bpy.context).preferences.addons[PACKAGE].preferences


def named_python(preferences: MotionGPTPreferences) -> Path | None:
    """The interpreter of the environment that the preferences name, be it there or not; None where they name none."""
    return interpreter(Path(bpy.path.abspath(preferences.backend_folder))) if preferences.backend_folder else None


def bundles(context: bpy.types.Context) -> list[tuple[str, str]]:
    """Names and folders of the bundles in the folders of the list; the default one, whose folder is empty, comes first."""
    folders = [Path(bpy.path.abspath(folder.path)) for folder in get(context).bundle_folders]
    return [("Default", ""), *((found.name, str(found.folder)) for found in find_bundles(folders))]


def choose_bundle(context: bpy.types.Context, folder: str) -> None:
    """Use the bundle in `folder` from now on, the default one if that is empty."""
    get(context).bundle_folder = folder
    context.preferences.is_dirty = True  # of itself Blender saves only what is typed into a field


def add_bundle_folder(context: bpy.types.Context, folder: str) -> None:
    get(context).bundle_folders.add().path = folder
    context.preferences.is_dirty = True


def remove_bundle_folder(context: bpy.types.Context) -> None:
    preferences = get(context)
    preferences.bundle_folders.remove(preferences.bundle_folder_index)
    preferences.bundle_folder_index = max(0, min(preferences.bundle_folder_index, len(preferences.bundle_folders) - 1))
    context.preferences.is_dirty = True


def log_file() -> Path:
    """What the backend of this Blender writes into; another Blender may have one of its own at the same time."""
    return user_folder("logs") / f"backend-{os.getpid()}.log"


def last_log() -> Path:
    """The log of this Blender's backend, or if it has had none yet, the last that any had."""
    own = log_file()
    if own.is_file():
        return own
    return max(own.parent.glob("backend-*.log"), key=lambda log: log.stat().st_mtime, default=own)


def backend_settings(context: bpy.types.Context) -> Settings:
    """What to start according to the preferences; MotionGPTError if there is no backend."""
    preferences = get(context)
    own = Place(user_folder("backend"))
    named = named_python(preferences)
    if named and not named.is_file():
        raise MotionGPTError(
            Code.FOLDER_MISSING,
            f"There is no backend in {preferences.backend_folder}.",
            "Choose another in the preferences, or clear the field.",
        )
    python = named or own.python
    if python is None or not python.is_file():
        raise MotionGPTError(
            Code.BACKEND_MISSING,
            f"The backend is not installed: there is no {python}." if python else "The backend is not installed.",
            "Press Set Up Backend, or name the folder of another one in the preferences of MotionGPT.",
        )
    bundle = bpy.path.abspath(preferences.bundle_folder) if preferences.bundle_folder else ""
    model = messages.Load(bundle, preferences.device, preferences.precision, preferences.memory_limit)
    environment = {"MOTIONGPT_LOG_LEVEL": preferences.log_level, **({} if preferences.backend_folder else own.variables)}
    return Settings(python, ROOT, log_file(), model, environment)
