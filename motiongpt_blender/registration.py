"""Everything that Blender is given, in order, and taken back in reverse."""

import atexit

import bpy

from . import jobs, preferences, properties
from .operators import backend, export, generate, rig
from .panels import sidebar

CLASSES: tuple[type, ...] = (
    preferences.MotionGPTPreferences,
    properties.MotionGPTSettings,
    generate.MOTIONGPT_OT_generate,
    generate.MOTIONGPT_OT_cancel,
    backend.MOTIONGPT_OT_backend_start,
    backend.MOTIONGPT_OT_backend_stop,
    rig.MOTIONGPT_OT_add_smpl_rig,
    export.MOTIONGPT_OT_export_bvh,
    export.MOTIONGPT_OT_export_amass,
    sidebar.MOTIONGPT_PT_main,
)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    properties.add_to_scene()
    bpy.types.VIEW3D_MT_armature_add.append(rig.draw_in_add_menu)
    bpy.types.TOPBAR_MT_file_export.append(export.draw_in_export_menu)
    bpy.app.handlers.load_pre.append(_before_load)
    if hasattr(bpy.app.handlers, "exit_pre"):  # since Blender 5.2
        bpy.app.handlers.exit_pre.append(_before_exit)
    atexit.register(jobs.session.stop)


def unregister() -> None:
    atexit.unregister(jobs.session.stop)
    jobs.stop_backend()
    bpy.app.handlers.load_pre.remove(_before_load)
    if hasattr(bpy.app.handlers, "exit_pre"):
        bpy.app.handlers.exit_pre.remove(_before_exit)
    bpy.types.TOPBAR_MT_file_export.remove(export.draw_in_export_menu)
    bpy.types.VIEW3D_MT_armature_add.remove(rig.draw_in_add_menu)
    properties.remove_from_scene()
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)


@bpy.app.handlers.persistent
def _before_load(*_: object) -> None:
    jobs.abandon()


@bpy.app.handlers.persistent
def _before_exit(*_: object) -> None:
    jobs.session.stop()
