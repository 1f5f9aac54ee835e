"""Bodies from model files, through the real backend; Blender's evaluated mesh says whether the skin follows the bones."""

import bpy
import numpy as np
import pytest
from bodies import model_arrays, write_model
from installed import module
from rigs import SMPL, posed_bones, posed_joints, some_motion, to_blender, write_clip

mapping = module("motiongpt_blender.rigs.mapping")

BETAS = (1.0, -0.5)


def add_body(path, **options) -> bpy.types.Object:
    bpy.ops.motiongpt.add_smpl_body(filepath=str(path), wait=True, **options)
    return bpy.context.object


def expected_vertices(joints: int) -> np.ndarray:
    """The model's own vertices of that shape, standing on the floor of Blender's world."""
    arrays = model_arrays(joints)
    shaped = arrays["v_template"] + arrays["shapedirs"][..., :2] @ np.array(BETAS)
    return to_blender(shaped - [0, shaped[:, 1].min(), 0])


def evaluated_vertices(obj: bpy.types.Object) -> np.ndarray:
    mesh = obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    places = np.empty(3 * len(mesh.vertices), dtype=np.float32)
    mesh.vertices.foreach_get("co", places)
    return places.reshape(-1, 3)


@pytest.mark.parametrize(("joints", "kind"), [(24, "SMPL"), (52, "SMPL-H"), (55, "SMPL-X")])
def test_body_stands_in_the_scene_and_clips_drive_it(session, tmp_path, joints, kind):
    path = write_model(tmp_path / "model.npz", joints)
    rig = add_body(path, betas=(*BETAS, *[0.0] * 8))
    body = rig.children[0]
    assert rig.name == f"{kind} Character"
    assert len(rig.data.bones) == joints + 1
    assert evaluated_vertices(body) == pytest.approx(expected_vertices(joints), abs=1e-5)

    found = mapping.find_mapping(rig)
    assert (found.kind, found.confidence, found.bones) == ("SMPL", 1.0, {joint: joint for joint in SMPL.joints})

    rest = {bone.name: np.array(bone.matrix_local) for bone in rig.data.bones}
    write_clip(rig, *some_motion(5))
    bpy.context.scene.frame_set(3)
    posed = posed_bones(rig, 3)
    weights = {group.index: group.name for group in body.vertex_groups}
    skinned = []
    for vertex in list(body.data.vertices)[:200]:
        at = np.append(np.array(vertex.co), 1.0)
        moved = [g.weight * (posed[weights[g.group]] @ np.linalg.inv(rest[weights[g.group]]) @ at) for g in vertex.groups]
        skinned.append(np.sum(moved, axis=0)[:3])
    assert evaluated_vertices(body)[:200] == pytest.approx(np.array(skinned), abs=1e-4)
    assert np.abs(np.array(skinned) - expected_vertices(joints)[:200]).max() > 0.1


def test_joints_are_where_the_model_has_them(session, tmp_path):
    rig = add_body(write_model(tmp_path / "model.npz", 55), betas=(*BETAS, *[0.0] * 8))
    regressor = model_arrays(55)["J_regressor"]
    assert posed_joints(rig) == pytest.approx((regressor @ expected_vertices(55))[:22], abs=5e-5)


def test_body_is_taken_back_in_one_step(session, tmp_path):
    bpy.ops.ed.undo_push(message="before")
    add_body(write_model(tmp_path / "model.npz"))
    assert bpy.data.armatures and bpy.data.meshes
    bpy.ops.ed.undo()
    assert not bpy.data.objects


def test_model_that_is_not_there_is_named_and_nothing_added(session, tmp_path):
    with pytest.raises(RuntimeError, match=r"There is no female model of a body in .*Choose the \.npz"):
        add_body(tmp_path, gender="female")
    assert not bpy.data.objects
    add_body(write_model(tmp_path / "SMPL_FEMALE.npz"), gender="female")


def test_a_body_is_added_in_object_mode_alone(session, tmp_path):
    bpy.ops.motiongpt.add_smpl_rig()
    bpy.ops.object.mode_set(mode="POSE")
    with pytest.raises(RuntimeError, match="Switch to object mode first"):
        add_body(write_model(tmp_path / "model.npz"))
