"""Rotations from joint positions, without optimisation: closed form, all frames at once."""

import numpy as np

from . import rotations
from .skeleton import Skeleton

# Joints with several children get the turn that fits them all best; elbows and knees bend in the plane of their limb.
_HINGES = {
    "left_shoulder": ("left_elbow", "left_wrist", np.array([0.0, -1.0, 0.0])),
    "right_shoulder": ("right_elbow", "right_wrist", np.array([0.0, 1.0, 0.0])),
    "left_hip": ("left_knee", "left_ankle", np.array([1.0, 0.0, 0.0])),
    "right_hip": ("right_knee", "right_ankle", np.array([1.0, 0.0, 0.0])),
}
_STRAIGHT = 0.1  # sine of the bend under which the plane of a limb says little


def align(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The rotations `(..., 4)` that bring points `source (..., N, 3)` nearest to `target (..., N, 3)` about the origin (Kabsch)."""
    u, _, vt = np.linalg.svd(np.einsum("...ni,...nj->...ij", target, source))
    flip = np.ones((*u.shape[:-2], 3))
    flip[..., 2] = np.sign(np.linalg.det(u @ vt))
    return rotations.from_matrix((u * flip[..., None, :]) @ vt)


def solve_rotations(joints: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Parent-relative rotations `(T, J, 4)` of positions `(T, J, 3)` on the skeleton's own bones.

    Bones follow the positions' directions exactly; where they leave the twist open it comes from the plane of the limb
    (hips, shoulders) or from the parent (wrists, feet, head).
    """
    offsets = skeleton.offsets
    if offsets is None:
        raise ValueError(f"The skeleton {skeleton.name} has no T-pose, so its positions cannot be turned into rotations.")
    children = [[c for c, p in enumerate(skeleton.parents) if p == j] for j in range(len(skeleton))]
    turned = np.tile(rotations.IDENTITY, (*joints.shape[:2], 1))
    for joint, parent in enumerate(skeleton.parents):
        inherited = turned[:, parent] if parent >= 0 else turned[:, joint]
        kids = children[joint]
        if not kids:
            turned[:, joint] = inherited
            continue
        bones = joints[:, kids] - joints[:, [joint]]
        if len(kids) > 1:
            turned[:, joint] = align(np.broadcast_to(offsets[kids], bones.shape), bones)
            continue
        swing = rotations.between(rotations.rotate(inherited, offsets[kids[0]]), bones[:, 0])
        turned[:, joint] = rotations.multiply(swing, inherited)
        if skeleton.joints[joint] in _HINGES:
            turned[:, joint] = _into_plane(turned[:, joint], joints, skeleton, skeleton.joints[joint])
    return rotations.continuous(skeleton.to_local(turned))


def _into_plane(turned: np.ndarray, joints: np.ndarray, skeleton: Skeleton, name: str) -> np.ndarray:
    """Twist the upper limb `(T, 4)` about its own axis until the hinge's axis is square to the plane of the limb."""
    middle, end, axis = _HINGES[name]
    start, middle, end = (joints[:, skeleton.index(n)] for n in (name, middle, end))
    along = rotations.normalise(middle - start)
    normal = np.cross(along, rotations.normalise(end - middle))
    bend = np.linalg.norm(normal, axis=-1)
    hinge = rotations.rotate(turned, axis)
    hinge = rotations.normalise(hinge - along * np.sum(hinge * along, axis=-1, keepdims=True))
    angle = np.arctan2(np.sum(np.cross(hinge, normal) * along, axis=-1), np.sum(hinge * normal, axis=-1))
    # A nearly straight limb has no plane: its twist fades towards that of the parent, and never jumps.
    angle = np.unwrap(np.where(bend > 1e-6, angle, 0.0)) * np.clip(bend / _STRAIGHT, 0.0, 1.0)
    return rotations.multiply(rotations.about(along, angle), turned)
