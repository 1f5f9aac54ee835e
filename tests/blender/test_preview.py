"""The character moves while its clip is being made, and nothing of that is left behind."""

import json

import bpy
import numpy as np
import pytest
from installed import module
from rigs import add_rig, posed_joints
from scripted import STEPS

jobs = module("motiongpt_blender.jobs")
preview = module("motiongpt_blender.animation.preview")


@pytest.fixture
def rig() -> bpy.types.Object:
    rig = add_rig()
    rig.pose.bones["left_shoulder"].rotation_quaternion = (0.8, 0.6, 0, 0)
    for frame, x in ((1, 0.0), (21, 1.0)):
        rig.pose.bones["pelvis"].location.x = x
        rig.pose.bones["pelvis"].keyframe_insert("location", frame=frame)
    bpy.context.scene.frame_set(1)
    return rig


def begin(**options) -> None:
    bpy.ops.motiongpt.generate(**{"prompt": "a person walks", "seconds": 2.0, "pose_use": "NONE"} | options)


def tick(count: int = 1) -> None:
    """What the timer does."""
    for _ in range(count):
        jobs._tick()


def tick_until_shown() -> None:
    for _ in range(STEPS + 3):
        tick()
        if jobs.preview.showing:
            return
    raise AssertionError("The preview was never shown")


def keys_of(rig: bpy.types.Object) -> list[list[tuple[float, ...]]]:
    bag = rig.animation_data.action.layers[0].strips[0].channelbags[0]
    return [[tuple(key.co) for key in curve.keyframe_points] for curve in bag.fcurves]


def basis(rig: bpy.types.Object) -> np.ndarray:
    return np.array([bone.matrix_basis for bone in rig.pose.bones])


def test_character_moves_and_no_key_is_touched(scripted, rig):
    stood, keys, action = posed_joints(rig), keys_of(rig), rig.animation_data.action
    begin()
    tick_until_shown()
    assert np.abs(posed_joints(rig) - stood).max() > 0.05
    assert keys_of(rig) == keys
    assert rig.animation_data.action is action
    assert len(bpy.data.actions) == 1


def test_cancelled_it_stands_as_before_at_once(scripted, rig):
    before = basis(rig)
    begin()
    tick_until_shown()
    bpy.ops.motiongpt.cancel()
    assert (basis(rig) == before).all()
    assert preview.KEY not in rig
    tick(3)
    assert (basis(rig) == before).all()
    assert not scripted.busy
    assert len(bpy.data.actions) == 1


def test_done_it_plays_the_clip_from_where_it_stood(scripted, rig):
    begin(pose_use="FIRST")
    stood = posed_joints(rig)
    tick_until_shown()
    scripted.wait()
    assert preview.KEY not in rig
    assert posed_joints(rig, 1) == pytest.approx(stood, abs=1e-4)


def test_backend_that_fails_leaves_it_as_before(scripted, rig):
    before = basis(rig)
    begin()
    tick_until_shown()
    scripted._connection.ended = module("backend.protocol.errors").MotionGPTError(-32008, "It ended.")
    scripted._connection._answers = []
    tick()
    assert not scripted.running
    assert (basis(rig) == before).all()


def test_scrubbing_ends_it(scripted, rig):
    begin()
    tick_until_shown()
    bpy.context.scene.frame_set(11)
    assert rig.pose.bones["pelvis"].location.x == pytest.approx(0.5)
    assert tuple(rig.pose.bones["left_shoulder"].rotation_quaternion) == pytest.approx((0.8, 0.6, 0, 0))
    tick()
    assert not jobs.preview.showing
    assert scripted.busy


def test_posing_the_character_ends_it_and_keeps_what_was_posed(scripted, rig):
    before = basis(rig)
    begin()
    tick_until_shown()
    rig.pose.bones["head"].rotation_quaternion = (0.6, 0, 0.8, 0)
    tick()
    assert tuple(rig.pose.bones["head"].rotation_quaternion) == pytest.approx((0.6, 0, 0.8, 0))
    others = [i for i, bone in enumerate(rig.pose.bones) if bone.name != "head"]
    assert (basis(rig)[others] == before[others]).all()


@pytest.mark.parametrize("keyed", ["pelvis", "head"])
def test_keying_the_character_ends_it(scripted, rig, keyed):
    """The keys hold what was seen, but nothing else of it stays."""
    before = basis(rig)
    begin()
    tick_until_shown()
    rig.pose.bones[keyed].keyframe_insert("location" if keyed == "pelvis" else "rotation_quaternion", frame=5)
    tick()
    assert not jobs.preview.showing and preview.KEY not in rig
    others = [i for i, bone in enumerate(rig.pose.bones) if bone.name != keyed]
    assert (basis(rig)[others] == before[others]).all()


def test_playing_another_action_ends_it(scripted, rig):
    begin()
    tick_until_shown()
    rig.animation_data.action = rig.animation_data.action.copy()
    tick()
    assert not jobs.preview.showing


def test_t_pose_is_told_without_it(scripted, rig):
    bpy.ops.motiongpt.tell_t_pose()
    told = rig.motiongpt.t_pose
    begin()
    tick_until_shown()
    bpy.ops.motiongpt.tell_t_pose()
    assert rig.motiongpt.t_pose == told
    assert not jobs.preview.showing


def test_motion_is_exported_without_it(scripted, rig, tmp_path):
    bpy.ops.motiongpt.export_bvh(filepath=str(tmp_path / "before.bvh"))
    begin()
    tick_until_shown()
    bpy.ops.motiongpt.export_bvh(filepath=str(tmp_path / "meanwhile.bvh"))
    assert (tmp_path / "meanwhile.bvh").read_bytes() == (tmp_path / "before.bvh").read_bytes()


