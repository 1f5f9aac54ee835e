"""From one keyed pose to the next."""

import bpy
import numpy as np
import pytest
from installed import module
from rigs import add_rig, build_rigify, posed_bones, posed_joints, read_pose, rotations

curves_of = module("motiongpt_blender.animation.action").channelbag


@pytest.fixture
def rig() -> bpy.types.Object:
    """Three poses keyed by hand, at 1, 31 and 61, where the character has also moved on; their keys are selected."""
    rig = add_rig()
    for index, frame in enumerate((1, 31, 61)):
        for bone in rig.pose.bones:
            bone.select = True
            if bone.name == "root":
                continue
            turn = rotations.from_vector(np.array([0.1, -0.2, 0.15]) * index)
            bone.rotation_quaternion = turn if frame != 61 else -turn  # the same rotation, said otherwise
            bone.keyframe_insert("rotation_quaternion", frame=frame)
        rig.pose.bones["pelvis"].location = (0, 0, 0.4 * index)
        rig.pose.bones["pelvis"].keyframe_insert("location", frame=frame)
    select(rig, 1, 31, 61)
    return rig


def select(rig: bpy.types.Object, *frames: int) -> None:
    for curve in curves_of(rig).fcurves:
        for key in curve.keyframe_points:
            key.select_control_point = round(key.co.x) in frames


def inbetween(**options) -> set[str]:
    return bpy.ops.motiongpt.inbetween(**{"prompt": "", "wait": True} | options)


def hand_keys(rig: bpy.types.Object) -> dict[tuple[str, int], list[tuple[float, ...]]]:
    """Frame and value of every key that is not marked as generated, of each curve."""
    return {
        (curve.data_path, curve.array_index): [tuple(key.co) for key in curve.keyframe_points if key.type != "GENERATED"]
        for curve in curves_of(rig).fcurves
    }


def test_keys_stay_exactly_and_all_frames_between_are_filled(scripted, rig):
    before = hand_keys(rig)
    joints = {frame: posed_joints(rig, frame) for frame in (1, 31, 61)}
    half_way = posed_joints(rig, 16)
    inbetween()
    assert hand_keys(rig) == before
    for frame, expected in joints.items():
        assert posed_joints(rig, frame) == pytest.approx(expected, abs=1e-5)
    assert np.abs(posed_joints(rig, 16) - half_way).max() > 0.05
    for curve in curves_of(rig).fcurves:
        assert [round(key.co.x) for key in curve.keyframe_points] == list(range(1, 62))


def test_request_holds_the_poses_and_no_prompt_is_needed(scripted, rig):
    bpy.context.scene.frame_set(31)
    middle, place = read_pose(rig)
    inbetween()
    request = scripted_requests()[-1]
    assert [pose.frame for pose in request.poses] == [0, 30, 60]
    assert request.poses[1].rotations == pytest.approx(middle, abs=1e-5)
    assert request.poses[1].root_translation == pytest.approx(place, abs=1e-5)
    assert request.segments[0].prompt == ""
    inbetween(prompt="a person bows")
    assert scripted_requests()[-1].segments[0].prompt == "a person bows"


def scripted_requests() -> list:
    from scripted import ScriptedConnection

    return ScriptedConnection.requests


def test_time_and_unkeyed_pose_are_left_alone(scripted, rig):
    bpy.context.scene.frame_set(20)
    rig.pose.bones["root"].location = (0.5, 0, 0)
    inbetween()
    assert bpy.context.scene.frame_current == 20
    assert tuple(rig.pose.bones["root"].location) == pytest.approx((0.5, 0, 0))


def test_without_two_selected_keys_it_is_those_around_the_current_frame(scripted, rig):
    select(rig)
    before = posed_joints(rig, 10)
    bpy.context.scene.frame_set(45)
    inbetween()
    assert [pose.frame for pose in scripted_requests()[-1].poses] == [0, 30]
    assert posed_joints(rig, 10) == pytest.approx(before, abs=1e-6)
    bpy.context.scene.frame_set(45)
    inbetween()  # generated keys are not taken for the animator's
    assert [pose.frame for pose in scripted_requests()[-1].poses] == [0, 30]


