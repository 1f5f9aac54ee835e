"""A mesh that bones move: vertices, faces, and how much of each bone's motion a vertex takes."""

import contextlib

import bmesh
import bpy
import numpy as np

from ..steps import Steps

_LEAST_WEIGHT = 1e-4
_AT_ONCE = 400  # vertices or faces


def sew(vertices: np.ndarray, faces: np.ndarray, weights: np.ndarray) -> Steps[bmesh.types.BMesh]:
    """The skin of `vertices (V, 3)` and `faces (F, 3)` with the bones' `weights (V, B)`, in steps and apart from Blender's data."""
    skin = bmesh.new()
    weight_layer = skin.verts.layers.deform.verify()
    sewn = []
    for first in range(0, len(vertices), _AT_ONCE):
        yield
        sewn += [skin.verts.new(place) for place in vertices[first : first + _AT_ONCE].tolist()]
        part = weights[first : first + _AT_ONCE]
        some = np.nonzero(part > _LEAST_WEIGHT)
        for vertex, bone, weight in zip(*map(np.ndarray.tolist, (*some, part[some])), strict=True):
            sewn[first + vertex][weight_layer][bone] = weight
    for first in range(0, len(faces), _AT_ONCE):
        yield
        for corners in faces[first : first + _AT_ONCE].tolist():
            with contextlib.suppress(ValueError):  # the same face once more, or one without an area
                skin.faces.new([sewn[corner] for corner in corners])
    yield
    return skin


def build_skin(name: str, sewn: bmesh.types.BMesh, bones: tuple[str, ...]) -> bpy.types.Object:
    """A mesh object of what was sewn, with a vertex group for each bone."""
    mesh = bpy.data.meshes.new(name)
    sewn.to_mesh(mesh)
    mesh.shade_smooth()
    skin = bpy.data.objects.new(name, mesh)
    for bone in bones:
        skin.vertex_groups.new(name=bone)
    return skin
