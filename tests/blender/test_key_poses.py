"""The poses that a clip passes through: from the current frame, from markers, from a pose asset."""

from types import SimpleNamespace

import bpy
import numpy as np
import pytest
from installed import module
from mathutils import Vector
from rigs import SMPL, add_rig, build_rig, build_rigify, degrees_between, posed_joints, read_pose, rotations
from scripted import ScriptedConnection

read_rig = module("motiongpt_blender.rigs.rig").read_rig
jobs = module("motiongpt_blender.jobs")


@pytest.fixture
def rig() -> bpy.types.Object:
    """A character that bends further and walks on, keyed at 1 and 41."""
    rig = add_rig()
    for frame, amount in ((1, 0.0), (41, 0.6)):
        bone = rig.pose.bones["spine2"]
        bone.rotation_quaternion = rotations.from_vector(np.array([amount, 0, 0]))
        bone.keyframe_insert("rotation_quaternion", frame=frame)
        rig.pose.bones["pelvis"].location = (0, 0, amount)
        rig.pose.bones["pelvis"].keyframe_insert("location", frame=frame)
    return rig


def settings():
    return bpy.context.scene.motiongpt


def listed() -> list[tuple[int, str]]:
    return [(pose.frame, pose.name) for pose in settings().key_poses]


def add_marker(name: str, frame: int, select: bool = False) -> None:
    bpy.context.scene.timeline_markers.new(name, frame=frame).select = select


def generate(**options) -> set[str]:
    return bpy.ops.motiongpt.generate(**{"prompt": "a person walks", "seconds": 2.0, "wait": True} | options)


def test_unkeyed_pose_of_the_current_frame_is_met(scripted, rig):
    bpy.context.scene.frame_set(21)
    rig.pose.bones["left_shoulder"].rotation_quaternion = (0.8, 0.6, 0, 0)
    pose, joints = read_pose(rig), posed_joints(rig)
    assert bpy.ops.motiongpt.add_pose(source="FRAME") == {"FINISHED"}
    assert listed() == [(21, "Pose")]
    rig.pose.bones["left_shoulder"].rotation_quaternion = (1, 0, 0, 0)
    bpy.context.scene.frame_set(1)
    generate()
    assert [p.frame for p in ScriptedConnection.requests[-1].poses] == [0, 20]
    assert ScriptedConnection.requests[-1].poses[1].rotations == pytest.approx(pose[0], abs=1e-6)
    assert posed_joints(rig, 21) == pytest.approx(joints, abs=1e-4)


def test_poses_come_in_the_order_of_time_and_one_a_frame(rig):
    for frame in (30, 10, 20, 10):
        bpy.context.scene.frame_set(frame)
        bpy.ops.motiongpt.add_pose(source="FRAME")
    assert [frame for frame, _ in listed()] == [10, 20, 30]
    settings().active_pose = 1
    bpy.ops.motiongpt.remove_pose()
    assert [frame for frame, _ in listed()] == [10, 30]
    bpy.ops.motiongpt.remove_pose(every=True)
    assert not listed()
    with pytest.raises(RuntimeError, match="There is no key pose"):
        bpy.ops.motiongpt.remove_pose()


def test_a_pose_that_is_read_again_stays_one_of_the_same_hands_and_feet(rig):
    add_marker("pose", 21)
    bpy.context.scene.frame_set(21)
    bpy.ops.motiongpt.add_pose(source="FRAME", only={"LEFT_HAND", "RIGHT_FOOT"})
    before = list(settings().key_poses[0]["rotations"])
    rig.pose.bones["left_shoulder"].rotation_quaternion = (0.8, 0.6, 0, 0)
    for source in ("FRAME", "MARKERS"):
        bpy.ops.motiongpt.add_pose(source=source)
        assert settings().key_poses[0].only == {"LEFT_HAND", "RIGHT_FOOT"}
        assert list(settings().key_poses[0]["rotations"]) != before
    bpy.ops.motiongpt.add_pose(source="FRAME", only=set())
    assert [item.only for item in settings().key_poses] == [set()]
    bpy.context.scene.frame_set(31)
    bpy.ops.motiongpt.add_pose(source="FRAME")
    assert [item.only for item in settings().key_poses] == [set(), set()]


