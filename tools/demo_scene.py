"""What the demo looks like: the pose, the stage, and its pictures by Cycles on the CPU, with settings that are quick."""

import math
from collections.abc import Iterable
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix, Quaternion, Vector

_POSE = {  # degrees about the armature's axes, from the T-pose: a slight crouch, arms down, left foot ahead
    "left_hip": ("X", -26),
    "left_knee": ("X", 26),
    "right_knee": ("X", 24.9),
    "right_ankle": ("X", -24.9),
    "spine1": ("X", 7),
    "neck": ("X", -5),
    "left_shoulder": ("Y", 74),
    "right_shoulder": ("Y", -70),
    "left_elbow": ("Z", -28),
    "right_elbow": ("Z", 34),
}
_CROUCH = 0.04  # metres that this lowers the pelvis
_STRIP_PIXELS = 1600
_STRIP_SPACING = 1.15  # metres, so that arms held out do not touch
_STRIP_TURN = math.radians(28)
_VIEW = Vector((1.0, -0.75, 0.3))  # from the character to the film's camera
_WIDTH_AT_ONE_METRE = 0.72  # what Blender's camera of 50 mm sees
_LEAST_DISTANCE = 5.6  # shows a person with an arm raised
_FILM_STEP = 2  # every second frame is rendered


def strike_pose(rig: bpy.types.Object) -> None:
    """Pose the character as an animator would before generating."""
    for name, (axis, degrees) in _POSE.items():
        rest = rig.data.bones[name].matrix_local.to_quaternion()
        turn = Quaternion(Vector([axis == a for a in "XYZ"]), math.radians(degrees))
        rig.pose.bones[name].rotation_quaternion = rest.inverted() @ turn @ rest
    pelvis = rig.pose.bones["pelvis"]
    pelvis.location = pelvis.bone.matrix_local.to_quaternion().inverted() @ Vector((0, 0, -_CROUCH))


def build_stage(rig: bpy.types.Object) -> None:
    """Floor, light, and a camera that sees the whole way from the side."""
    scene = bpy.context.scene
    path = _pelvis_path(rig)
    centre = (path.min(axis=0) + path.max(axis=0)) / 2
    direction = np.array(_VIEW.normalized())
    across = np.ptp(path @ np.cross(direction, (0, 0, 1))) + 1.8  # metres, arms included
    distance = max(across / _WIDTH_AT_ONE_METRE, _LEAST_DISTANCE) + np.ptp(path @ direction) / 2
    _light(scene)
    _floor(scene, checked=True)
    _camera(scene, Vector((centre[0], centre[1], 0.85)), _VIEW.normalized() * distance)
    _set_quick_cycles(scene, 384, 216, samples=4)


def render_strip(rig: bpy.types.Object, path: Path, every: float) -> None:
    """One wide picture: the character every `every` seconds, side by side, with the time at its feet."""
    scene = bpy.context.scene
    fps = scene.render.fps / scene.render.fps_base
    frames = [*np.arange(scene.frame_start, scene.frame_end, every * fps), scene.frame_end]
    strip = bpy.data.scenes.new("Strip")
    strip.world = scene.world
    for column, frame in enumerate(frames):
        scene.frame_set(round(frame))
        for part in _snapshot(rig):
            strip.collection.objects.link(part)
            part.matrix_world = (
                Matrix.Translation((column * _STRIP_SPACING, 0, 0)) @ Matrix.Rotation(_STRIP_TURN, 4, "Z") @ part.matrix_world
            )
        _label(strip, f"{(frame - scene.frame_start) / fps:.1f} s", column * _STRIP_SPACING)
    _light(strip)
    _floor(strip, checked=False)
    width = len(frames) * _STRIP_SPACING
    camera = _camera(strip, Vector(((len(frames) - 1) * _STRIP_SPACING / 2, 0, 0.97)), Vector((0, -12, 2.2)))
    camera.data.type, camera.data.ortho_scale = "ORTHO", width
    _set_quick_cycles(strip, _STRIP_PIXELS, round(_STRIP_PIXELS * 2.5 / width), samples=8)
    strip.cycles.use_denoising = True
    strip.render.filepath = str(path)
    bpy.ops.render.render(write_still=True, scene=strip.name)
    scene.frame_set(scene.frame_start)


def render_film(path: Path) -> None:
    """The scene's animation as an MP4 at half its frame rate."""
    scene = bpy.context.scene
    scene.frame_step = _FILM_STEP
    scene.render.fps_base *= _FILM_STEP
    image = scene.render.image_settings
    image.media_type, image.file_format = "VIDEO", "FFMPEG"
    scene.render.ffmpeg.format, scene.render.ffmpeg.codec = "MPEG4", "H264"
    scene.render.ffmpeg.constant_rate_factor = "HIGH"
    scene.render.filepath = str(path)
    scene.render.use_file_extension = False
    bpy.ops.render.render(animation=True)


