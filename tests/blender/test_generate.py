"""Generating, as the animator does it: from the button to the keyframes, through the real backend process."""

import os
import signal
import time

import bpy
import numpy as np
import pytest
from installed import module, preferences
from rigs import add_rig, degrees_between, edit, posed_joints, read_pose, rotations

jobs = module("motiongpt_blender.jobs")
MotionGPTError = module("backend.protocol.errors").MotionGPTError

PROMPT = "a person walks forward"


@pytest.fixture
def rig() -> bpy.types.Object:
    """The character, not in its rest pose."""
    rig = add_rig()
    for index, name in enumerate(("left_shoulder", "right_shoulder", "left_hip", "spine2", "head")):
        rig.pose.bones[name].rotation_quaternion = rotations.from_vector(np.array([0.1, 0.05 * index, -0.1]) * (index + 1))
    rig.pose.bones["pelvis"].location = (0.1, 0.02, -0.05)
    return rig


def generate(**options) -> set[str]:
    return bpy.ops.motiongpt.generate(**{"prompt": PROMPT, "seconds": 1.0, "seed": 1, "wait": True} | options)


def wait_for_progress(session) -> None:
    stop = time.monotonic() + 120
    while not session.words.startswith("Generating "):
        session.pump()
        assert time.monotonic() < stop
        time.sleep(0.002)


def frames_keyed(rig: bpy.types.Object) -> tuple[float, float]:
    return tuple(rig.animation_data.action.frame_range)


def file_state() -> tuple:
    scene = bpy.context.scene
    return len(bpy.data.actions), len(bpy.data.objects), scene.frame_start, scene.frame_end, scene.frame_current


def test_clip_starts_in_the_pose_the_character_stands_in(session, rig):
    bpy.context.scene.frame_set(10)
    pose, place = read_pose(rig)
    joints = posed_joints(rig)
    assert generate(pose_use="FIRST") == {"FINISHED"}
    assert frames_keyed(rig) == (10, 33)
    assert degrees_between(read_pose(rig)[0], pose) < 0.1
    assert read_pose(rig)[1] == pytest.approx(place, abs=1e-4)
    assert posed_joints(rig, 10) == pytest.approx(joints, abs=1e-4)
    assert np.abs(posed_joints(rig, 33) - joints).max() > 0.05
    assert session.words == "Ready"


def test_clip_ends_in_the_pose_the_character_stands_in(session, rig):
    bpy.context.scene.frame_set(40)
    joints = posed_joints(rig)
    generate(pose_use="LAST")
    assert frames_keyed(rig) == (17, 40)
    assert posed_joints(rig, 40) == pytest.approx(joints, abs=1e-4)
    assert np.abs(posed_joints(rig, 17) - joints).max() > 0.05


def test_clip_without_pose_starts_where_the_character_stands_and_faces(session, rig):
    skeleton, features = module("backend.motion.skeleton").SMPL, module("backend.motion.features")
    rig.pose.bones["root"].rotation_mode = "XYZ"
    rig.pose.bones["root"].rotation_euler.z = 2.0
    rig.pose.bones["root"].location = (3, 1, 0)
    pose, place = read_pose(rig)
    generate(pose_use="NONE")
    new_pose, new_place = read_pose(rig)
    assert new_place[[0, 2]] == pytest.approx(place[[0, 2]], abs=1e-4)
    assert degrees_between(new_pose, pose) > 1
    facing = [features.facing(skeleton.forward(p, np.zeros(3)), skeleton) for p in (pose, new_pose)]
    assert facing[0] == pytest.approx(facing[1], abs=1e-3)


def test_panel_says_what_the_call_does_not(session, rig):
    settings = bpy.context.scene.motiongpt
    settings.prompt, settings.seconds, settings.pose_use = "someone jumps", 1.5, "NONE"
    bpy.ops.motiongpt.generate(wait=True)
    assert rig.animation_data.action.name == "someone jumps"
    assert frames_keyed(rig) == (1, 36)


def test_one_seed_one_motion(session, rig):
    motions = []
    for seed in (1, 1, 2):
        bpy.context.scene.frame_set(1)
        rig.animation_data_clear()
        generate(seed=seed, pose_use="NONE")
        motions.append(posed_joints(rig, 20))
    assert motions[0] == pytest.approx(motions[1], abs=1e-6)
    assert np.abs(motions[0] - motions[2]).max() > 1e-3


@pytest.mark.parametrize(("fps", "base", "frames"), [(30, 1.0, 30), (24, 1.001, 24), (60, 1.0, 60), (12, 1.0, 12)])
def test_clip_keeps_the_rate_of_the_scene(session, rig, fps, base, frames):
    bpy.context.scene.render.fps, bpy.context.scene.render.fps_base = fps, base
    generate()
    assert frames_keyed(rig) == (1, frames)
    assert session.reply.fps == pytest.approx(fps / base)


