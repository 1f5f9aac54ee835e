"""One clip on every kind of rig: a table of how far off the rigs' bones are, `report.json`, and a picture of six of them.

Run with an interpreter that has the bpy module. The rigs are those of the tests, and Blender's own evaluation is the judge.
"""

import argparse
import json
import math
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
SHOWN = ("SMPL Character", "Mixamo", "Unreal Engine 5", "Daz Genesis 8", "3ds Max Biped", "Rigify (IK)")
TIMES = (0.1, 0.37, 0.63, 0.9)  # shares of the clip that the picture shows
_THICKNESS = 0.035  # metres
_COLUMN, _ROW = 1.5, 2.15


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--zip", type=Path, required=True, help="the built extension")
    parser.add_argument("--clip", type=Path, required=True, help="an npz that `motiongpt generate` wrote")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "rigs", help="output folder")
    arguments = parser.parse_args()
    out = arguments.out.absolute()
    resources = out / "blender"
    shutil.rmtree(resources, ignore_errors=True)
    resources.mkdir(parents=True)
    os.environ["BLENDER_USER_RESOURCES"] = str(resources)  # before bpy is imported
    os.environ["MOTIONGPT_ZIP"] = str(arguments.zip.absolute())
    sys.path.insert(0, str(ROOT / "tests" / "blender"))
    report = measure(arguments.clip, out)
    (out / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    for name, errors in report.items():
        print(f"{name:28} {errors['direction_deg']:9.4f} deg {errors['position_mm']:9.4f} mm")
    return 0


def measure(path: Path, out: Path) -> dict[str, dict[str, float]]:
    """The worst errors for each rig; leaves the picture in `out`."""
    import bpy
    import rigs

    with np.load(path) as file:
        clip = rigs.Clip(file["rotations"], file["root_translation"], file["contacts"], float(file["fps"]), rigs.SMPL)
    bpy.data.batch_remove(list(bpy.data.objects))
    report, figures = {}, {}
    for name, build, limbs, up in _rigs(rigs):
        rig = build()
        rig.motiongpt.limbs = limbs
        rigs.key(rig, clip)
        degrees, millimetres = rigs.round_trip_errors(rig, clip, up=up)
        report[name] = {"direction_deg": round(degrees, 5), "position_mm": round(millimetres, 5)}
        if name in SHOWN:
            figures[name] = [_limbs(rigs, rig, 1 + round(share * (len(clip) - 1))) for share in TIMES]
        bpy.data.batch_remove([obj for obj in bpy.data.objects if obj.type in ("ARMATURE", "MESH")])
    draw({name: figures[name] for name in SHOWN}, out / "rigs.png")
    return report


def _rigs(rigs: Any) -> list[tuple[str, Any, str, str]]:
    """Name, builder, kind of limbs and upward axis of every rig."""
    made = [(d["title"], lambda name=name: rigs.build_rig(name), "FK", d.get("up", "Z")) for name, d in rigs.RIGS.items()]
    return [
        ("SMPL Character", rigs.add_rig, "FK", "Z"),
        ("Rigify (metarig)", lambda: rigs.build_rigify(generated=False), "FK", "Z"),
        ("Rigify (FK)", lambda: rigs.build_rigify(generated=True), "FK", "Z"),
        ("Rigify (IK)", lambda: rigs.build_rigify(generated=True), "IK", "Z"),
        *made,
    ]


def _limbs(rigs: Any, rig: Any, frame: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """From where to where the body's parts go at a frame: in Blender's axes, rig-sized metres, pelvis over the origin."""
    known = rigs.module("motiongpt_blender.rigs.rig").read_rig(rig)
    bones = rigs.posed_bones(rig, frame)
    heads = {joint: known.stance.place(bones[bone][:3, 3]) for joint, bone in zip(known.joints, known.bones, strict=True)}
    over = heads[0] * [1, 0, 1]
    places = {joint: rigs.to_blender(head - over) for joint, head in heads.items()}
    parts = []
    for joint, place in places.items():
        parent = rigs.SMPL.parents[joint]
        while parent >= 0 and parent not in places:
            parent = rigs.SMPL.parents[parent]
        if parent >= 0:
            parts.append((places[parent], place))
    return parts


def draw(figures: dict[str, list[list[tuple[np.ndarray, np.ndarray]]]], path: Path) -> None:
    """A column for each rig, a row for each time."""
    import bpy
    from mathutils import Matrix, Vector

    scene = bpy.data.scenes.new("Rigs")
    dark, light = _material("Right", (0.15, 0.25, 0.45)), _material("Left", (0.75, 0.4, 0.15))
    turn = Matrix.Rotation(math.radians(35), 3, "Z")
    for column, (name, times) in enumerate(figures.items()):
        for row, parts in enumerate(times):
            corner = Vector((column * _COLUMN, 0, -row * _ROW))
            for start, end in parts:
                a, b = turn @ Vector(start) + corner, turn @ Vector(end) + corner
                _rod(scene, a, b, dark if start[0] + end[0] < 0 else light)
        label = bpy.data.objects.new(name, bpy.data.curves.new(name, "FONT"))
        label.data.body, label.data.size, label.data.align_x = name, 0.15, "CENTER"
        label.data.materials.append(dark)
        label.location, label.rotation_euler = (column * _COLUMN, 0, 1.9), (math.radians(90), 0, 0)
        scene.collection.objects.link(label)
    _stage(scene, len(figures), len(TIMES))
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True, scene=scene.name)


def _rod(scene: Any, start: Any, end: Any, material: Any) -> None:
    """A rod with eight sides."""
    import bpy

    along = (end - start).normalized()
    across = along.orthogonal().normalized()
    ring = [across * math.cos(i * math.pi / 4) + along.cross(across) * math.sin(i * math.pi / 4) for i in range(8)]
    points = [place + side * _THICKNESS * width for place, width in ((start, 1.0), (end, 0.7)) for side in ring]
    mesh = bpy.data.meshes.new("Part")
    mesh.from_pydata(
        points, [], [[i, (i + 1) % 8, 8 + (i + 1) % 8, 8 + i] for i in range(8)] + [list(range(7, -1, -1)), list(range(8, 16))]
    )
    mesh.materials.append(material)
    scene.collection.objects.link(bpy.data.objects.new("Part", mesh))


def _material(name: str, colour: tuple[float, float, float]) -> Any:
    import bpy

    material = bpy.data.materials.new(name)
    material.node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = (*colour, 1)
    return material


def _stage(scene: Any, columns: int, rows: int) -> None:
    """Light and an orthographic camera from the front."""
    import bpy

    scene.world = bpy.data.worlds.new("White")
    scene.world.node_tree.nodes["Background"].inputs["Color"].default_value = (1, 1, 1, 1)
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    camera.data.type, camera.data.ortho_scale = "ORTHO", max(columns * _COLUMN, rows * _ROW + 0.3)
    camera.location = ((columns - 1) * _COLUMN / 2, -10, 0.95 - (rows - 1) * _ROW / 2 + 0.1)
    camera.rotation_euler = (math.radians(90), 0, 0)
    scene.collection.objects.link(camera)
    scene.camera = camera
    scene.render.engine, scene.cycles.device, scene.cycles.samples = "CYCLES", "CPU", 4
    scene.cycles.use_denoising = False
    scene.cycles.max_bounces = 1
    scene.view_settings.view_transform = "Standard"
    width, height = columns * _COLUMN, rows * _ROW + 0.3
    scene.render.resolution_x, scene.render.resolution_y = 1200, 2 * round(600 * height / width)


if __name__ == "__main__":
    raise SystemExit(main())
