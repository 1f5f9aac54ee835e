"""Files that were exported, read back: BVH by Blender's own importer, AMASS by the rules of the format."""

import bpy
import numpy as np
import pytest
from installed import module
from mathutils import Matrix
from rigs import SMPL, add_rig, posed_joints, rotations, some_motion, to_blender, write_clip

FRAMES = 12


@pytest.fixture
def rig() -> bpy.types.Object:
    """A character that moves for some frames, from frame 5 on."""
    rig = add_rig()
    write_clip(rig, *some_motion(FRAMES), start=5)
    return rig


def joints_in_blender(rig: bpy.types.Object) -> np.ndarray:
    """Places `(T, 22, 3)` in armature space."""
    return np.array([posed_joints(rig, frame) for frame in range(5, 5 + FRAMES)])


def read_amass(path) -> np.ndarray:
    """The joints `(T, 22, 3)` of SMPL's body, Z up, but with the bones of our skeleton."""
    with np.load(path, allow_pickle=False) as file:
        turns, trans = rotations.from_vector(file["poses"].reshape(len(file["poses"]), 52, 3)), file["trans"]
        assert float(file["mocap_framerate"]) == 24.0
    return SMPL.forward(turns[:, :22], trans + np.array([-0.0022, -0.2408, 0.0286]))


def test_blenders_own_importer_sees_the_motion_in_the_bvh(rig, tmp_path):
    expected = joints_in_blender(rig)
    bpy.context.scene.frame_set(9)
    bpy.ops.motiongpt.export_bvh(filepath=str(tmp_path / "clip.bvh"))
    assert bpy.context.scene.frame_current == 9
    bpy.ops.import_anim.bvh(filepath=str(tmp_path / "clip.bvh"), global_scale=0.01, axis_forward="-Z", axis_up="Y", frame_start=1)
    imported = bpy.context.object
    assert imported is not rig
    assert tuple(imported.animation_data.action.frame_range) == (1, FRAMES)
    for index in range(FRAMES):
        bpy.context.scene.frame_set(index + 1)
        bones = imported.evaluated_get(bpy.context.evaluated_depsgraph_get()).pose.bones
        found = [imported.matrix_world @ bones[name].head for name in SMPL.joints]
        assert np.array(found) == pytest.approx(expected[index], abs=1e-4)


def test_amass_poses_the_body_as_the_character_stood(rig, tmp_path):
    expected = joints_in_blender(rig)
    bpy.ops.motiongpt.export_amass(filepath=str(tmp_path / "clip"))
    assert read_amass(tmp_path / "clip.npz") == pytest.approx(expected, abs=1e-4)


def test_frames_of_the_scene_follow_nla_strips(rig, tmp_path):
    expected = joints_in_blender(rig)
    action, data = rig.animation_data.action, rig.animation_data
    data.action = None
    data.nla_tracks.new().strips.new("strip", 101, action)
    with pytest.raises(RuntimeError, match="plays no action"):
        bpy.ops.motiongpt.export_amass(filepath=str(tmp_path / "clip.npz"))
    bpy.context.scene.frame_start, bpy.context.scene.frame_end = 101, 100 + FRAMES
    bpy.ops.motiongpt.export_amass(filepath=str(tmp_path / "clip.npz"), source="SCENE")
    assert read_amass(tmp_path / "clip.npz") == pytest.approx(expected, abs=1e-4)


def test_a_character_that_is_carried_travels_in_the_file(rig, tmp_path):
    """The object itself moves and turns: what counts is the way it goes from where it is at first."""
    expected = joints_in_blender(rig)
    first = Matrix.Translation((3, -2, 1)) @ Matrix.Rotation(0.7, 4, "Z") @ Matrix.Scale(2.0, 4)
    carry = [Matrix.Translation((0.1 * t, 0.2 * t, 0)) @ Matrix.Rotation(0.05 * t, 4, "Z") for t in range(FRAMES)]
    rig.rotation_mode = "QUATERNION"
    for t, move in enumerate(carry):
        rig.location, rig.rotation_quaternion, rig.scale = (first @ move).decompose()
        for path in ("location", "rotation_quaternion", "scale"):
            rig.keyframe_insert(path, frame=5 + t)
    bpy.ops.motiongpt.export_amass(filepath=str(tmp_path / "clip.npz"))
    carried = [[move @ Matrix.Translation(point) for point in points] for move, points in zip(carry, expected, strict=True)]
    assert read_amass(tmp_path / "clip.npz") == pytest.approx(np.array([[m.translation for m in row] for row in carried]), abs=1e-4)


