"""A curve object as the way to walk."""

import bpy
import numpy as np

from ..backend.motion.clip import Clip
from ..backend.protocol.errors import Code, MotionGPTError
from .rigs.rig import read_rig


def find_curve(name: str) -> bpy.types.Object | None:
    """The curve object called `name`, none if that is empty; MotionGPTError if there is no such curve."""
    curve = bpy.data.objects.get(name)
    if name and (curve is None or curve.type != "CURVE"):
        raise MotionGPTError(Code.INVALID_PARAMS, f"There is no curve called {name}.", "Name a curve object of this file.")
    return curve


def floor_path(context: bpy.types.Context, armature: bpy.types.Object, curve: bpy.types.Object) -> np.ndarray:
    """The curve's first spline as points `(P, 2)`, x and z in metres on the floor of the character's canonical frame.

    MotionGPTError if it has fewer than two points, or was deleted: what the panel names is kept in the file.
    """
    if not curve.users_scene:
        raise MotionGPTError(
            Code.INVALID_PARAMS, f"The path {curve.name} is no longer in the scene.", "Clear the field, or choose another curve."
        )
    depsgraph = context.evaluated_depsgraph_get()
    points = _points(curve)
    if len(points) < 2:
        raise MotionGPTError(Code.INVALID_PARAMS, f"The curve {curve.name} has no length.", "Draw a curve with at least two points.")
    to_armature = np.array(armature.evaluated_get(depsgraph).matrix_world.inverted() @ curve.evaluated_get(depsgraph).matrix_world)
    rig = read_rig(armature)
    inside = points @ to_armature[:3, :3].T + to_armature[:3, 3]
    return rig.stance.place(inside)[:, [0, 2]]


def _points(curve: bpy.types.Object) -> np.ndarray:
    """The points `(P, 3)` of the first spline in the curve's own space, whatever thickness the curve has."""
    data = curve.data.copy()
    data.bevel_depth = data.extrude = 0.0
    data.bevel_object = None
    for spline in data.splines[1:]:
        data.splines.remove(spline)
    line = bpy.data.objects.new(curve.name, data)
    try:
        mesh = line.to_mesh()
        points = np.empty(3 * len(mesh.vertices))
        mesh.vertices.foreach_get("co", points)
        line.to_mesh_clear()
    finally:
        bpy.data.objects.remove(line)
        bpy.data.curves.remove(data)
    points = points.reshape(-1, 3)
    closed = len(points) and len(curve.data.splines) and curve.data.splines[0].use_cyclic_u
    return np.concatenate([points, points[:1]]) if closed else points


def distance_from(path: np.ndarray, clip: Clip) -> float:
    """How far in metres the clip's root comes off the path `(P, 2)`, at the most."""
    places = clip.root[:, None, [0, 2]]
    start, step = path[:-1], np.diff(path, axis=0)
    along = np.sum((places - start) * step, axis=-1) / np.maximum(np.sum(step**2, axis=-1), 1e-12)
    nearest = start + step * np.clip(along, 0.0, 1.0)[..., None]
    return float(np.linalg.norm(places - nearest, axis=-1).min(axis=1).max())
