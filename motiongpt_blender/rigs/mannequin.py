"""A mannequin of rounded parts, each fixed to one bone. The parts are data: `mannequin.json`."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import bpy
import numpy as np

from ...backend.motion import rotations

_PARTS = Path(__file__).with_name("mannequin.json")
_SEGMENTS = 20  # around a part
_STEPS = 4  # from ring to ring
_CAP = np.radians([18, 36, 54, 70, 82])  # latitudes of the rings of a round end


def build_mannequin(name: str, joints: dict[str, np.ndarray], to_blender: Callable[[np.ndarray], np.ndarray]) -> bpy.types.Object:
    """A mesh object with a vertex group for each bone; `joints` are the places `(3,)` of the bones in the canonical frame."""
    description = json.loads(_PARTS.read_text(encoding="utf-8"))
    colours = list(description["colours"])
    points, corners, sizes, face_colours = [], [], [], []
    groups: dict[str, list[int]] = {}
    first = 0
    for part in _both_sides(description["parts"]):
        surface = _loft(np.array(part["rings"], dtype=np.float64)) + joints[part["bone"]]
        if part.get("sole"):
            surface[..., 1] = np.maximum(surface[..., 1], 0.0)
        part_corners, part_sizes = _faces(len(surface))
        points.append(surface.reshape(-1, 3))
        corners.append(first + part_corners)
        sizes.append(part_sizes)
        face_colours.append(np.full(len(part_sizes), colours.index(part["colour"])))
        groups.setdefault(part["bone"], []).extend(range(first, first + len(points[-1])))
        first += len(points[-1])

    mesh = _mesh(name, to_blender(np.concatenate(points)), np.concatenate(corners), np.concatenate(sizes))
    for colour in description["colours"].items():
        mesh.materials.append(_material(*colour))
    mesh.attributes.new("material_index", "INT", "FACE").data.foreach_set("value", np.concatenate(face_colours).astype(np.int32))
    body = bpy.data.objects.new(name, mesh)
    for bone, indices in groups.items():
        body.vertex_groups.new(name=bone).add(indices, 1.0, "REPLACE")
    return body


def _mesh(name: str, points: np.ndarray, corners: np.ndarray, sizes: np.ndarray) -> bpy.types.Mesh:
    """A smooth mesh of `points (V, 3)` whose faces have `sizes (F,)` corners each, all told in `corners`.

    Through the attributes, which take arrays whole: elsewhere Blender converts the values one by one.
    """
    mesh = bpy.data.meshes.new(name)
    mesh.vertices.add(len(points))
    mesh.loops.add(len(corners))
    mesh.polygons.add(len(sizes))
    mesh.attributes["position"].data.foreach_set("vector", points.astype(np.float32).ravel())
    mesh.attributes[".corner_vert"].data.foreach_set("value", corners.astype(np.int32))
    mesh.polygons.foreach_set("loop_start", (np.cumsum(sizes) - sizes).astype(np.int32))
    mesh.update(calc_edges=True)
    mesh.shade_smooth()
    return mesh


def _both_sides(parts: list[dict]) -> Iterator[dict]:
    """The parts as described, and those of the left side once more as their mirror images."""
    for part in parts:
        yield part
        if part["bone"].startswith("left_"):
            mirrored = {key: part[key].replace("left", "right").replace("Left", "Right") for key in ("bone", "colour")}
            yield part | mirrored | {"rings": [[-x, *rest] for x, *rest in part["rings"]]}


def _material(name: str, colour: list[float]) -> bpy.types.Material:
    name = f"Mannequin {name}"
    if name in bpy.data.materials:
        return bpy.data.materials[name]
    material = bpy.data.materials.new(name)
    material.diffuse_color = (*colour, 1.0)  # the viewport's
    shader = next(node for node in material.node_tree.nodes if node.type == "BSDF_PRINCIPLED")
    shader.inputs["Base Color"].default_value = (*colour, 1.0)
    shader.inputs["Roughness"].default_value = 0.5
    return material


def _loft(rings: np.ndarray) -> np.ndarray:
    """The points `(n, segments, 3)` of a smooth surface with round ends through elliptic `rings (k, 5)`.

    A ring is its centre and two radii across the part's direction: along X and Z for an upright part, along Y and Z for a
    sideways one, along X and Y for one that points forward. One ring alone is a ball.
    """
    along = rotations.normalise(rings[-1, :3] - rings[0, :3]) if len(rings) > 1 else np.array([0.0, 1.0, 0.0])
    sideways = np.argmax(np.abs(along)) == 0
    first = np.array([0.0, 1.0, 0.0]) if sideways else np.array([1.0, 0.0, 0.0])
    first = rotations.normalise(first - along * (first @ along))
    second = np.cross(along, first)
    profile = np.concatenate([_cap(rings[0], -along)[::-1], _smooth(rings), _cap(rings[-1], along)])
    angle = np.linspace(0, 2 * np.pi, _SEGMENTS, endpoint=False)[:, None]
    centres, radii = profile[:, None, :3], profile[:, None, 3:]
    return centres + radii[..., :1] * np.cos(angle) * first + radii[..., 1:] * np.sin(angle) * second


def _cap(ring: np.ndarray, outwards: np.ndarray) -> np.ndarray:
    """Rings `(n, 5)` of half an ellipsoid on `ring (5,)`, as deep as the ring's smaller radius."""
    centres = ring[:3] + np.sin(_CAP)[:, None] * outwards * ring[3:].min()
    return np.concatenate([centres, np.cos(_CAP)[:, None] * ring[3:]], axis=-1)


def _smooth(rings: np.ndarray) -> np.ndarray:
    """Rings `(n, 5)` on the Catmull-Rom curve through `rings (k, 5)`."""
    if len(rings) == 1:
        return rings
    padded = np.concatenate([2 * rings[:1] - rings[1:2], rings, 2 * rings[-1:] - rings[-2:-1]])
    before, start, end, after = (padded[i : i + len(rings) - 1, None] for i in range(4))
    t = np.linspace(0, 1, _STEPS, endpoint=False)[:, None]
    curve = start + 0.5 * t * (end - before + t * (2 * before - 5 * start + 4 * end - after + t * (3 * (start - end) + after - before)))
    return np.concatenate([curve.reshape(-1, 5), rings[-1:]])


def _faces(rings: int) -> tuple[np.ndarray, np.ndarray]:
    """Corners of the faces of a surface of `rings` rings, its two ends closed by one face each, and how many each face has."""
    around = np.arange(_SEGMENTS)
    low = (np.arange(rings - 1)[:, None] * _SEGMENTS + around).ravel()
    low_next = (np.arange(rings - 1)[:, None] * _SEGMENTS + (around + 1) % _SEGMENTS).ravel()
    quads = np.stack([low, low_next, low_next + _SEGMENTS, low + _SEGMENTS], axis=-1)
    ends = [around[::-1], around + (rings - 1) * _SEGMENTS]
    return np.concatenate([quads.ravel(), *ends]), np.repeat([4, _SEGMENTS], [len(quads), len(ends)])
