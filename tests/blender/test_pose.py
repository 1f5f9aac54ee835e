"""Poses and clips on rigs of every size, turn and roll; Blender's evaluated bones say whether they are right."""

import bpy
import numpy as np
import pytest
from installed import module
from mathutils import Euler, Matrix
from rigs import SMPL, add_rig, degrees_between, edit, posed_bones, posed_joints, read_pose, rotations, some_motion, to_blender, write_clip

MotionGPTError = module("backend.protocol.errors").MotionGPTError

FRAMES = 5
PLACE = Matrix.LocRotScale((3, -2, 0.5), Euler((0.3, -0.2, 2.0)), None)


def transform_rest(rig, matrix):
    rig.data.transform(matrix)
    rig.data.update_tag()


def moved(rig):
    rig.matrix_world = PLACE


def small_object(rig):
    rig.matrix_world = PLACE @ Matrix.Scale(0.01, 4)


def large_object(rig):
    rig.matrix_world = PLACE @ Matrix.Scale(100, 4)


def centimetres(rig):
    transform_rest(rig, Matrix.Scale(100, 4))


def tiny(rig):
    transform_rest(rig, Matrix.Scale(0.01, 4))


def y_up(rig):
    transform_rest(rig, Matrix.Rotation(np.radians(-90), 4, "X"))


def facing_x(rig):
    transform_rest(rig, Matrix.Rotation(np.radians(90), 4, "Z"))


def rolled(rig):
    def roll(bones):
        for index, bone in enumerate(bones):
            bone.roll += 0.37 * index

    edit(rig, roll)


def bones_along_y(rig):
    """As importers leave them: tails anywhere but at the child."""

    def turn(bones):
        for bone in bones:
            bone.tail = bone.head + type(bone.head)((0, 0.05, 0))

    edit(rig, turn)


def root_posed(rig):
    rig.pose.bones["root"].rotation_mode = "XYZ"
    rig.pose.bones["root"].rotation_euler = (0.2, 0.5, -0.7)
    rig.pose.bones["root"].location = (0.4, 1.0, -0.2)


def bone_between(rig):
    """A bone that is no joint stands between two that are, and is posed."""

    def insert(bones):
        extra = bones.new("extra")
        extra.head, extra.tail = bones["spine3"].head, bones["spine3"].tail
        extra.parent, bones["spine3"].parent = bones["spine2"], extra

    edit(rig, insert)
    rig.pose.bones["extra"].rotation_quaternion = Euler((0.3, 0.2, 0.1)).to_quaternion()


def rotation_modes(rig):
    modes = ("QUATERNION", "XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX", "AXIS_ANGLE")
    for index, bone in enumerate(rig.pose.bones):
        bone.rotation_mode = modes[index % len(modes)]


RIGS = [
    lambda rig: None,
    moved,
    small_object,
    large_object,
    centimetres,
    tiny,
    y_up,
    facing_x,
    rolled,
    bones_along_y,
    root_posed,
    bone_between,
    rotation_modes,
]


@pytest.fixture(params=RIGS, ids=lambda change: change.__name__.strip("<>"))
def rig(request):
    rig = add_rig()
    request.param(rig)
    return rig


def test_clip_written_is_pose_read(rig):
    local, root = some_motion(FRAMES)
    write_clip(rig, local, root)
    for frame in range(FRAMES):
        bpy.context.scene.frame_set(1 + frame)
        pose, place = read_pose(rig)
        assert degrees_between(pose, local[frame]) < 0.01
        assert np.abs(place - root[frame]).max() < 1e-6


def test_bones_stand_where_forward_kinematics_puts_them(rig):
    """In units of the rig's size; the rest pose, measured here anew, gives the way from canonical to armature space."""
    rest = np.array([np.array(rig.data.bones[name].matrix_local)[:3, 3] for name in SMPL.joints])
    t_pose = SMPL.forward(np.tile(rotations.IDENTITY, (22, 1)), np.array([0, SMPL.rest_height, 0]))
    to_rig = np.linalg.lstsq(np.c_[t_pose, np.ones(22)], rest, rcond=None)[0]
    size = np.cbrt(np.linalg.det(to_rig[:3]))
    local, root = some_motion(FRAMES, seed=1)
    write_clip(rig, local, root)
    for frame in range(FRAMES):
        expected = np.c_[SMPL.forward(local[frame], root[frame]), np.ones(22)] @ to_rig
        assert np.abs(posed_joints(rig, 1 + frame) - expected).max() / size < 3e-6