def test_scene_is_lengthened_only_where_that_is_asked_for_and_needed(session, rig):
    generate(extend_scene=True)
    assert (bpy.context.scene.frame_start, bpy.context.scene.frame_end) == (1, 250)
    bpy.context.scene.frame_end = 10
    generate()
    assert bpy.context.scene.frame_end == 10
    assert "The scene ends at 10" in session.note
    generate(extend_scene=True)
    assert "The scene now ends there" in session.note
    assert (bpy.context.scene.frame_start, bpy.context.scene.frame_end) == (1, 24)


def test_a_mesh_stands_for_the_armature_that_moves_it(session, rig):
    rig.select_set(False)
    bpy.context.view_layer.objects.active = rig.children[0]
    generate()
    assert frames_keyed(rig) == (1, 24)


def test_clip_is_taken_back_in_one_step(session, rig):
    joints = posed_joints(rig)
    name = rig.name
    bpy.ops.ed.undo_push(message="posed")
    generate()
    assert rig.animation_data.action
    assert session.note
    bpy.ops.ed.undo()
    assert not session.note
    rig = bpy.data.objects[name]
    assert not bpy.data.actions
    assert rig.animation_data is None or rig.animation_data.action is None
    assert posed_joints(rig) == pytest.approx(joints, abs=1e-6)


def test_second_clip_plays_and_the_first_is_kept(session, rig):
    generate()
    first = rig.animation_data.action
    generate(prompt="a person sits down")
    assert rig.animation_data.action is not first
    assert rig.animation_data.action_slot
    assert first.use_fake_user


def test_generate_does_not_wait_for_the_clip(session, rig):
    generate(wait=False)
    assert session.busy
    assert not bpy.data.actions
    with pytest.raises(RuntimeError, match="A clip is being made"):
        generate()
    session.wait()
    assert frames_keyed(rig) == (1, 24)


def test_cancel_writes_nothing(session, rig):
    generate(wait=False, seconds=9.0)
    wait_for_progress(session)
    bpy.ops.motiongpt.cancel(wait=True)
    assert not session.busy
    assert "cancelled" in session.words.lower()
    assert not bpy.data.actions
    generate()
    assert session.words == "Ready"


def test_backend_that_dies_says_so_and_nothing_is_written(session, rig):
    generate(wait=False, seconds=9.0)
    wait_for_progress(session)
    os.kill(session._connection.pid, signal.SIGTERM)
    with pytest.raises(MotionGPTError, match="The backend has ended") as raised:
        session.wait()
    assert raised.value.remedy
    assert session.error is raised.value
    assert not session.running
    assert not bpy.data.actions
    generate()
    assert frames_keyed(rig) == (1, 24)


def test_character_that_is_gone_gets_nothing(session, rig):
    generate(wait=False)
    bpy.data.objects.remove(rig)
    with pytest.raises(MotionGPTError, match="is no longer in the scene"):
        session.wait()
    assert not bpy.data.actions


def test_character_in_a_scene_that_is_not_shown_gets_its_clip(session, rig):
    generate()
    expected = [posed_joints(rig, frame) for frame in (1, 12, 24)]
    bpy.context.scene.frame_set(1)
    rig.animation_data_clear()
    scene, window, other = bpy.context.scene, bpy.context.window_manager.windows[0], bpy.data.scenes.new("Other")
    scene.frame_end = other.frame_end = 10
    generate(wait=False, extend_scene=True)
    window.scene = other
    try:
        session.wait()
    finally:
        window.scene = scene
    np.testing.assert_allclose([posed_joints(rig, frame) for frame in (1, 12, 24)], expected, atol=1e-4)
    assert (scene.frame_end, other.frame_end) == (24, 10)
    bpy.data.scenes.remove(other)


def test_character_that_shows_something_else_is_refused(session, rig):
    rig.data.pose_position = "REST"
    with pytest.raises(RuntimeError, match="is shown in its rest position"):
        generate()
    rig.data.pose_position = "POSE"
    generate()
    data = rig.animation_data
    data.nla_tracks.new().strips.new("below", 1, data.action)
    data.action = None
    data.action_blend_type = "ADD"
    with pytest.raises(RuntimeError, match="is blended with its NLA strips"):
        generate()
    data.nla_tracks[0].mute = True
    assert generate() == {"FINISHED"}


def test_character_whose_bones_are_being_edited_is_refused(scripted, rig):
    """Also by another object that has the same bones: neither has its pose brought up to date then."""
    other = rig.copy()
    bpy.context.collection.objects.link(other)
    bpy.ops.object.mode_set(mode="EDIT")
    for character in (rig, other):
        with bpy.context.temp_override(active_object=character), pytest.raises(RuntimeError, match="are being edited"):
            bpy.ops.motiongpt.generate(prompt="a person walks", wait=True)
        with bpy.context.temp_override(active_object=character), pytest.raises(RuntimeError, match="are being edited"):
            bpy.ops.motiongpt.add_pose()
    bpy.ops.object.mode_set(mode="OBJECT")
    bpy.ops.motiongpt.generate(prompt="a person walks")
    bpy.ops.object.mode_set(mode="EDIT")
    rig.data.edit_bones["head"].name = "top"
    with pytest.raises(Exception, match=r"are being edited\. Leave Edit Mode first\."):
        scripted.wait()
    bpy.ops.object.mode_set(mode="OBJECT")
    assert not bpy.data.actions


