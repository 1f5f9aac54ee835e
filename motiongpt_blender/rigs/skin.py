"""A mesh that bones move: vertices, faces, and how much of each bone's motion a vertex takes."""

import bpy
import numpy as np

_LEAST_WEIGHT = 1e-4


def build_skin(name: str, vertices: np.ndarray, faces: np.ndarray, weights: np.ndarray, bones: tuple[str, ...]) -> bpy.types.Object:
    """A mesh object of `vertices (V, 3)`, `faces (F, 3)` and a vertex group for each bone with its `weights (V, B)`."""
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(vertices.tolist(), [], faces.tolist())
    mesh.shade_smooth()
    skin = bpy.data.objects.new(name, mesh)
    for bone, of_bone in zip(bones, weights.T, strict=True):
        add = skin.vertex_groups.new(name=bone).add
        for vertex in np.flatnonzero(of_bone > _LEAST_WEIGHT).tolist():
            add([vertex], float(of_bone[vertex]), "REPLACE")
    return skin
