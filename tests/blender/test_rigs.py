"""Clips on rigs of every kind, measured by Blender's evaluation."""

import bpy
import numpy as np
import pytest
from installed import module
from rigs import (
    RIGS,
    SMPL,
    Clip,
    build_rig,
    build_rigify,
    edit,
    key,
    posed_bones,
    read_pose,
    rotations,
    round_trip_errors,
    some_motion,
    swaying_on_the_spot,
    to_blender,
)

FRAMES = 4
MotionGPTError = module("backend.protocol.errors").MotionGPTError
mapping = module("motiongpt_blender.rigs.mapping")
read_rig = module("motiongpt_blender.rigs.rig").read_rig


def joint_bone(rig: bpy.types.Object, joint: str) -> str:
    return mapping.find_mapping(rig).bones[joint]


def loose(frames: int = FRAMES, seed: int = 0):
    """A clip that touches no floor."""
    return Clip(*some_motion(frames, seed), np.zeros((frames, 4), dtype=bool), 24.0, SMPL)


def pose_at_random(rig: bpy.types.Object, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    for bone in mapping.find_mapping(rig).bones.values():
        rig.pose.bones[bone].rotation_quaternion = rotations.from_vector(rng.uniform(-0.4, 0.4, 3))
    bpy.context.view_layer.update()


@pytest.mark.parametrize("name", RIGS)
def test_clip_keeps_its_directions(name):
    rig, clip = build_rig(name), loose()
    key(rig, clip)
    degrees, millimetres = round_trip_errors(rig, clip, up=RIGS[name].get("up", "Z"))
    assert degrees < 0.01
    assert millimetres < 0.05


@pytest.mark.parametrize("name", RIGS)
def test_clip_that_starts_in_a_pose_leaves_the_bones_where_they_are(name):
    """Whatever the rest pose and the proportions, feet on the floor or not; also bones that are no joints."""
    rig = build_rig(name)
    pose_at_random(rig)
    before = posed_bones(rig)
    local, root = some_motion(12)
    local[0], root[0] = read_pose(rig)
    key(rig, Clip(local, root, np.ones((12, 4), dtype=bool), 24.0, SMPL), fixed=(0,))
    size = RIGS[name].get("units", 1)
    for bone, matrix in posed_bones(rig, 1).items():
        assert np.abs(matrix[:3, 3] - before[bone][:3, 3]).max() / size < 1e-4, bone
        assert np.abs(matrix[:3, :3] - before[bone][:3, :3]).max() < 1e-3, bone


@pytest.mark.parametrize("name", ["smplx", "smpl_fbx"])
def test_places_on_rigs_with_the_clips_proportions(name):
    rig, clip = build_rig(name), loose()
    key(rig, clip)
    up, units = RIGS[name].get("up", "Z"), RIGS[name].get("units", 1)
    for frame in range(FRAMES):
        bones = posed_bones(rig, 1 + frame)
        heads = np.array([bones[joint_bone(rig, joint)][:3, 3] for joint in SMPL.joints]) / units
        expected = clip.joints[frame] if up == "Y" else to_blender(clip.joints[frame])
        assert np.abs(heads - expected).max() < 1e-5


def key_exactly(rig: bpy.types.Object) -> set[str]:
    """Key a clip, which must come back as it was; the paths that got keys."""
    clip = loose()
    action = key(rig, clip)
    degrees, millimetres = round_trip_errors(rig, clip)
    assert degrees < 0.05
    assert millimetres < 0.2
    return {curve.data_path for curve in action.layers[0].strips[0].channelbags[0].fcurves}


@pytest.mark.parametrize("limbs", ["FK", "IK"])
def test_controls_of_a_generated_rigify_rig(limbs):
    rig = build_rigify(generated=True)
    rig.motiongpt.limbs = limbs
    keyed = key_exactly(rig)
    assert 'pose.bones["upper_arm_parent.L"]["IK_FK"]' in keyed
    assert ('pose.bones["hand_ik.L"].location' in keyed) == (limbs == "IK")
    assert ('pose.bones["upper_arm_ik_target.L"].location' in keyed) == (limbs == "IK")
    assert ('pose.bones["upper_arm_fk.L"].rotation_quaternion' in keyed) == (limbs == "FK")
    assert not any(name in path for path in keyed for name in ("ORG-", "DEF-"))


def without_toe_goals(metarig: bpy.types.Object) -> None:
    """As Rigify itself has it at first, and had it before Blender 3.1."""
    for side in "LR":
        metarig.pose.bones[f"thigh.{side}"].rigify_parameters.extra_ik_toe = False


@pytest.mark.parametrize("limbs", ["FK", "IK"])
def test_controls_of_a_rigify_rig_whose_toes_have_no_goals(limbs):
    rig = build_rigify(True, without_toe_goals)
    rig.motiongpt.limbs = limbs
    keyed = key_exactly(rig)
    assert 'pose.bones["toe.L"].rotation_quaternion' in keyed
    assert ('pose.bones["foot_ik.L"].location' in keyed) == (limbs == "IK")


def named_neck_and_head(metarig: bpy.types.Object) -> None:
    for old, new in (("spine.004", "neck"), ("spine.006", "head")):
        metarig.data.bones[old].name = new


def test_controls_of_a_rigify_rig_whose_head_is_called_so():
    rig = build_rigify(True, named_neck_and_head)
    assert mapping.find_mapping(rig).kind == "Rigify"
    key_exactly(rig)


def with_three_spine_bones(metarig: bpy.types.Object) -> None:
    def dissolve(bones) -> None:
        bones["spine.003"].use_connect = False
        bones["spine.001"].tail = bones["spine.002"].tail
        bones.remove(bones["spine.002"])
        bones["spine.003"].parent, bones["spine.003"].use_connect = bones["spine.001"], True

    edit(metarig, dissolve)


def test_controls_of_a_rigify_rig_with_three_spine_bones():
    """Whose arms hang halfway between two of them."""
    rig = build_rigify(True, with_three_spine_bones)
    key_exactly(rig)
    for control in ("spine_fk.001", "spine_fk.003", "hips", "shoulder.L"):
        bone = rig.pose.bones[control]
        bone.rotation_mode, bone.rotation_quaternion = "QUATERNION", rotations.from_vector(np.array([0.2, 0.1, -0.2]))
    rig.animation_data_clear()
    bpy.context.view_layer.update()
    before = posed_bones(rig)
    local, root = some_motion(12)
    local[0], root[0] = read_pose(rig)
    key(rig, Clip(local, root, np.ones((12, 4), dtype=bool), 24.0, SMPL), fixed=(0,))
    after = posed_bones(rig, 1)
    for bone in mapping.find_mapping(rig).bones.values():
        assert np.linalg.norm((after[bone] - before[bone])[:3, 3]) < 1e-3, bone


def pose_by_ik(rig: bpy.types.Object) -> None:
    """With the controls that a generated rig has at first; limbs bend, and its solver makes them a little shorter."""
    turn = rotations.from_vector(np.array([0.3, 0.1, -0.2]))
    rig.pose.bones["torso"].location = (0, 0, -0.1)
    for control, place in (
        ("hand_ik.L", (-0.1, 0.1, -0.1)),
        ("hand_ik.R", (0.15, -0.1, 0.1)),
        ("foot_ik.L", (0, 0.2, 0.1)),
        ("foot_ik.R", (0, -0.1, 0)),
    ):
        rig.pose.bones[control].location = place
        rig.pose.bones[control].rotation_quaternion = turn
    bpy.context.view_layer.update()


@pytest.mark.parametrize("limbs", ["FK", "IK"])
def test_pose_held_by_ik_is_where_the_clip_starts(limbs):
    """And a clip after that, from no pose, has limbs of full length again."""
    rig = build_rigify(generated=True)
    rig.motiongpt.limbs = limbs
    pose_by_ik(rig)
    before = posed_bones(rig)
    shin = np.linalg.norm((before["ORG-foot.L"] - before["ORG-shin.L"])[:3, 3])
    assert shin < 0.99 * rig.data.bones["ORG-shin.L"].length
    local, root = some_motion(12)
    local[0], root[0] = read_pose(rig)
    key(rig, Clip(local, root, np.ones((12, 4), dtype=bool), 24.0, SMPL), fixed=(0,))
    after = posed_bones(rig, 1)
    for bone in mapping.find_mapping(rig).bones.values():
        assert np.linalg.norm((after[bone] - before[bone])[:3, 3]) < 1e-3, bone
        a, b = (rotations.from_matrix(m[:3, :3] / np.linalg.norm(m[:3, :3], axis=0)) for m in (after[bone], before[bone]))
        assert np.degrees(rotations.angle_between(a, b)) < 0.1, bone
    clip = loose(seed=1)
    key(rig, clip)
    degrees, millimetres = round_trip_errors(rig, clip)
    assert degrees < 0.05
    assert millimetres < 0.2


def test_body_lies_where_it_is_said_to_though_what_moves_it_is_far_below_its_hips():
    """As the centre of MikuMikuDance's models is."""
    rig = build_rig("mmd")
    local = np.tile(rotations.IDENTITY, (2, len(SMPL), 1))
    local[:, 0] = rotations.about(np.array([1.0, 0.0, 0.0]), -np.pi / 2)
    root = np.array([[0.0, 0.12, 0.0], [0.3, 0.12, 0.2]])
    key(rig, Clip(local, root, np.zeros((2, 4), dtype=bool), 24.0, SMPL))
    for frame in range(2):
        bones, clip = posed_bones(rig, 1 + frame), SMPL.forward(local[frame], root[frame])
        hips = np.mean([bones[f"{side}足"][:3, 3] for side in "左右"], axis=0)
        expected = clip[[SMPL.index("left_hip"), SMPL.index("right_hip")]].mean(axis=0)
        assert read_rig(rig).stance.place(hips) == pytest.approx(expected, abs=1e-4)
        assert read_pose(rig)[1] == pytest.approx(root[frame], abs=1e-4)


@pytest.mark.parametrize("name", ["mixamo", "unreal_5", "biped", "daz_genesis_8", "unity", "unknown", "cmu_bvh"])
def test_feet_stand_still_on_the_floor_whatever_the_proportions(name):
    rig = build_rig(name)
    clip = swaying_on_the_spot(24)
    key(rig, clip)
    units, up = RIGS[name].get("units", 1), 1 if RIGS[name].get("up") == "Y" else 2
    ankles = [joint_bone(rig, f"{side}_ankle") for side in ("left", "right")]
    heads = np.array([[bones[ankle][:3, 3] for ankle in ankles] for bones in (posed_bones(rig, 1 + f) for f in range(24))]) / units
    assert np.ptp(heads, axis=0).max() < 1e-3
    rest = np.array([rig.data.bones[ankle].head_local[up] for ankle in ankles]) / units
    assert np.abs(heads[..., up] - rest).max() < 1e-2
    assert np.ptp(heads[..., up], axis=1).max() < 2e-3
