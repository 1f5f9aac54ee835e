"""Rigs and motions to test with, and Blender's own evaluation as the judge."""

import contextlib
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from installed import module
from mathutils import Euler, Vector

rotations = module("backend.motion.rotations")
SMPL = module("backend.motion.skeleton").SMPL
Clip = module("backend.motion.clip").Clip
reach = module("backend.motion.limbs").reach
_rig = module("motiongpt_blender.rigs.rig")
_clip = module("motiongpt_blender.animation.clip")


def add_rig() -> bpy.types.Object:
    bpy.ops.motiongpt.add_smpl_rig()
    return bpy.context.object


RIGS: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("rigs.json").read_text(encoding="utf-8"))
_LIMBS = (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))
_SIZES = {  # the joints whose distance from their parent a size of a rig multiplies
    "leg": ("knee", "ankle"),
    "arm": ("elbow", "wrist"),
    "hips": ("hip",),
    "shoulders": ("collar", "shoulder"),
}


def build_rig(name: str) -> bpy.types.Object:
    """One of the rigs of `rigs.json`.

    There a bone has a name, a parent and a place: a joint, or a share of the way from one joint to another and beyond. In names and
    places % stands for each side. `sizes` are proportions relative to the SMPL skeleton's, `pose` is how joints of the
    left side are turned at rest (degrees about the parent's axes), `units` is units per metre, `tails` where bones point.
    """
    description = RIGS[name]
    bones = list(_both_sides(description))
    places = _places(description)
    data = bpy.data.armatures.new(name)
    rig = bpy.data.objects.new(name, data)
    bpy.context.collection.objects.link(rig)
    heads = {bone: Vector(_place(place, places)) for bone, _, place in bones}

    def build(edit_bones: bpy.types.ArmatureEditBones) -> None:
        size = 0.06 * description.get("units", 1)
        for number, (bone, parent, _) in enumerate(bones):
            new = edit_bones.new(bone)
            new.head, new.parent = heads[bone], edit_bones.get(parent)
            below = next((heads[b] for b, above, _ in bones if above == bone and (heads[b] - heads[bone]).length > size / 10), None)
            if description["tails"] == "y" or not (parent or below):
                below = heads[bone] + Vector((0, size, 0))
            new.tail = below or heads[bone] + (heads[bone] - heads[parent]).normalized() * size
            new.roll = np.radians(number * description.get("rolls", 0))

    edit(rig, build)
    place = description.get("object", {})
    rig.rotation_euler = Euler(np.radians(place.get("turn", (0, 0, 0))))
    rig.scale = [place.get("scale", 1)] * 3
    bpy.context.view_layer.update()
    return rig


def build_rigify(generated: bool, change: Callable[[bpy.types.Object], object] = lambda metarig: None) -> bpy.types.Object:
    """Rigify's human, as its metarig, changed, or as Blender's own generator makes a rig of that."""
    bpy.ops.preferences.addon_enable(module="rigify")
    with contextlib.redirect_stdout(io.StringIO()):
        bpy.ops.object.armature_human_metarig_add()
        change(bpy.context.object)
        if generated:
            bpy.ops.pose.rigify_generate()
    return bpy.context.object


