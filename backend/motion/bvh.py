"""A clip as BVH, the text format that animation programs share."""

import numpy as np

from . import rotations
from .skeleton import SMPL, Skeleton

_CENTIMETRES = 100.0
_GIMBAL_LOCK = 1e-6  # cosine of the middle angle below which the outer two turn about one axis


def to_bvh(local: np.ndarray, root: np.ndarray, fps: float, skeleton: Skeleton = SMPL) -> str:
    """The text of a BVH file: rest pose is the skeleton's T-pose, lengths are centimetres, Y is up, Euler angles Z X Y in degrees.

    `local (T, J, 4)` are parent-relative rotations, `root (T, 3)` positions of the root in metres. ValueError if the
    skeleton has no T-pose.
    """
    if skeleton.offsets is None:
        raise ValueError(f"The skeleton {skeleton.name} has no T-pose, which BVH needs.")
    hierarchy: list[str] = ["HIERARCHY"]
    order: list[int] = []
    _add_joint(skeleton, 0, 0, hierarchy, order)
    angles = np.degrees(to_zxy(local))[:, order].reshape(len(root), -1)
    rows = np.concatenate([np.asarray(root) * _CENTIMETRES, angles], axis=1)
    motion = ["MOTION", f"Frames: {len(rows)}", f"Frame Time: {1.0 / fps:.8f}", *(_numbers(row) for row in rows)]
    return "\n".join([*hierarchy, *motion, ""])


def to_zxy(q: np.ndarray) -> np.ndarray:
    """Angles `(T, ..., 3)` in radians of `Rz Rx Ry` for rotations `(T, ..., 4)`, without jumps over time.

    Each rotation has two triples of angles, each of which may also be turned by full circles; the nearest to the frame
    before is taken, so that a curve through the angles shows the motion and nothing else.
    """
    matrices = rotations.to_matrix(q)
    angles = np.zeros((*matrices.shape[:-2], 3))
    before = angles[0]
    for t, m in enumerate(matrices):
        x = np.arcsin(np.clip(m[..., 2, 1], -1.0, 1.0))
        z, y = np.arctan2(-m[..., 0, 1], m[..., 1, 1]), np.arctan2(-m[..., 2, 0], m[..., 2, 2])
        locked = np.cos(x) < _GIMBAL_LOCK
        y = np.where(locked, before[..., 2], y)
        z = np.where(locked, np.arctan2(m[..., 1, 0], m[..., 0, 0]) - np.sign(x) * y, z)
        triples = np.stack([np.stack([z, x, y], axis=-1), np.stack([z + np.pi, np.pi - x, y + np.pi], axis=-1)])
        triples += 2.0 * np.pi * np.round((before - triples) / (2.0 * np.pi))
        nearest = np.argmin(np.sum((triples - before) ** 2, axis=-1), axis=0)
        angles[t] = before = np.take_along_axis(triples, nearest[None, ..., None], axis=0)[0]
    return angles


def _add_joint(skeleton: Skeleton, joint: int, depth: int, lines: list[str], order: list[int]) -> None:
    """Append the joint and all below it to `lines`, and their indices, in the order of the file, to `order`."""
    assert skeleton.offsets is not None
    order.append(joint)
    indent, children = "\t" * depth, [child for child, parent in enumerate(skeleton.parents) if parent == joint]
    place = "" if depth else "Xposition Yposition Zposition "
    lines += [
        f"{indent}{'JOINT' if depth else 'ROOT'} {skeleton.joints[joint]}",
        f"{indent}{{",
        f"{indent}\tOFFSET {_numbers(skeleton.offsets[joint] * _CENTIMETRES)}",
        f"{indent}\tCHANNELS {3 if depth else 6} {place}Zrotation Xrotation Yrotation",
    ]
    for child in children:
        _add_joint(skeleton, child, depth + 1, lines, order)
    if not children:  # a joint without a child shows no bone, so the last bone is drawn half as long again
        tip = _numbers(skeleton.offsets[joint] * _CENTIMETRES / 2)
        lines += [f"{indent}\tEnd Site", f"{indent}\t{{", f"{indent}\t\tOFFSET {tip}", f"{indent}\t}}"]
    lines.append(f"{indent}}}")


def _numbers(values: np.ndarray) -> str:
    return " ".join(f"{value:.6f}" for value in values)
