"""Rigs and motions to test with, and Blender's own evaluation as the judge."""

from collections.abc import Callable

import bpy
import numpy as np
from installed import module

rotations = module("backend.motion.rotations")
SMPL = module("backend.motion.skeleton").SMPL
Clip = module("backend.motion.clip").Clip
_rig = module("motiongpt_blender.rigs.rig")
_clip = module("motiongpt_blender.animation.clip")


def add_rig() -> bpy.types.Object:
    bpy.ops.motiongpt.add_smpl_rig()
    return bpy.context.object


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
    clip = Clip(local, root, np.zeros((len(root), 4), dtype=bool), 24.0, SMPL)
    return _clip.write_clip(rig, bpy.context.evaluated_depsgraph_get(), clip, start, prompt)


def degrees_between(a: np.ndarray, b: np.ndarray) -> float:
    """The worst angle between rotations `(..., 4)`."""
    return float(np.degrees(rotations.angle_between(a, b)).max())