def test_selected_markers_come_before_named_ones(rig):
    add_marker("pose A", 11)
    add_marker("Pose B", 31)
    add_marker("beat", 21)
    bpy.ops.motiongpt.add_pose(source="MARKERS")
    assert listed() == [(11, "pose A"), (31, "Pose B")]
    bpy.ops.motiongpt.remove_pose(every=True)
    bpy.context.scene.timeline_markers["beat"].select = True
    bpy.ops.motiongpt.add_pose(source="MARKERS")
    assert listed() == [(21, "beat")]


def test_poses_of_markers_are_those_of_the_animation(scripted, rig):
    expected = {}
    for frame in (1, 31, 41):
        add_marker("pose", frame)
        expected[frame] = posed_joints(rig, frame)
    bpy.context.scene.frame_set(7)
    rig.pose.bones["head"].rotation_quaternion = (0.9, 0.1, 0, 0.3)
    bpy.ops.motiongpt.add_pose(source="MARKERS")
    assert bpy.context.scene.frame_current == 7
    assert tuple(rig.pose.bones["head"].rotation_quaternion) == pytest.approx((0.9, 0.1, 0, 0.3))
    assert len(bpy.data.scenes) == 1
    rig.pose.bones["head"].rotation_quaternion = (1, 0, 0, 0)
    generate(length="POSES", pose_use="NONE")
    assert tuple(rig.animation_data.action.frame_range) == (1, 41)
    for frame in expected:
        hips = posed_joints(rig, frame)[:10]
        assert hips == pytest.approx(expected[frame][:10], abs=1e-4)


def test_no_marker_is_named(rig):
    with pytest.raises(RuntimeError, match="No marker is selected, and none is called a pose"):
        bpy.ops.motiongpt.add_pose(source="MARKERS")


def test_error_is_shown_until_something_went_well(rig, monkeypatch):
    redrawn = []
    monkeypatch.setattr(jobs, "redraw", lambda: redrawn.append(bool(jobs.session.error)))
    with pytest.raises(RuntimeError, match="No marker"):
        bpy.ops.motiongpt.add_pose(source="MARKERS")
    assert bpy.ops.motiongpt.add_pose(source="FRAME") == {"FINISHED"}
    assert redrawn == [True, False]


@pytest.fixture
def asset(rig) -> bpy.types.Action:
    """A pose of the left arm, kept as an asset."""
    played = rig.animation_data.action
    rig.animation_data.action = None
    rig.pose.bones["left_shoulder"].rotation_quaternion = (0.8, 0, 0.6, 0)
    rig.pose.bones["left_shoulder"].keyframe_insert("rotation_quaternion", frame=1)
    asset = next(action for action in bpy.data.actions if action != played)
    asset.name = "Wave"
    asset.asset_mark()
    rig.animation_data.action = played
    rig.animation_data.action_slot = played.slots[0]
    rig.pose.bones["left_shoulder"].rotation_quaternion = (1, 0, 0, 0)
    return asset


def test_pose_asset_is_evaluated_on_the_character(rig, asset):
    bpy.context.scene.frame_set(41)
    stood = read_pose(rig)
    for bone in rig.pose.bones:
        bone.select = bone.name == "head"  # the asset is met whole all the same
    bpy.ops.motiongpt.add_pose(source="ASSET", asset="Wave")
    assert listed() == [(41, "Wave")]
    assert degrees_between(read_pose(rig)[0], stood[0]) < 1e-3
    assert len(bpy.data.objects) == 2
    kept = np.array(settings().key_poses[0]["rotations"]).reshape(22, 4)
    rig.pose.bones["left_shoulder"].rotation_quaternion = (0.8, 0, 0.6, 0)
    assert degrees_between(kept, read_pose(rig)[0]) < 0.01
    assert settings().key_poses[0]["root"] == pytest.approx(stood[1], abs=1e-6)


def test_asset_that_is_not_there_is_named(rig, asset):
    with pytest.raises(RuntimeError, match="no pose asset called 'Bow'"):
        bpy.ops.motiongpt.add_pose(source="ASSET", asset="Bow")


