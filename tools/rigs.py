"""One clip on every kind of rig: a table of how far off the rigs' bones are, `report.json`, and a picture of six of them.

Run with an interpreter that has the bpy module. The rigs are those of the tests, and Blender's own evaluation is the judge.
"""

import argparse
import json
import math
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
SHOWN = ("SMPL Character", "Mixamo", "Unreal Engine 5", "Daz Genesis 8", "3ds Max Biped", "Rigify (IK)")
TIMES = (0.1, 0.37, 0.63, 0.9)  # shares of the clip that the picture shows
EVERY = 4  # frames from one that is measured to the next
_THICKNESS = 0.035  # metres
_COLUMN, _ROW = 1.5, 2.15

Part = tuple[np.ndarray, np.ndarray, bool]  # from where to where, and whether it is on the right


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
    print(f"{'':28} {'round trip':>24} {'bent for feet':>16}")
    for name, errors in report.items():
        print(f"{name:28} {errors['direction_deg']:9.4f} ° {errors['position_mm']:9.4f} mm {errors['planted_deg']:12.2f} °")
    return 0


def measure(path: Path, out: Path) -> dict[str, dict[str, float]]:
    """For each rig the worst errors of the clip as it is carried over, and how far legs then bend so that feet stand still.

    Leaves the picture in `out`.
    """
    import bpy
    import rigs

    with np.load(path) as file:
        clip = rigs.Clip(file["rotations"], file["root_translation"], file["contacts"], float(file["fps"]), rigs.SMPL)
    afloat = replace(clip, contacts=np.zeros_like(clip.contacts))
    bpy.data.batch_remove(list(bpy.data.objects))
    report, figures = {}, {}
    for name, build, limbs, up in _rigs(rigs):
        rig = build()
        rig.motiongpt.limbs = limbs
        rigs.key(rig, afloat)
        degrees, millimetres = rigs.round_trip_errors(rig, clip, up=up, every=EVERY)
        rigs.key(rig, clip)
        planted, _ = rigs.round_trip_errors(rig, clip, up=up, every=EVERY)
        errors = {"direction_deg": degrees, "position_mm": millimetres, "planted_deg": planted}
        report[name] = {figure: round(value, 5) for figure, value in errors.items()}
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


def _limbs(rigs: Any, rig: Any, frame: int) -> list[Part]:
    """The body's parts at a frame: in Blender's axes, metres of the clip, pelvis over the origin."""
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
            parts.append((places[parent], place, rigs.SMPL.joints[joint].startswith("right")))
    return parts


def draw(figures: dict[str, list[list[Part]]], path: Path) -> None:
    """A column for each rig, a row for each time."""
    import bpy
    from mathutils import Matrix, Vector

    scene = bpy.data.scenes.new("Rigs")
    dark, light = _material("Right", (0.15, 0.25, 0.45)), _material("Left", (0.75, 0.4, 0.15))
    turn = Matrix.Rotation(math.radians(35), 3, "Z")
    for column, (name, times) in enumerate(figures.items()):
        for row, parts in enumerate(times):
            corner = Vector((column * _COLUMN, 0, -row * _ROW))
            for start, end, is_right in parts:
                a, b = turn @ Vector(start) + corner, turn @ Vector(end) + corner
                _rod(scene, a, b, dark if is_right else light)
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
