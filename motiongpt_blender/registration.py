"""Everything that Blender is given, in order, and taken back in reverse."""

import atexit
from collections.abc import Callable, Iterator

import bpy

from . import jobs, preferences, properties
from .animation import preview
from .operators import backend, export, generate, rig
from .panels import sidebar

CLASSES: tuple[type, ...] = (
    preferences.MotionGPTPreferences,
    properties.MotionGPTKeyPose,
    properties.MotionGPTSettings,
    generate.MOTIONGPT_OT_generate,
    generate.MOTIONGPT_OT_inbetween,
    generate.MOTIONGPT_OT_again,
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
    for event, handler in _handlers():
        event.append(handler)
    atexit.register(jobs.session.stop)


def unregister() -> None:
    atexit.unregister(jobs.session.stop)
    jobs.stop_backend()
    for event, handler in _handlers():
        event.remove(handler)
    bpy.types.TOPBAR_MT_file_export.remove(export.draw_in_export_menu)
    bpy.types.VIEW3D_MT_armature_add.remove(rig.draw_in_add_menu)
    properties.remove_from_scene()
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)


def _handlers() -> Iterator[tuple[list, Callable]]:
    """What is done when something happens in Blender."""
    events = bpy.app.handlers
    yield events.load_pre, _before_load
    if hasattr(events, "exit_pre"):  # since Blender 5.2
        yield events.exit_pre, _before_exit
    for event in (events.undo_pre, events.redo_pre, events.save_pre, events.render_init):
        yield event, _end_preview
    yield events.frame_change_pre, _before_frame_change
    for event in (events.undo_post, events.redo_post, events.load_post):
        yield event, _heal_preview


@bpy.app.handlers.persistent
def _before_load(*_: object) -> None:
    jobs.abandon()


@bpy.app.handlers.persistent
def _before_exit(*_: object) -> None:
    jobs.session.stop()


@bpy.app.handlers.persistent
def _end_preview(*_: object) -> None:
    jobs.preview.end()


@bpy.app.handlers.persistent
def _before_frame_change(scene: bpy.types.Scene, *_: object) -> None:
    if scene == bpy.context.scene:
        jobs.preview.end()


@bpy.app.handlers.persistent
def _heal_preview(*_: object) -> None:
    preview.heal()