def test_character_whose_hips_cannot_move_is_refused(session, rig):
    def connect(bones) -> None:
        bones["root"].tail = bones["pelvis"].head
        bones["pelvis"].use_connect = True

    edit(rig, connect)
    with pytest.raises(RuntimeError, match=r"pelvis of .* is connected to its parent.* Way Goes Into under Character to Root Bone"):
        generate()
    rig.motiongpt.root_motion = "OBJECT"
    assert generate() == {"FINISHED"}


def test_character_in_no_scene_gets_nothing(session, rig):
    generate(wait=False)
    for collection in rig.users_collection:
        collection.objects.unlink(rig)
    with pytest.raises(MotionGPTError, match="is no longer in the scene"):
        session.wait()
    assert not bpy.data.actions


def test_renamed_character_gets_its_clip(session, rig):
    generate(wait=False)
    rig.name = "Anna"
    session.wait()
    assert rig.animation_data.action_slot.identifier == "OBAnna"


def test_another_file_gets_nothing(session, rig, tmp_path):
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "other.blend"))
    generate(wait=False)
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "other.blend"))
    with pytest.raises(MotionGPTError, match="Another file was opened"):
        session.wait()
    assert not bpy.data.actions


def test_backend_can_be_started_and_stopped(session):
    if session.running:
        bpy.ops.motiongpt.backend_stop()
    assert session.words == "Backend is not running"
    with pytest.raises(RuntimeError, match="not running"):
        bpy.ops.motiongpt.backend_stop()
    bpy.ops.motiongpt.backend_start(wait=True)
    assert session.words == "Ready"
    assert session.model.device == "cpu"


def test_clip_that_is_too_long_is_refused(session, rig):
    before = file_state()
    for _ in range(2):  # before the model is loaded, and after
        with pytest.raises(RuntimeError, match=r"1000 s.*not possible|1000 seconds cannot be made"):
            generate(seconds=1000.0)
        assert file_state() == before
        bpy.ops.motiongpt.backend_start(wait=True)


@pytest.mark.parametrize("seconds", [0.0, -1.0, 0.01, 0.04])
def test_clip_of_no_length_is_refused(rig, seconds):
    before = file_state()
    with pytest.raises(RuntimeError, match=r"of -?\d+(\.\d{1,3})? seconds cannot be made\. Ask for"):
        generate(seconds=seconds)
    assert file_state() == before


def test_empty_prompt_needs_a_pose(session, rig):
    before = file_state()
    with pytest.raises(RuntimeError, match=r"There is no prompt\. Say what the character does"):
        generate(prompt="  ", pose_use="NONE")
    assert file_state() == before
    generate(prompt="", pose_use="FIRST")
    assert rig.animation_data.action.name == "MotionGPT"


def test_no_character_is_refused():
    bpy.ops.mesh.primitive_cube_add()
    before = file_state()
    with pytest.raises(RuntimeError, match=r"No character is selected\. Select an armature"):
        generate()
    bpy.data.objects.remove(bpy.context.object)
    with pytest.raises(RuntimeError, match=r"No character is selected\. Select an armature"):
        generate()
    assert file_state()[0] == before[0]


def test_armature_without_the_bones_is_refused(rig):
    edit(rig, lambda bones: bones.remove(bones["left_elbow"]))
    before = file_state()
    with pytest.raises(RuntimeError, match=r"no bone for Left Elbow\. .* Rename"):
        generate()
    bpy.ops.object.armature_add()
    with pytest.raises(RuntimeError, match="the bones of no humanoid that is known"):
        generate()
    assert file_state()[0] == before[0]


@pytest.fixture
def no_backend(tmp_path):
    preferences().backend_folder = str(tmp_path)
    yield
    preferences().property_unset("backend_folder")


def test_backend_that_is_not_installed_is_named(rig, no_backend):
    before = file_state()
    with pytest.raises(RuntimeError, match=r"There is no backend in .*preferences"):
        generate()
    assert file_state() == before
    assert jobs.session.error is not None


def test_bundle_that_is_not_there_is_named(session, rig, tmp_path):
    preferences().bundle_folder = str(tmp_path / "nothing")
    before = file_state()
    with pytest.raises(RuntimeError, match="nothing"):
        generate()
    assert file_state() == before


def test_strip_that_is_being_edited_is_refused(rig):
    track = rig.animation_data_create().nla_tracks.new()
    track.strips.new("strip", 1, bpy.data.actions.new("old"))
    track.is_solo = False
    rig.animation_data.nla_tracks.active = track
    track.strips[0].select = True
    rig.animation_data.use_tweak_mode = True
    with pytest.raises(RuntimeError, match="NLA"):
        generate()
