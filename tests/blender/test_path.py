"""A curve as the way to walk."""

import bpy
import numpy as np
import pytest
from installed import module
from rigs import add_rig, posed_joints
from scripted import ScriptedConnection

path = module("motiongpt_blender.path")
Clip = module("backend.motion.clip").Clip


@pytest.fixture
def rig() -> bpy.types.Object:
    """A character that does not stand at the origin and looks along +X."""
    rig = add_rig()
    rig.location, rig.rotation_euler = (2, 1, 0), (0, 0, np.pi / 2)
    bpy.context.view_layer.update()
    return rig


def add_curve(points: list[tuple[float, float, float]], kind: str = "POLY", cyclic: bool = False) -> bpy.types.Object:
    data = bpy.data.curves.new("Way", "CURVE")
    data.dimensions = "3D"
    spline = data.splines.new(kind)
    if kind == "BEZIER":
        spline.bezier_points.add(len(points) - 1)
        for point, co in zip(spline.bezier_points, points, strict=True):
            point.co, point.handle_left_type, point.handle_right_type = co, "AUTO", "AUTO"
    else:
        spline.points.add(len(points) - 1)
        for point, co in zip(spline.points, points, strict=True):
            point.co = (*co, 1)
    spline.use_cyclic_u = cyclic
    curve = bpy.data.objects.new("Way", data)
    bpy.context.collection.objects.link(curve)
    bpy.context.view_layer.update()
    return curve


def generate(**options) -> set[str]:
    return bpy.ops.motiongpt.generate(**{"prompt": "a person walks", "seconds": 1.0, "pose_use": "NONE", "wait": True} | options)


def requested() -> np.ndarray:
    return ScriptedConnection.requests[-1].path


def test_a_sequence_follows_the_curve_that_a_script_names(scripted, rig):
    add_curve([(2, 1, 0), (4, 1, 0)])
    parts = [{"name": "a person walks", "seconds": 1.0}, {"name": "a person runs", "seconds": 1.0}]
    bpy.ops.motiongpt.generate_sequence(parts=parts, path="Way", pose_use="NONE", wait=True)
    assert requested() == pytest.approx(np.array([(0, 0), (0, 2)]), abs=1e-5)
    with pytest.raises(RuntimeError, match="There is no curve called Nowhere"):
        bpy.ops.motiongpt.generate_sequence(parts=parts, path="Nowhere", wait=True)


def test_points_are_seen_from_the_character(scripted, rig):
    """It looks along +X, which is its own +Z, and has its left at +Y, which is its own +X."""
    curve = add_curve([(0, 0, 0), (3, 0, 0), (3, 2, 0)])
    curve.location = (2, 1, 5)
    bpy.context.scene.motiongpt.path = curve
    generate()
    assert requested() == pytest.approx(np.array([[0, 0], [0, 3], [2, 3]]), abs=1e-5)
    assert ScriptedConnection.requests[-1].face_path


def test_curve_is_found_by_its_name(scripted, rig):
    add_curve([(2, 1, 0), (5, 1, 0)])
    generate(path="Way", face_path=False)
    assert len(requested()) == 2
    assert not ScriptedConnection.requests[-1].face_path
    with pytest.raises(RuntimeError, match="There is no curve called nothing"):
        generate(path="nothing")


def test_thick_bent_and_closed_curves_are_lines_all_the_same(scripted, rig):
    curve = add_curve([(2, 1, 0), (4, 3, 0), (6, 1, 0)], "BEZIER", cyclic=True)
    curve.data.bevel_depth, curve.data.extrude = 0.2, 0.1
    generate(path="Way")
    points = requested()
    assert len(points) > 20
    assert points[0] == pytest.approx(points[-1])
    assert points[0] == pytest.approx([0, 0], abs=1e-5)
    assert np.linalg.norm(np.diff(points, axis=0), axis=-1).max() < 1
    assert {o.name for o in bpy.data.objects} == {"Way", rig.name, rig.children[0].name}


def test_way_begins_where_the_first_pose_stands_and_ends_where_the_last_does(scripted, rig):
    add_curve([(4, 1, 0), (6, 1, 0)])
    generate(path="Way", pose_use="FIRST")
    assert requested()[:2] == pytest.approx(np.array([posed_xz(rig), [0, 2]]), abs=1e-4)
    generate(path="Way", pose_use="LAST")
    assert requested()[-1] == pytest.approx(posed_xz(rig), abs=1e-4)


def posed_xz(rig: bpy.types.Object) -> np.ndarray:
    return posed_joints(rig)[0, [0, 1]] * [1, -1]


def test_curve_of_no_length_is_refused(scripted, rig):
    add_curve([(2, 1, 0)])
    with pytest.raises(RuntimeError, match="The curve Way has no length"):
        generate(path="Way")


def test_path_that_was_deleted_is_refused(scripted, rig):
    """The panel's field keeps it in the file."""
    curve = add_curve([(0, 0, 0), (3, 0, 0)])
    bpy.context.scene.motiongpt.path = curve
    bpy.context.collection.objects.unlink(curve)
    with pytest.raises(RuntimeError, match="The path Way is no longer in the scene"):
        generate()


def test_distance_from_the_path_is_told(scripted, rig):
    add_curve([(2, 1, 0), (6, 1, 0)])
    generate(path="Way")
    assert "off the path" in scripted.note


def test_distance_is_that_to_the_nearest_point_of_the_line():
    root = np.array([[0, 1, 0], [0.1, 1, 1], [0, 1, 3.0], [1, 1, 4]])
    clip = Clip(np.zeros((4, 22, 4)), root, np.zeros((4, 4), dtype=bool), 24.0, None)
    line = np.array([[0, 0], [0, 4.0]])
    assert path.distance_from(line, clip) == pytest.approx(1.0)
    assert path.distance_from(np.array([[0, 0], [0, 4.0], [2, 4]]), clip) == pytest.approx(0.1)