def test_generated_key_that_is_set_again_is_kept(scripted, rig):
    """Blender leaves it marked as generated, and selects it."""
    inbetween()
    select(rig)
    rekey(rig, 20)
    joints = posed_joints(rig, 20)
    bpy.context.scene.frame_set(25)
    inbetween()
    request = scripted_requests()[-1]
    assert [pose.frame for pose in request.poses] == [0, 11]
    assert posed_joints(rig, 20) == pytest.approx(joints, abs=1e-5)
    select(rig)
    bpy.context.scene.frame_set(5)
    inbetween()  # it is the animator's now, selected or not
    assert [pose.frame for pose in scripted_requests()[-1].poses] == [0, 19]
    assert posed_joints(rig, 20) == pytest.approx(joints, abs=1e-5)


def test_generated_keys_that_are_selected_are_gone_between(scripted, rig):
    inbetween()
    rekey(rig, 20)
    joints = {frame: posed_joints(rig, frame) for frame in (10, 20, 45)}
    select(rig, 10, 20, 45)
    inbetween(prompt="a person bows")
    assert [pose.frame for pose in scripted_requests()[-1].poses] == [0, 10, 35]
    for frame, expected in joints.items():
        assert posed_joints(rig, frame) == pytest.approx(expected, abs=1e-5)


def test_poses_set_in_a_generated_clip_are_gone_between(scripted, rig):
    rig.animation_data_clear()
    bpy.ops.motiongpt.generate(prompt="a person walks", seconds=2.0, wait=True)
    keys = [key for curve in curves_of(rig).fcurves for key in curve.keyframe_points]
    assert {key.type for key in keys} == {"GENERATED"}
    assert not any(key.select_control_point or key.select_left_handle or key.select_right_handle for key in keys)
    bpy.context.scene.frame_set(25)
    with pytest.raises(RuntimeError, match="no two keyed poses to go between"):
        inbetween()
    for frame in (10, 40):
        rekey(rig, frame)
    inbetween()
    assert [pose.frame for pose in scripted_requests()[-1].poses] == [0, 30]


def test_keys_beside_a_clip_that_replaces_are_nobodys_pose(scripted, rig):
    for curve in list(curves_of(rig).fcurves):
        if "head" in curve.data_path:
            curves_of(rig).fcurves.remove(curve)
    select(rig)
    bpy.context.scene.frame_set(35)
    bpy.ops.motiongpt.generate(prompt="a person walks", frames=12, length="FRAMES", mode="REPLACE", wait=True)
    bpy.context.scene.frame_set(40)
    inbetween()
    assert [pose.frame for pose in scripted_requests()[-1].poses] == [0, 30]


def rekey(rig: bpy.types.Object, frame: int) -> None:
    """Set keys that are there to another pose."""
    bpy.context.scene.frame_set(frame)
    for bone in rig.pose.bones:
        if bone.name != "root":
            bone.rotation_quaternion = rotations.from_vector(np.array([0.2, 0.3, -0.1]))
            bone.keyframe_insert("rotation_quaternion", frame=frame)


def test_locked_curves_are_not_filled(scripted, rig):
    curves_of(rig).groups["head"].lock = True
    inbetween()
    counts = {len(curve.keyframe_points) for curve in curves_of(rig).fcurves if curve.group.name == "head"}
    assert counts == {3}
    assert {len(curve.keyframe_points) for curve in curves_of(rig).fcurves if curve.group.name != "head"} == {61}


def test_object_goes_on_from_where_it_is_at_the_first_key(scripted, rig):
    rig.motiongpt.root_motion = "OBJECT"
    for frame in (1, 31, 61):
        rig.location = (0.02 * frame, 0, 0)
        rig.keyframe_insert("location", frame=frame)
    select(rig, 1, 31, 61)
    bpy.context.scene.frame_set(61)
    inbetween()
    bpy.context.scene.frame_set(2)
    assert np.linalg.norm(np.array(rig.location) - (0.02, 0, 0)) < 0.2
    bpy.context.scene.frame_set(61)
    assert tuple(rig.location) == pytest.approx((1.22, 0, 0))


def test_curve_outside_stays(scripted, rig):
    select(rig, 31, 61)
    frames = np.arange(1, 31, 0.5)
    before = [[curve.evaluate(frame) for frame in frames] for curve in curves_of(rig).fcurves]
    inbetween()
    after = [[curve.evaluate(frame) for frame in frames] for curve in curves_of(rig).fcurves]
    assert np.array(after) == pytest.approx(np.array(before), abs=1e-6)


