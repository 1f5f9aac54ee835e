"""Everything that Blender is given, in order, and taken back in reverse."""

import atexit
from collections.abc import Callable, Iterator

import bpy

from . import command, installation, jobs, preferences, properties, properties_batch, properties_character, translation, upkeep
from .animation import draft, preview
from .batch import bake as batches
from .batch.run import batch as running_batch
from .operators import backend, bake, export, generate, lists, mapping, poses, prompts, rig, sequence, t_pose, variations
from .panels import backend as backend_panel
from .panels import batch, character, clip, result, sidebar
from .panels import preferences as preferences_panel
from .panels import prompts as prompt_menus
from .panels import sequence as sequence_panel

CLASSES: tuple[type, ...] = (
    preferences.MotionGPTFolder,
    preferences.MotionGPTPreferences,
    properties.MotionGPTKeyPose,
    properties.MotionGPTSettings,
    properties_character.MotionGPTBones,
    properties_character.MotionGPTCharacter,
    properties_batch.MotionGPTSegment,
    properties_batch.MotionGPTBatchRow,
    properties_batch.MotionGPTBatchSettings,
    generate.MOTIONGPT_OT_generate,
    generate.MOTIONGPT_OT_inbetween,
    generate.MOTIONGPT_OT_again,
    generate.MOTIONGPT_OT_cancel,
    poses.MOTIONGPT_OT_add_pose,
    poses.MOTIONGPT_OT_remove_pose,
    prompts.MOTIONGPT_OT_use_prompt,
    prompts.MOTIONGPT_OT_add_prompt,
    prompts.MOTIONGPT_OT_remove_prompt,
    prompts.MOTIONGPT_OT_random_seed,
    variations.MOTIONGPT_OT_show_variation,
    variations.MOTIONGPT_OT_keep_variation,
    variations.MOTIONGPT_OT_use_clip,
    backend.MOTIONGPT_OT_backend_setup,
    backend.MOTIONGPT_OT_backend_setup_cancel,
    backend.MOTIONGPT_OT_backend_remove,
    backend.MOTIONGPT_OT_backend_start,
    backend.MOTIONGPT_OT_backend_unload,
    backend.MOTIONGPT_OT_backend_stop,
    backend.MOTIONGPT_OT_open_log,
    backend.MOTIONGPT_OT_open_preferences,
    backend.MOTIONGPT_OT_bundle_folder_add,
    backend.MOTIONGPT_OT_bundle_folder_remove,
    backend.MOTIONGPT_OT_bundle_choose,
    rig.MOTIONGPT_OT_add_smpl_rig,
    rig.MOTIONGPT_OT_add_smpl_body,
    mapping.MOTIONGPT_OT_detect_rig,
    mapping.MOTIONGPT_OT_clear_mapping,
    mapping.MOTIONGPT_OT_mirror_mapping,
    mapping.MOTIONGPT_OT_save_mapping_preset,
    mapping.MOTIONGPT_OT_load_mapping_preset,
    mapping.MOTIONGPT_OT_remove_mapping_preset,
    t_pose.MOTIONGPT_OT_tell_t_pose,
    t_pose.MOTIONGPT_OT_forget_t_pose,
    lists.MOTIONGPT_OT_list_add,
    lists.MOTIONGPT_OT_list_remove,
    lists.MOTIONGPT_OT_list_move,
    sequence.MOTIONGPT_OT_generate_sequence,
    bake.MOTIONGPT_OT_bake_batch,
    bake.MOTIONGPT_OT_load_table,
    export.MOTIONGPT_OT_export_bvh,
    export.MOTIONGPT_OT_export_amass,
    prompt_menus.MOTIONGPT_MT_recent_prompts,
    prompt_menus.MOTIONGPT_MT_prompt_presets,
    preferences_panel.MOTIONGPT_UL_bundle_folders,
    preferences_panel.MOTIONGPT_MT_bundles,
    sidebar.MOTIONGPT_PT_main,
    character.MOTIONGPT_PT_character,
    character.MOTIONGPT_PT_bones,
    clip.MOTIONGPT_PT_length,
    clip.MOTIONGPT_UL_key_poses,
    clip.MOTIONGPT_PT_poses,
    clip.MOTIONGPT_PT_options,
    result.MOTIONGPT_UL_clips,
    result.MOTIONGPT_PT_result,
    sequence_panel.MOTIONGPT_UL_segments,
    sequence_panel.MOTIONGPT_PT_sequence,
    batch.MOTIONGPT_UL_rows,
    batch.MOTIONGPT_PT_batch,
    batch.MOTIONGPT_PT_batch_options,
    backend_panel.MOTIONGPT_PT_backend,
)


def register() -> None:
    translation.register()
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    properties.add_to_scene()
    properties_batch.add_to_scene()
    properties_character.add_to_object()
    bpy.types.VIEW3D_MT_armature_add.append(rig.draw_in_add_menu)
    bpy.types.TOPBAR_MT_file_export.append(export.draw_in_export_menu)
    for event, handler in _handlers():
        event.append(handler)
    upkeep.register()
    atexit.register(_before_exit)
    command.register()


def unregister() -> None:
    command.unregister()
    atexit.unregister(_before_exit)
    upkeep.unregister()
    running_batch.abandon("The extension was disabled during a batch.", "Resume the batch.")
    jobs.stop_backend()
    for event, handler in _handlers():
        event.remove(handler)
    bpy.types.TOPBAR_MT_file_export.remove(export.draw_in_export_menu)
    bpy.types.VIEW3D_MT_armature_add.remove(rig.draw_in_add_menu)
    properties_character.remove_from_object()
    properties_batch.remove_from_scene()
    properties.remove_from_scene()
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
    translation.unregister()


def _handlers() -> Iterator[tuple[list, Callable]]:
    """What is done when something happens in Blender."""
    events = bpy.app.handlers
    yield events.load_pre, _before_load
    yield events.load_post, _after_load
    if hasattr(events, "exit_pre"):  # since Blender 5.2
        yield events.exit_pre, _before_exit
    for event in (events.undo_pre, events.redo_pre, events.save_pre, events.render_init):
        yield event, _end_preview
    yield events.save_pre, _before_save
    yield events.frame_change_pre, _before_frame_change
    for event in (events.undo_post, events.redo_post, events.load_post):
        yield event, _heal
        yield event, _forget_note


@bpy.app.handlers.persistent
def _before_load(*_: object) -> None:
    running_batch.abandon("Another file was opened during a batch.", "Open its file again to resume it.")
    jobs.abandon()


@bpy.app.handlers.persistent
def _after_load(*_: object) -> None:
    batches.look_for_unfinished()


@bpy.app.handlers.persistent
def _before_exit(*_: object) -> None:
    installation.job.stop()
    jobs.session.stop()


@bpy.app.handlers.persistent
def _end_preview(*_: object) -> None:
    jobs.preview.end()


@bpy.app.handlers.persistent
def _before_save(*_: object) -> None:
    properties_character.keep_on_overrides()


@bpy.app.handlers.persistent
def _before_frame_change(scene: bpy.types.Scene, *_: object) -> None:
    if scene == bpy.context.scene:
        jobs.preview.end()


@bpy.app.handlers.persistent
def _heal(*_: object) -> None:
    preview.heal()
    draft.heal()


@bpy.app.handlers.persistent
def _forget_note(*_: object) -> None:
    jobs.forget_note()
