"""The zip as a user meets it: installed, enabled, disabled."""

import bpy
import numpy as np
import pytest
from installed import PACKAGE, preferences
from mathutils import Vector
from rigs import SMPL, add_rig, posed_joints, to_blender

OPERATORS = ("generate", "cancel", "add_smpl_rig", "backend_start", "backend_stop")


def is_there(name: str) -> bool:
    return hasattr(bpy.types, f"MOTIONGPT_OT_{name}")


def test_disabling_takes_everything_back():
    assert all(is_there(name) for name in OPERATORS)
    bpy.ops.preferences.addon_disable(module=PACKAGE)
    try:
        assert not any(is_there(name) for name in OPERATORS)
        assert not hasattr(bpy.types, "MOTIONGPT_PT_main")
        assert not hasattr(bpy.context.scene, "motiongpt")
    finally:
        bpy.ops.preferences.addon_enable(module=PACKAGE)
    assert all(is_there(name) for name in OPERATORS)
    assert preferences().device == "auto"


def test_rig_has_the_bones_of_smpl_and_stands_on_the_floor():
    rig = add_rig()
    assert set(rig.data.bones.keys()) == {"root", *SMPL.joints}
    assert rig.data.bones["pelvis"].parent.name == "root"
    joints = posed_joints(rig)
    assert joints == pytest.approx(to_blender(SMPL.forward(_identity(), np.array([0, SMPL.rest_height, 0]))), abs=1e-6)
    assert joints[:, 2].min() == pytest.approx(0, abs=1e-6)
    body = rig.children[0]
    heights = [corner[2] for corner in body.bound_box]
    assert min(heights) == pytest.approx(0, abs=1e-6)
    assert 1.7 < max(heights) < 1.9


def test_rig_faces_the_front_view():
    rig = add_rig()
    bones = rig.data.bones
    toes = bones["left_foot"].head_local - bones["left_ankle"].head_local
    assert toes.y < 0
    assert bones["left_wrist"].head_local.x > 0 > bones["right_wrist"].head_local.x


def test_bones_lie_along_their_limbs_and_mirror_each_other():
    bones = add_rig().data.bones
    for name in ("left_hip", "left_knee", "left_shoulder", "left_elbow", "spine1", "neck"):
        assert tuple(bones[name].tail_local) == pytest.approx(tuple(bones[name].children[0].head_local), abs=1e-6)
    for name in SMPL.joints:
        if name.startswith("left_"):
            left, right = bones[name], bones[name.replace("left", "right")]
            assert tuple(right.z_axis) == pytest.approx(tuple(left.z_axis * Vector((-1, 1, 1))), abs=1e-5)


def test_body_follows_the_bones():
    rig = add_rig()
    body = rig.children[0]
    hand = body.vertex_groups["left_wrist"].index
    vertices = [v.index for v in body.data.vertices if v.groups[0].group == hand]
    rest = _evaluated(body)[vertices]
    rig.pose.bones["left_shoulder"].rotation_quaternion = (0.9, 0.3, 0.3, 0)
    moved = _evaluated(body)
    assert np.linalg.norm(moved[vertices] - rest, axis=-1).min() > 0.1
    assert all(len(v.groups) == 1 and v.groups[0].weight == 1 for v in body.data.vertices)


def test_rig_is_added_at_the_cursor_and_taken_back_in_one_step():
    bpy.ops.ed.undo_push(message="before")
    bpy.context.scene.cursor.location = (1, 2, 3)
    bpy.ops.motiongpt.add_smpl_rig("EXEC_DEFAULT", True)
    assert bpy.context.object.type == "ARMATURE"
    assert tuple(bpy.context.object.location) == pytest.approx((1, 2, 3))
    bpy.ops.ed.undo()
    assert not bpy.context.scene.objects


def _identity() -> np.ndarray:
    return np.tile([1.0, 0.0, 0.0, 0.0], (len(SMPL), 1))


def _evaluated(body: bpy.types.Object) -> np.ndarray:
    mesh = body.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    return np.array([vertex.co for vertex in mesh.vertices])