def _both_sides(description: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    for bone, parent, place in description["bones"]:
        if "%" not in bone:
            yield bone, parent, place
            continue
        for own, side in zip(description["sides"], ("left_", "right_"), strict=True):
            yield bone.replace("%", own), parent.replace("%", own), place.replace("%", side)


def _places(description: dict[str, Any]) -> dict[str, np.ndarray]:
    """Where the joints of a rig are at rest, in its armature's space."""
    sizes, offsets = description.get("sizes", {}), SMPL.offsets.copy() * description.get("sizes", {}).get("all", 1.0)
    local = np.zeros((len(SMPL), 3))
    for joint, name in enumerate(SMPL.joints):
        side, _, part = name.partition("_")
        for size, parts in _SIZES.items():
            if part in parts:
                offsets[joint] *= sizes.get(size, 1.0)
        if part in description.get("pose", {}):
            local[joint] = np.radians(description["pose"][part]) * ([1, 1, 1] if side == "left" else [1, -1, -1])
    joints = SMPL.forward(rotations.from_vector(local), np.zeros(3), offsets)
    joints[:, 1] -= 0.0 if description.get("origin") == "pelvis" else joints[:, 1].min()
    in_armature = (joints if description.get("up") == "Y" else to_blender(joints)) * description.get("units", 1)
    return dict(zip(SMPL.joints, in_armature, strict=True)) | {"floor": np.zeros(3)}


def _place(place: str, places: dict[str, np.ndarray]) -> np.ndarray:
    joints, _, share = place.partition(":")
    start, _, end = joints.partition(">")
    return places[start] + (places[end] - places[start]) * float(share) if end else places[start]


def round_trip_errors(rig: bpy.types.Object, clip: Any, up: str = "Z", every: int = 1) -> tuple[float, float]:
    """How far off a clip is on a rig: the worst direction of a bone in degrees, the worst place of a joint in millimetres.

    The rig has the clip from frame 1 on and is looked at `every` so many frames. The judge is Blender's evaluation: the places of
    heads, and how far bones have turned since rest. Limbs are compared as they are; other bones by where the direction that they
    have at rest is turned, feet having been set straight. Places are those of the limbs' joints from the limb's first, on bones
    of the rig's own lengths.
    """
    known = _rig.read_rig(rig)
    bones = {SMPL.joints[joint]: bone for joint, bone in zip(known.joints, known.bones, strict=True)}
    canonical = np.eye(3) if up == "Y" else np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]])
    rest = {joint: np.array(rig.data.bones[bone].matrix_local) for joint, bone in bones.items()}
    wanted, turned = clip.joints, SMPL.to_global(clip.local)
    degrees, millimetres = 0.0, 0.0
    for frame in range(0, len(clip), every):
        posed = posed_bones(rig, 1 + frame)
        heads = {joint: canonical @ posed[bone][:3, 3] for joint, bone in bones.items()}
        for joint, bone in bones.items():
            side, _, part = joint.partition("_")
            child = next((f"{side}_{b}" for a, b in _LIMBS if a == part), None)
            index = SMPL.index(joint)
            if child:
                expected = wanted[frame, SMPL.index(child)] - wanted[frame, index]
                degrees = max(degrees, _angle(heads[child] - heads[joint], expected))
            elif part not in ("wrist", "foot"):
                at_rest = forward = np.array([0.0, 0.0, 1.0]) if part == "ankle" else np.array([0.0, 1.0, 0.0])
                if part == "ankle" and f"{side}_foot" in bones:
                    at_rest = canonical @ (rest[f"{side}_foot"] - rest[joint])[:3, 3] * [1, 0, 1]
                turn = canonical @ _turn(posed[bone]) @ _turn(rest[joint]).T @ canonical.T
                degrees = max(degrees, _angle(turn @ at_rest, rotations.rotate(turned[frame, index], forward)))
        for side in ("left", "right"):
            for limb in (("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist")):
                expected = heads[f"{side}_{limb[0]}"]
                for a, b in zip(limb, limb[1:], strict=False):
                    a, b = f"{side}_{a}", f"{side}_{b}"
                    length = np.linalg.norm((rest[b] - rest[a])[:3, 3])
                    expected = expected + length * rotations.normalise(wanted[frame, SMPL.index(b)] - wanted[frame, SMPL.index(a)])
                    millimetres = max(millimetres, 1000 * float(np.linalg.norm(heads[b] - expected)) / known.scale)
    return degrees, millimetres


def _turn(matrix: np.ndarray) -> np.ndarray:
    axes = matrix[:3, :3]
    return axes / np.linalg.norm(axes, axis=0)


def _angle(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b)), a @ b)))


def edit(rig: bpy.types.Object, change: Callable[[bpy.types.ArmatureEditBones], object]) -> None:
    """Change the rig's bones in edit mode."""
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    change(rig.data.edit_bones)
    bpy.ops.object.mode_set(mode="OBJECT")