def test_bones_turn_as_their_joints(rig):
    """Twist included: each bone's turn since rest is that of its joint."""
    rest = {name: np.array(rig.data.bones[name].matrix_local)[:3, :3] for name in SMPL.joints}
    to_rig = _rest_frame(rig)
    local, root = some_motion(FRAMES, seed=2)
    write_clip(rig, local, root)
    for frame in range(FRAMES):
        bones = posed_bones(rig, 1 + frame)
        turned = SMPL.to_global(local[frame])
        for joint, name in enumerate(SMPL.joints):
            turn = bones[name][:3, :3] @ np.linalg.inv(rest[name])
            expected = to_rig @ rotations.to_matrix(turned[joint]) @ to_rig.T
            assert np.abs(turn - expected).max() < 1e-5


def _rest_frame(rig) -> np.ndarray:
    """Columns: where left, up and forward of the rig at rest point."""
    at = {name: np.array(rig.data.bones[name].head_local) for name in SMPL.joints}
    left = rotations.normalise(at["left_hip"] - at["right_hip"])
    up = rotations.normalise(at["spine3"] - at["spine2"])
    return np.stack([left, up, np.cross(left, up)], axis=-1)


def test_rest_is_the_identity(rig):
    for bone in rig.pose.bones:
        bone.matrix_basis.identity()
    pose, place = read_pose(rig)
    assert degrees_between(pose, np.tile(rotations.IDENTITY, (22, 1))) < 0.01
    assert place == pytest.approx([0, SMPL.rest_height, 0], abs=1e-6)


def test_posed_root_bone_is_left_alone():
    rig = add_rig()
    root_posed(rig)
    before = posed_bones(rig)["root"]
    write_clip(rig, *some_motion(FRAMES))
    assert posed_bones(rig, 3)["root"] == pytest.approx(before, abs=1e-6)


def test_clip_goes_where_the_object_is():
    rig = add_rig()
    moved(rig)
    local, root = some_motion(FRAMES)
    write_clip(rig, local, root)
    expected = to_blender(SMPL.forward(local[2], root[2])) @ np.array(PLACE)[:3, :3].T + np.array(PLACE)[:3, 3]
    bpy.context.scene.frame_set(3)
    world = [np.array(rig.matrix_world @ rig.pose.bones[name].head) for name in SMPL.joints]
    assert world == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("style", ["{}", "m_avg_{}", "f_avg_{}", "J_{}"])
def test_names_of_smpl_rigs(style):
    rig = add_rig()
    edit(rig, lambda bones: [setattr(bone, "name", style.format(bone.name.title())) for bone in bones])
    read_pose(rig)


def test_names_of_the_official_fbx():
    rig = add_rig()

    def rename(bones):
        for bone in bones:
            side, _, rest = bone.name.partition("_")
            bone.name = "m_avg_" + (f"{side[0].upper()}_{rest.capitalize()}" if rest else side.capitalize())

    edit(rig, rename)
    assert "m_avg_L_Hip" in rig.data.bones
    read_pose(rig)


def test_missing_bones_are_named():
    rig = add_rig()
    edit(rig, lambda bones: [bones.remove(bones[name]) for name in ("left_wrist", "head")])
    with pytest.raises(MotionGPTError, match=r"no bone for Head, Left Wrist\.") as raised:
        read_pose(rig)
    assert raised.value.remedy


def test_rig_that_lies_flat_is_refused():
    rig = add_rig()
    edit(rig, lambda bones: [setattr(bone, "head", (0, 0, 0)) for bone in bones])
    with pytest.raises(MotionGPTError, match="not a person standing"):
        read_pose(rig)