def _pelvis_path(rig: bpy.types.Object) -> np.ndarray:
    """Places `(T, 3)` of the pelvis in the world over the scene's frames."""
    scene = bpy.context.scene
    path = []
    for frame in range(scene.frame_start, scene.frame_end + 1):
        scene.frame_set(frame)
        path.append(rig.matrix_world @ rig.pose.bones["pelvis"].head)
    scene.frame_set(scene.frame_start)
    return np.array(path)


def _snapshot(rig: bpy.types.Object) -> Iterable[bpy.types.Object]:
    """The character's meshes as they stand now, with the pelvis above the origin."""
    depsgraph = bpy.context.evaluated_depsgraph_get()
    pelvis = rig.matrix_world @ rig.evaluated_get(depsgraph).pose.bones["pelvis"].head
    for child in rig.children:
        mesh = bpy.data.meshes.new_from_object(child.evaluated_get(depsgraph), depsgraph=depsgraph)
        part = bpy.data.objects.new(f"{child.name} {bpy.context.scene.frame_current}", mesh)
        part.matrix_world = Matrix.Translation((-pelvis.x, -pelvis.y, 0)) @ child.matrix_world
        yield part


def _light(scene: bpy.types.Scene) -> None:
    if scene.world is None:
        scene.world = bpy.data.worlds.new("Studio")
        background = scene.world.node_tree.nodes["Background"]
        background.inputs["Color"].default_value = (0.75, 0.82, 0.9, 1)
        background.inputs["Strength"].default_value = 0.7
    sun = bpy.data.objects.new("Sun", bpy.data.lights.new("Sun", "SUN"))
    sun.data.energy, sun.data.angle = 3.0, math.radians(6)
    sun.rotation_euler = (math.radians(40), math.radians(20), math.radians(25))
    scene.collection.objects.link(sun)


def _floor(scene: bpy.types.Scene, checked: bool) -> None:
    """A plane; with squares of half a metre, so that travel and sliding feet can be seen."""
    mesh = bpy.data.meshes.new("Floor")
    mesh.from_pydata([(-40, -40, 0), (40, -40, 0), (40, 40, 0), (-40, 40, 0)], [], [(0, 1, 2, 3)])
    material = _material("Floor", (0.55, 0.57, 0.60))
    mesh.materials.append(material)
    scene.collection.objects.link(bpy.data.objects.new("Floor", mesh))
    if not checked:
        return
    nodes, links = material.node_tree.nodes, material.node_tree.links
    checker, place = nodes.new("ShaderNodeTexChecker"), nodes.new("ShaderNodeTexCoord")
    checker.inputs["Scale"].default_value = 2.0
    checker.inputs["Color1"].default_value = (0.48, 0.50, 0.53, 1)
    checker.inputs["Color2"].default_value = (0.62, 0.64, 0.67, 1)
    links.new(place.outputs["Object"], checker.inputs["Vector"])
    links.new(checker.outputs["Color"], nodes["Principled BSDF"].inputs["Base Color"])


def _material(name: str, colour: tuple[float, float, float]) -> bpy.types.Material:
    material = bpy.data.materials.new(name)
    material.diffuse_color = (*colour, 1)
    material.node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = (*colour, 1)
    return material


def _label(scene: bpy.types.Scene, text: str, x: float) -> None:
    curve = bpy.data.curves.new(text, "FONT")
    curve.body, curve.size, curve.align_x = text, 0.13, "CENTER"
    label = bpy.data.objects.new(text, curve)
    curve.materials.append(_material("Label", (0.05, 0.05, 0.06)))
    label.location, label.rotation_euler = (x, -0.9, 0.01), (math.radians(80), 0, 0)
    scene.collection.objects.link(label)


def _camera(scene: bpy.types.Scene, target: Vector, offset: Vector) -> bpy.types.Object:
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    camera.location = target + offset
    camera.rotation_euler = (-offset).to_track_quat("-Z", "Y").to_euler()
    scene.collection.objects.link(camera)
    scene.camera = camera
    return camera


def _set_quick_cycles(scene: bpy.types.Scene, width: int, height: int, samples: int) -> None:
    scene.render.engine = "CYCLES"
    scene.cycles.device = "CPU"
    scene.cycles.samples = samples
    scene.cycles.use_adaptive_sampling = False
    scene.cycles.use_denoising = False  # takes longer than these few samples
    scene.cycles.max_bounces = 1
    scene.render.use_persistent_data = True
    scene.render.resolution_x, scene.render.resolution_y = width - width % 2, height - height % 2
    scene.render.resolution_percentage = 100