def test_curve_without_a_key_at_an_end_stays_outside(scripted, rig):
    """The head has keys at 1 and 61 alone: the selected pose at 31 lies on its curve, not on a key."""
    for curve in curves_of(rig).fcurves:
        if "head" in curve.data_path:
            curve.keyframe_points.remove(curve.keyframe_points[1])
    select(rig, 31, 61)
    frames = np.arange(1, 30, 0.5)
    before = [[curve.evaluate(frame) for frame in frames] for curve in curves_of(rig).fcurves]
    joints = posed_joints(rig, 31)
    inbetween()
    after = [[curve.evaluate(frame) for frame in frames] for curve in curves_of(rig).fcurves]
    assert np.array(after) == pytest.approx(np.array(before), abs=1e-5)
    assert posed_joints(rig, 31) == pytest.approx(joints, abs=1e-5)


def test_only_selected_bones_are_filled(scripted, rig):
    for bone in rig.pose.bones:
        bone.select = bone.name.startswith("left")
    inbetween(only_selected_bones=True)
    filled = {curve.group.name for curve in curves_of(rig).fcurves if len(curve.keyframe_points) > 3}
    assert filled == {bone.name for bone in rig.pose.bones if bone.name.startswith("left")}


def test_keys_can_be_reduced(scripted, rig):
    before = hand_keys(rig)
    inbetween()
    exact = [posed_bones(rig, frame) for frame in range(1, 62)]
    inbetween(keys="REDUCED", key_degrees=1.0, key_millimetres=2.0)
    assert hand_keys(rig) == before
    assert max(len(curve.keyframe_points) for curve in curves_of(rig).fcurves) < 40
    for frame, bones in enumerate(exact, start=1):
        now = posed_bones(rig, frame)
        assert np.linalg.norm(now["pelvis"][:3, 3] - bones["pelvis"][:3, 3]) < 0.0025
        turned = now["pelvis"][:3, :3].T @ bones["pelvis"][:3, :3]
        assert np.degrees(np.arccos(np.clip((np.trace(turned) - 1) / 2, -1, 1))) < 1.1


def test_variations_are_copies_of_the_action(scripted, rig):
    before = hand_keys(rig)
    inbetween(variations=2)
    assert hand_keys(rig) == before
    bpy.ops.motiongpt.show_variation()
    assert hand_keys(rig) == before


def test_again_fills_the_same_frames(scripted, rig):
    before = hand_keys(rig)
    inbetween()
    filled = posed_joints(rig, 16)
    bpy.ops.motiongpt.again(another_seed=True, wait=True)
    assert hand_keys(rig) == before
    assert np.abs(posed_joints(rig, 16) - filled).max() > 0.01


def test_one_undo_takes_it_back(scripted, rig):
    name, before = rig.name, posed_joints(rig, 16)
    bpy.ops.ed.undo_push(message="keyed")
    inbetween()
    bpy.ops.ed.undo()
    assert posed_joints(bpy.data.objects[name], 16) == pytest.approx(before, abs=1e-5)


def test_what_cannot_be_filled_is_named(scripted, rig):
    select(rig)
    bpy.context.scene.frame_set(61)
    with pytest.raises(RuntimeError, match="no two keyed poses to go between"):
        inbetween()
    bpy.context.scene.frame_set(10)
    for curve in curves_of(rig).fcurves:
        curve.keyframe_points[1].co.x = 2
    with pytest.raises(RuntimeError, match="no frame between the selected keys"):
        bpy.context.scene.frame_set(1)
        inbetween()
    for curve in curves_of(rig).fcurves:
        curve.keyframe_points[1].co.x = 30.5
    with pytest.raises(RuntimeError, match="lies between two frames"):
        inbetween()
    rig.animation_data_clear()
    with pytest.raises(RuntimeError, match="The character has no action"):
        inbetween()


def test_real_backend_meets_the_keys(session, rig):
    before = hand_keys(rig)
    joints = {frame: posed_joints(rig, frame) for frame in (1, 31, 61)}
    inbetween(seed=1)
    assert hand_keys(rig) == before
    for frame, expected in joints.items():
        assert posed_joints(rig, frame) == pytest.approx(expected, abs=1e-4)
        for at in (frame - 1, frame + 1):
            if 1 <= at <= 61:
                assert np.abs(posed_joints(rig, at) - expected).max() < 0.25


def travelled(rig: bpy.types.Object, frame: int) -> np.ndarray:
    """Where the hips are in the world."""
    hips = posed_bones(rig, frame)["pelvis"]
    shown = rig.evaluated_get(bpy.context.evaluated_depsgraph_get())
    return (np.array(shown.matrix_world) @ hips)[:3, 3]