def test_pose_without_keys_stays_as_it_is(rig, tmp_path):
    """Of a bone that has keys, too, and of what moves the character."""
    other = add_rig()
    other.keyframe_insert("location", frame=1)
    posed = rig.pose.bones["left_knee"], other
    for thing in posed:
        thing.rotation_mode, thing.rotation_quaternion = "QUATERNION", (0.8, 0.6, 0, 0)
    other.location.x = 3
    bpy.context.view_layer.objects.active = rig
    bpy.ops.motiongpt.export_amass(filepath=str(tmp_path / "clip.npz"))
    for thing in posed:
        assert tuple(thing.rotation_quaternion) == pytest.approx((0.8, 0.6, 0, 0))
    assert other.location.x == 3
    assert len(bpy.data.scenes) == 1


def test_what_moves_the_character_is_in_the_file(rig, tmp_path):
    """A parent that moves, and a constraint with a target that moves."""
    expected = joints_in_blender(rig)
    parent, target = (bpy.data.objects.new(name, None) for name in ("Parent", "Target"))
    for thing in (parent, target):
        bpy.context.collection.objects.link(thing)
    for frame in (5, 4 + FRAMES):
        parent.location.x = target.location.y = 0.1 * (frame - 5)
        parent.keyframe_insert("location", frame=frame)
        target.keyframe_insert("location", frame=frame)
    for thing in (parent, target):
        for curve in thing.animation_data.action.layers[0].strips[0].channelbags[0].fcurves:
            curve.keyframe_points[0].interpolation = "LINEAR"
    rig.parent = parent
    follow = rig.constraints.new("COPY_LOCATION")
    follow.target, follow.use_offset, follow.use_x, follow.use_z = target, True, False, False
    bpy.ops.motiongpt.export_amass(filepath=str(tmp_path / "clip.npz"))
    way = 0.1 * np.arange(FRAMES)[:, None, None] * [1, 1, 0]
    assert read_amass(tmp_path / "clip.npz") == pytest.approx(expected + way, abs=1e-4)


def test_last_clip_is_exported_as_it_was_made(tmp_path, monkeypatch):
    messages, jobs = module("backend.protocol.messages"), module("motiongpt_blender.jobs")
    local, root = some_motion(FRAMES)
    joints = SMPL.forward(local, root)
    clip = messages.MadeClip(local, root, joints, np.zeros((FRAMES, 4), bool), 0.0, 0.0, 0.0, 0.0)
    monkeypatch.setattr(jobs.session, "reply", messages.GenerateReply((clip,), 24.0, 0, 0.0, 0.0))
    bpy.ops.motiongpt.export_amass(filepath=str(tmp_path / "clip.npz"), source="LAST")
    assert read_amass(tmp_path / "clip.npz") == pytest.approx(to_blender(joints), abs=1e-6)


def test_what_cannot_be_exported_is_said(rig, tmp_path, monkeypatch):
    with pytest.raises(RuntimeError, match=r"nowhere.*cannot be written"):
        bpy.ops.motiongpt.export_bvh(filepath=str(tmp_path / "nowhere" / "clip.bvh"))
    monkeypatch.setattr(module("motiongpt_blender.jobs").session, "reply", None)
    with pytest.raises(RuntimeError, match="No clip has been made"):
        bpy.ops.motiongpt.export_bvh(filepath=str(tmp_path / "clip.bvh"), source="LAST")
    bpy.data.objects.remove(rig)
    with pytest.raises(RuntimeError, match="No character is selected"):
        bpy.ops.motiongpt.export_bvh(filepath=str(tmp_path / "clip.bvh"))
    assert not list(tmp_path.iterdir())


def test_blenders_fbx_carries_the_action(rig, tmp_path):
    """There is no exporter of ours for FBX: what the documentation sends the animator to must work."""
    expected = joints_in_blender(rig)
    bpy.ops.object.select_all(action="DESELECT")
    rig.select_set(True)
    bpy.context.scene.frame_start, bpy.context.scene.frame_end = 5, 4 + FRAMES
    path = str(tmp_path / "clip.fbx")
    bpy.ops.export_scene.fbx(filepath=path, use_selection=True, bake_anim_use_all_actions=False, bake_anim_use_nla_strips=False)
    bpy.ops.import_scene.fbx(filepath=path, anim_offset=0.0)
    imported = bpy.context.object
    assert imported is not rig
    for index, frame in enumerate(range(5, 5 + FRAMES)):
        bpy.context.scene.frame_set(frame)
        bones = imported.evaluated_get(bpy.context.evaluated_depsgraph_get()).pose.bones
        found = [imported.matrix_world @ bones[name].head for name in SMPL.joints]
        assert np.array(found) == pytest.approx(expected[index], abs=2e-3)