def test_nothing_is_asked_where_there_is_no_asset(rig):
    """An empty list in a dialog would not say why."""
    with pytest.raises(RuntimeError, match="no pose asset in this file"):
        bpy.ops.motiongpt.add_pose("INVOKE_DEFAULT", source="ASSET")


def test_no_asset_is_chosen(rig, asset):
    with pytest.raises(RuntimeError, match="No pose asset was chosen"):
        bpy.ops.motiongpt.add_pose(source="ASSET")


def test_each_button_says_from_where_it_takes_the_pose():
    operator, rna = module("motiongpt_blender.operators.poses").MOTIONGPT_OT_add_pose, bpy.ops.motiongpt.add_pose.get_rna_type()
    sources = [source.identifier for source in rna.properties["source"].enum_items]
    told = {operator.description(bpy.context, SimpleNamespace(bl_rna=rna, source=source)) for source in sources}
    assert len(told) == len(sources) == 3
    assert all(text.startswith(operator.bl_description) for text in told)


def test_what_was_said_once_is_not_said_again():
    """Blender would keep it for the next time the button is pressed."""
    said = [(bpy.ops.motiongpt.add_pose, ("source", "asset")), (bpy.ops.motiongpt.remove_pose, ("every",))]
    assert all(operator.get_rna_type().properties[name].is_skip_save for operator, names in said for name in names)


def test_pose_outside_the_clip_is_refused(scripted, rig):
    bpy.context.scene.frame_set(41)
    bpy.ops.motiongpt.add_pose(source="FRAME")
    bpy.context.scene.frame_set(1)
    with pytest.raises(RuntimeError, match=r"The key pose at frame 41 lies outside the clip \(frames 1 to 24\)"):
        generate(seconds=1.0)
    with pytest.raises(RuntimeError, match=r"there are not two\. Add key poses"):
        generate(length="POSES")


def test_two_poses_of_one_frame_are_refused(scripted, rig):
    """Frames can be changed in the list; one of the poses would be left out unseen."""
    for frame in (11, 21):
        bpy.context.scene.frame_set(frame)
        bpy.ops.motiongpt.add_pose(source="FRAME", only={"LEFT_HAND"} if frame == 21 else set())
    settings().key_poses[0].frame = 21
    bpy.context.scene.frame_set(1)
    with pytest.raises(RuntimeError, match=r"Two poses are given for frame 21\. Leave one of them out"):
        generate()


def test_both_ends_are_the_current_pose(scripted, rig):
    bpy.context.scene.frame_set(10)
    joints = posed_joints(rig)
    generate(pose_use="BOTH", length="FRAMES", frames=30)
    assert tuple(rig.animation_data.action.frame_range) == (10, 39)
    assert posed_joints(rig, 10) == pytest.approx(joints, abs=1e-4)
    assert posed_joints(rig, 39) == pytest.approx(joints, abs=1e-4)


def test_poses_are_kept_in_the_file(rig, tmp_path):
    bpy.ops.motiongpt.add_pose(source="FRAME")
    kept = list(settings().key_poses[0]["rotations"])
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "poses.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "poses.blend"))
    assert list(settings().key_poses[0]["rotations"]) == kept


def test_adding_is_taken_back_in_one_step(rig):
    bpy.ops.ed.undo_push(message="before")
    bpy.ops.motiongpt.add_pose("EXEC_DEFAULT", True, source="FRAME")
    assert listed()
    bpy.ops.ed.undo()
    assert not listed()


def place_of(rig: bpy.types.Object, joint: str, frame: int | None = None) -> np.ndarray:
    return posed_joints(rig, frame)[bone_of(rig, joint)]


def bone_of(rig: bpy.types.Object, joint: str) -> int:
    return list(read_rig(rig).joints).index(SMPL.index(joint))