def key_all(rig: bpy.types.Object, frame: int) -> None:
    for bone in rig.pose.bones:
        if bone.name != "root":
            bone.keyframe_insert("rotation_quaternion" if bone.rotation_mode == "QUATERNION" else "rotation_euler", frame=frame)
    rig.pose.bones["pelvis"].keyframe_insert("location", frame=frame)


@pytest.mark.parametrize("root_motion", ["HIPS", "ROOT_BONE", "OBJECT"])
@pytest.mark.parametrize("moved", ["hips", "root", "object"])
def test_whatever_is_keyed_takes_the_character_from_pose_to_pose(scripted, root_motion, moved):
    rig = add_rig()
    rig.motiongpt.root_motion = root_motion
    owner = {"hips": rig.pose.bones["pelvis"], "root": rig.pose.bones["root"], "object": rig}[moved]
    for frame, way in ((1, 0.0), (31, 1.5)):
        owner.location = (0, -way, 0) if moved == "object" else (0, way, 0) if moved == "root" else (0, 0, way)
        owner.keyframe_insert("location", frame=frame)
        key_all(rig, frame)
    expected = {frame: travelled(rig, frame) for frame in (1, 31)}
    assert np.linalg.norm(expected[31] - expected[1]) == pytest.approx(1.5)
    select(rig, 1, 31)
    bpy.context.scene.frame_set(20)
    inbetween()
    for frame, place in expected.items():
        assert travelled(rig, frame) == pytest.approx(place, abs=1e-4)
    steps = np.linalg.norm(np.diff([travelled(rig, frame) for frame in range(1, 32)], axis=0), axis=-1)
    assert steps.max() < 0.2  # at 1.5 m a second and a quarter, 6 cm is the mean


def test_euler_angles_go_on_in_the_form_that_is_keyed(scripted):
    """Angles that Blender itself would give as another triple."""
    rig = add_rig()
    shoulder = rig.pose.bones["left_shoulder"]
    shoulder.rotation_mode = "XYZ"
    for frame, more in ((1, 0), (31, 5)):
        shoulder.rotation_euler = np.radians((125 + more, 60, 120))
        key_all(rig, frame)
    select(rig, 1, 31)
    bpy.context.scene.frame_set(1)
    inbetween()
    curves = [curves_of(rig).fcurves.find('pose.bones["left_shoulder"].rotation_euler', index=i) for i in range(3)]
    angles = np.degrees([[curve.evaluate(frame) for curve in curves] for frame in (1, 2, 30, 31)])
    assert np.abs(np.diff(angles, axis=0)[[0, 2]]).max() < 30


@pytest.mark.parametrize("pole_vector", [False, True])
@pytest.mark.parametrize("limbs", ["FK", "IK"])
def test_poses_of_ik_controls_stay_whatever_limbs_are_set(scripted, limbs, pole_vector):
    rig = build_rigify(True)
    rig.motiongpt.limbs = limbs
    bones = rig.pose.bones
    for side in "LR":
        bones[f"upper_arm_parent.{side}"]["pole_vector"] = bones[f"thigh_parent.{side}"]["pole_vector"] = pole_vector
    for frame, way in ((1, 0.0), (31, 0.3)):
        bones["torso"].location = (0, 0, -0.05)
        bones["hand_ik.L"].location, bones["foot_ik.R"].location = (0, -way, way), (0, -way, 0)
        for bone in bones:
            for name in ("location", "rotation_quaternion" if bone.rotation_mode == "QUATERNION" else "rotation_euler"):
                bone.keyframe_insert(name, frame=frame)
    expected = {frame: posed_bones(rig, frame) for frame in (1, 31)}
    select(rig, 1, 31)
    bpy.context.scene.frame_set(1)
    inbetween()
    for frame, pose in expected.items():
        now = posed_bones(rig, frame)
        for name in ("DEF-hand.L", "DEF-foot.R", "DEF-spine"):
            assert now[name][:3, 3] == pytest.approx(pose[name][:3, 3], abs=1e-3)
    hand = [posed_bones(rig, frame)["DEF-hand.L"][:3, 3] for frame in (8, 16, 24)]
    straight = [
        expected[1]["DEF-hand.L"][:3, 3] + share * (expected[31]["DEF-hand.L"] - expected[1]["DEF-hand.L"])[:3, 3]
        for share in (7 / 30, 0.5, 23 / 30)
    ]
    assert np.abs(np.array(hand) - straight).max() > 0.05  # it is moved by the clip, and not from one key to the next
