"""What a clip leaves behind in the file."""

import bpy
import numpy as np
import pytest
from installed import module
from rigs import add_rig, degrees_between, posed_bones, read_pose, rotations, some_motion, write_clip

clips = module("backend.motion.clip")
skeleton = module("backend.motion.skeleton").SMPL
channels = module("motiongpt_blender.animation.channels")
action_name = module("motiongpt_blender.animation.action").action_name


def curves(rig: bpy.types.Object):
    """Those that move the rig: of its action, for its slot."""
    return rig.animation_data.action.layers[0].strips[0].channelbag(rig.animation_data.action_slot).fcurves


def test_action_is_bound_by_its_slot():
    rig = add_rig()
    rig.name = "Anna"
    action = write_clip(rig, *some_motion(10), start=5, prompt="a person sits down")
    assert action.name == "a person sits down"
    assert tuple(action.frame_range) == (5, 14)
    assert rig.animation_data.action_slot.identifier == "OBAnna"
    assert len(curves(rig)) == 22 * 4 + 3
    assert {curve.group.name for curve in curves(rig)} == set(rig.data.bones.keys()) - {"root"}


def test_second_clip_is_bound_too_and_the_first_is_kept():
    rig = add_rig()
    first = write_clip(rig, *some_motion(10, seed=1))
    before = [[tuple(key.co) for key in curve.keyframe_points] for curve in curves(rig)]
    second = write_clip(rig, *some_motion(10, seed=2))
    assert rig.animation_data.action is second
    assert rig.animation_data.action_slot is not None
    assert first.use_fake_user
    kept = first.layers[0].strips[0].channelbags[0].fcurves
    assert [[tuple(key.co) for key in curve.keyframe_points] for curve in kept] == before
    bpy.context.scene.frame_set(4)
    assert degrees_between(read_pose(rig)[0], some_motion(10, seed=2)[0][3]) < 0.01


def test_there_is_a_straight_key_on_every_frame():
    rig = add_rig()
    write_clip(rig, *some_motion(10), start=-3)
    for curve in curves(rig):
        assert [key.co.x for key in curve.keyframe_points] == list(range(-3, 7))
        assert {key.interpolation for key in curve.keyframe_points} == {"LINEAR"}


@pytest.mark.parametrize("mode", ["QUATERNION", "XYZ", "ZXY", "YZX", "AXIS_ANGLE"])
def test_curves_are_free_of_jumps(mode):
    """A joint that spins three times: half-way between keys it is where it should be, in every rotation mode."""
    frames = 73
    spin = rotations.about(np.array([0.0, 1.0, 0.0]), np.linspace(0, 6 * np.pi, frames))
    spin[::3] *= -1  # the same rotations
    name, values = channels.rotation_channel(mode, spin)
    assert name == {"QUATERNION": "rotation_quaternion", "AXIS_ANGLE": "rotation_axis_angle"}.get(mode, "rotation_euler")
    assert np.abs(np.diff(values, axis=0)).max() < 0.4


def test_axis_angle_through_no_rotation_keeps_its_axis():
    swing = rotations.about(np.array([0.0, 0.0, 1.0]), np.linspace(-0.5, 0.5, 11))
    values = channels.rotation_channel("AXIS_ANGLE", swing)[1]
    assert np.abs(np.diff(values[1:], axis=0)).max() < 0.2


def test_clip_without_a_pose_starts_where_the_character_stands_and_faces():
    local, root = some_motion(6)
    pose = local[3].copy()
    pose[0] = rotations.multiply(rotations.about(np.array([0.0, 1.0, 0.0]), np.array(np.pi)), pose[0])
    clip = clips.Clip(local, root, np.zeros((len(root), 4), dtype=bool), 24.0, skeleton)
    clip = clip.placed(0, skeleton.forward(pose, np.array([4.0, 1.3, -2.0])))
    turned, placed = clip.local, clip.root
    assert placed[0] == pytest.approx([4.0, root[0, 1], -2.0])
    assert placed[:, 1] == pytest.approx(root[:, 1])
    assert np.linalg.norm(np.diff(placed, axis=0), axis=-1) == pytest.approx(np.linalg.norm(np.diff(root, axis=0), axis=-1))
    assert _facing(turned[0]) == pytest.approx(_facing(pose), abs=1e-6)
    assert turned[:, 1:] == pytest.approx(local[:, 1:])


def test_posed_root_bone_carries_no_key():
    rig = add_rig()
    rig.pose.bones["root"].location = (0, 0.5, 0)
    before = posed_bones(rig)["root"]
    write_clip(rig, *some_motion(4))
    assert posed_bones(rig, 3)["root"] == pytest.approx(before)
    assert not any("root" in curve.data_path for curve in curves(rig))


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("  a person\n walks ", "a person walks"),
        ("", "MotionGPT"),
        ("a person walks forward and waves with the right hand", "a person walks forward and waves with"),
        ("x" * 60, "x" * 40),
    ],
)
def test_action_name(prompt, name):
    assert action_name(prompt) == name


def _facing(local: np.ndarray) -> np.ndarray:
    skeleton, features = module("backend.motion.skeleton"), module("backend.motion.features")
    return features.facing(skeleton.SMPL.forward(local, np.zeros(3)), skeleton.SMPL)