def reach_out(rig: bpy.types.Object, frame: int) -> np.ndarray:
    """A key pose of the right hand alone; where it is to be."""
    bpy.context.scene.frame_set(frame)
    for joint, turn in (("right_shoulder", (0.8, 0, -0.6, 0)), ("left_hip", (0.9, 0.4, 0, 0))):
        posed = rig.pose.bones[read_rig(rig).bones[bone_of(rig, joint)]]
        posed.rotation_mode, posed.rotation_quaternion = "QUATERNION", turn
    bpy.context.view_layer.update()
    wanted = place_of(rig, "right_wrist")
    assert bpy.ops.motiongpt.add_pose(source="FRAME", only={"RIGHT_HAND"}) == {"FINISHED"}
    for bone in rig.pose.bones:
        bone.matrix_basis.identity()
    bpy.context.scene.frame_set(1)
    return wanted


@pytest.mark.parametrize("name", ["smplx", "mixamo", "unreal_5", "daz_genesis_8", "cmu_bvh", "unknown"])
def test_a_hand_alone_is_where_it_was_posed_whatever_the_proportions(scripted, name):
    rig = build_rig(name)
    wanted = reach_out(rig, 21)
    knee = place_of(rig, "left_knee")
    assert generate(seed=4) == {"FINISHED"}
    pose = ScriptedConnection.requests[-1].poses[1]
    assert (pose.frame, pose.only) == (20, ("right_hand",))
    size = read_rig(rig).scale
    assert np.linalg.norm(place_of(rig, "right_wrist", 21) - wanted) < 1e-3 * size
    assert np.linalg.norm(place_of(rig, "right_wrist", 40) - wanted) > 1e-2 * size
    assert np.linalg.norm(place_of(rig, "left_knee", 1) - knee) < 1e-3 * size  # the pose it stands in is met as a whole


def test_a_pose_of_hands_gives_way_to_the_whole_pose_of_the_same_frame(scripted, rig):
    reach_out(rig, 1)
    generate()
    assert [(pose.frame, pose.only) for pose in ScriptedConnection.requests[-1].poses] == [(0, ())]


def test_hands_are_left_to_a_clip_that_stays_in_its_place(scripted, rig):
    reach_out(rig, 21)
    assert generate(in_place=True) == {"FINISHED"}


@pytest.mark.parametrize("name", ["mixamo", "unreal_5"])
def test_a_loop_ends_as_it_begins_with_a_hand_held_in_it(scripted, name):
    rig = build_rig(name)
    wanted, size = reach_out(rig, 46), read_rig(rig).scale
    assert generate(loop=True) == {"FINISHED"}
    assert np.linalg.norm(place_of(rig, "right_wrist", 46) - wanted) < 1e-3 * size
    begin, end = (place_of(rig, "right_wrist", frame) - place_of(rig, "pelvis", frame) for frame in (1, 49))
    assert np.linalg.norm(end - begin) < 3e-3 * size


def test_reduced_keys_keep_what_a_hand_is_to_do(scripted, rig):
    wanted = reach_out(rig, 21)
    generate(keys="REDUCED", key_degrees=8.0)
    assert np.linalg.norm(place_of(rig, "right_wrist", 21) - wanted) < 1e-3


@pytest.mark.parametrize("limbs", ["FK", "IK"])
def test_controls_of_a_rigify_rig_hold_a_hand(scripted, limbs):
    rig = build_rigify(generated=True)
    rig.motiongpt.limbs = limbs
    bpy.context.view_layer.objects.active = rig
    control = rig.pose.bones["hand_ik.R"]
    bpy.context.scene.frame_set(21)
    matrix, shoulder = control.matrix.copy(), rig.pose.bones["ORG-upper_arm.R"].matrix.translation
    matrix.translation = shoulder + 0.7 * (matrix.translation - shoulder) + Vector((0.0, -0.05, 0.05))
    control.matrix = matrix
    bpy.context.view_layer.update()
    wanted = np.array(rig.pose.bones["ORG-hand.R"].matrix.translation)
    bpy.ops.motiongpt.add_pose(source="FRAME", only={"RIGHT_HAND"})
    control.location = (0, 0, 0)
    bpy.context.scene.frame_set(1)
    assert generate(seed=4) == {"FINISHED"}
    bpy.context.scene.frame_set(21)
    assert np.linalg.norm(np.array(rig.pose.bones["ORG-hand.R"].matrix.translation) - wanted) < 2e-3