def some_motion(frames: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Smooth canonical rotations `(T, 22, 4)` that turn every joint about every axis, and a root `(T, 3)` that travels."""
    rng = np.random.default_rng(seed)
    phase = np.linspace(0, 2 * np.pi, frames)[:, None, None]
    swing = np.sin(phase + rng.uniform(0, 6, (1, 22, 3))) * rng.uniform(0.2, 0.7, (1, 22, 3))
    height = 0.9 + 0.05 * np.sin(phase[:, 0, 0])
    return rotations.from_vector(swing), np.stack([np.linspace(0, 0.8, frames), height, np.linspace(0, 1.5, frames)], axis=-1)


def swaying_on_the_spot(frames: int) -> Any:
    """A clip whose hips sway, turn and sink over feet that stand still on the floor."""
    phase = np.linspace(0, 2 * np.pi, frames)
    local = np.tile(rotations.IDENTITY, (frames, len(SMPL), 1))
    local[:, 0] = rotations.from_vector(np.stack([0.1 * np.sin(phase), 0.3 * np.sin(phase), 0.1 * np.cos(phase)], axis=-1))
    root = np.stack([0.06 * np.sin(phase), SMPL.rest_height - 0.12 + 0.08 * np.cos(phase), 0.03 * np.cos(phase)], axis=-1)
    standing = SMPL.forward(np.tile(rotations.IDENTITY, (len(SMPL), 1)), np.array([0.0, SMPL.rest_height, 0.0]))
    turned, joints = SMPL.to_global(local), SMPL.forward(local, root)
    for side in ("left", "right"):
        hip, knee, ankle, foot = (SMPL.index(f"{side}_{part}") for part in ("hip", "knee", "ankle", "foot"))
        forward = rotations.rotate(turned[:, hip], np.array([0.0, 0.0, 1.0]))
        thigh, shin = joints[:, knee] - joints[:, hip], joints[:, ankle] - joints[:, knee]
        upper, lower = reach(thigh, shin, standing[ankle] - joints[:, hip], forward)
        turned[:, hip], turned[:, knee] = rotations.multiply(upper, turned[:, hip]), rotations.multiply(lower, turned[:, knee])
        turned[:, [ankle, foot]] = rotations.IDENTITY
    return Clip(SMPL.to_local(turned), root, np.ones((frames, 4), dtype=bool), 24.0, SMPL)


def to_blender(points: np.ndarray) -> np.ndarray:
    return np.stack([points[..., 0], -points[..., 2], points[..., 1]], axis=-1)


def posed_bones(rig: bpy.types.Object, frame: int | None = None) -> dict[str, np.ndarray]:
    """Matrices `(4, 4)` of the posed bones in armature space as Blender evaluates them."""
    if frame is not None:
        bpy.context.scene.frame_set(frame)
    evaluated = rig.evaluated_get(bpy.context.evaluated_depsgraph_get())
    return {bone.name: np.array(bone.matrix) for bone in evaluated.pose.bones}


def posed_joints(rig: bpy.types.Object, frame: int | None = None) -> np.ndarray:
    """Positions `(22, 3)` in armature space of the joints as Blender evaluates them."""
    bones = posed_bones(rig, frame)
    return np.array([bones[name][:3, 3] for name in _rig.read_rig(rig).bones])


def read_pose(rig: bpy.types.Object) -> tuple[np.ndarray, np.ndarray]:
    return _rig.read_pose(_rig.read_rig(rig), rig, bpy.context.evaluated_depsgraph_get())


def write_clip(rig: bpy.types.Object, local: np.ndarray, root: np.ndarray, start: int = 1, prompt: str = "a test") -> bpy.types.Action:
    """Key canonical `local (T, 22, 4)` and `root (T, 3)`, with no foot on the floor."""
    return key(rig, Clip(local, root, np.zeros((len(root), 4), dtype=bool), 24.0, SMPL), start, prompt)


def key(rig: bpy.types.Object, clip: Any, start: int = 1, prompt: str = "a test", fixed: tuple[int, ...] = ()) -> bpy.types.Action:
    return _clip.write_clip(rig, bpy.context.evaluated_depsgraph_get(), clip, start, prompt, fixed)


def degrees_between(a: np.ndarray, b: np.ndarray) -> float:
    """The worst angle between rotations `(..., 4)`."""
    return float(np.degrees(rotations.angle_between(a, b)).max())