def test_saved_file_holds_the_pose_before(scripted, rig, tmp_path):
    before = basis(rig)
    begin()
    tick_until_shown()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "saved.blend"), copy=True)
    with bpy.data.libraries.load(str(tmp_path / "saved.blend")) as (there, here):
        here.objects = [name for name in there.objects if "Body" not in name]
    saved = next(o for o in here.objects if o.type == "ARMATURE")
    assert np.array([bone.matrix_basis for bone in saved.pose.bones]) == pytest.approx(before, abs=1e-6)
    assert preview.KEY not in saved


def test_undo_step_made_meanwhile_comes_back_without_it(scripted, rig):
    name, before = rig.name, basis(rig)
    bpy.ops.ed.undo_push(message="before")
    begin()
    tick_until_shown()
    bpy.ops.ed.undo_push(message="something else")  # the preview's pose is in this step
    scripted.wait()
    bpy.ops.ed.undo()
    rig = bpy.data.objects[name]
    assert basis(rig) == pytest.approx(before, abs=1e-6)
    assert preview.KEY not in rig


def test_copy_made_meanwhile_stands_as_the_character_did(scripted, rig):
    stood = basis(rig)
    begin()
    tick_until_shown()
    copies = [rig.copy()]
    bpy.context.collection.objects.link(copies[0])
    tick()
    assert basis(copies[0]) == pytest.approx(stood)
    copies[0].pose.bones["head"].rotation_quaternion = (0, 1, 0, 0)
    assert jobs.preview.showing
    copies.append(rig.copy())
    bpy.ops.motiongpt.cancel()
    assert basis(copies[1]) == pytest.approx(stood)
    preview.heal()
    assert tuple(copies[0].pose.bones["head"].rotation_quaternion) == (0, 1, 0, 0)


def test_file_that_was_kept_in_a_crash_is_put_right(scripted, rig):
    before = basis(rig)
    begin()
    tick_until_shown()
    assert json.loads(rig[preview.KEY])
    jobs.preview.__init__()  # as after a crash: nobody remembers
    preview.heal()
    assert (basis(rig) == before).all()
    assert preview.KEY not in rig


def test_pose_is_not_shown_where_it_would_be_keyed(scripted, rig):
    bpy.context.scene.tool_settings.use_keyframe_insert_auto = True
    try:
        begin()
        tick(STEPS)
        assert not jobs.preview.showing
    finally:
        bpy.context.scene.tool_settings.use_keyframe_insert_auto = False


def test_it_can_be_switched_off(scripted, rig):
    begin(preview=False)
    tick(STEPS)
    assert not jobs.preview.showing


def test_key_pose_added_meanwhile_is_the_characters_own(scripted, rig):
    begin()
    expected = module("motiongpt_blender.poses").pose_now(rig, bpy.context)
    tick_until_shown()
    bpy.ops.motiongpt.add_pose(source="FRAME")
    assert list(bpy.context.scene.motiongpt.key_poses[0]["rotations"]) == pytest.approx(expected.rotations.ravel())


def test_only_selected_bones_move(scripted, rig):
    for bone in rig.pose.bones:
        bone.select = bone.name == "right_shoulder"
    before = basis(rig)
    begin(only_selected_bones=True)
    tick_until_shown()
    moved = [bone.name for bone, was in zip(rig.pose.bones, before, strict=True) if (np.array(bone.matrix_basis) != was).any()]
    assert moved == ["right_shoulder"]


def test_character_that_is_gone_is_no_trouble(scripted, rig):
    begin()
    tick_until_shown()
    bpy.data.objects.remove(rig)
    tick(2)
    assert not jobs.preview.showing


def test_cancelled_while_keys_are_written_it_gets_none(scripted, rig):
    begin(variations=16)
    while not scripted.delivering:
        tick()
    tick()
    bpy.ops.motiongpt.cancel()
    tick(3)
    assert not scripted.busy
    assert len(bpy.data.actions) == 1


def test_bone_that_is_renamed_ends_it_and_cancel_works(scripted, rig):
    stood, renamed = basis(rig), rig.pose.bones.find("left_shoulder")
    begin()
    tick_until_shown()
    rig.pose.bones[renamed].name = "shoulder.L"
    tick(2)
    assert not jobs.preview.showing
    np.testing.assert_array_equal(np.delete(basis(rig), renamed, axis=0), np.delete(stood, renamed, axis=0))
    bpy.ops.motiongpt.cancel()
    tick(2)
    assert not scripted.busy


def test_another_scene_is_shown_and_the_character_stands_as_before(scripted, rig):
    stood = basis(rig)
    begin()
    tick_until_shown()
    scene, window = bpy.context.scene, bpy.context.window_manager.windows[0]
    window.scene = other = bpy.data.scenes.new("Other")
    tick()
    window.scene = scene
    bpy.data.scenes.remove(other)
    assert not jobs.preview.showing
    np.testing.assert_array_equal(basis(rig), stood)
    assert preview.KEY not in rig


def test_error_in_delivering_is_told_and_leaves_the_session_ready(scripted, rig, monkeypatch):
    def fail(*_: object):
        raise RuntimeError("not foreseen")
        yield

    monkeypatch.setattr(jobs.result, "put", fail)
    begin()
    while scripted.busy:
        tick()
    assert "not foreseen" in scripted.error.message and scripted.error.remedy
    monkeypatch.undo()


def test_backend_that_is_stopped_has_not_made_the_clip(scripted, rig):
    begin()
    tick_until_shown()
    jobs.stop_backend()
    assert scripted.error.code.name == "CANCELLED"
    assert not scripted.busy
