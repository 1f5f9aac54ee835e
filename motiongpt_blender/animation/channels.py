"""Bone rotations in the form that each bone keeps them in."""

import numpy as np
from mathutils import Quaternion

from ...backend.motion import rotations


def rotation_channel(mode: str, q: np.ndarray) -> tuple[str, np.ndarray]:
    """The property and its values `(T, 3 or 4)` for rotations `q (T, 4)` of a bone with rotation mode `mode`, free of jumps."""
    q = rotations.continuous(q)
    if mode == "QUATERNION":
        return "rotation_quaternion", q
    if mode == "AXIS_ANGLE":
        return "rotation_axis_angle", _to_axis_angle(q)
    return "rotation_euler", _to_euler(mode, q)


def _to_axis_angle(q: np.ndarray) -> np.ndarray:
    """Angle and axis `(T, 4)`; where there is no rotation the axis stays that of the frame before."""
    axes, angles = np.empty((len(q), 3)), np.empty(len(q))
    axis = np.array([0.0, 1.0, 0.0])
    for frame, (w, vector) in enumerate(zip(q[:, 0], q[:, 1:], strict=True)):
        sine = np.linalg.norm(vector)
        if sine > 1e-6:
            axis = vector / sine * (1.0 if np.dot(vector, axis) >= 0 else -1.0)
        axes[frame], angles[frame] = axis, 2.0 * np.arctan2(np.dot(vector, axis), w)
    return np.concatenate([np.unwrap(angles)[:, None], axes], axis=-1)


def _to_euler(order: str, q: np.ndarray) -> np.ndarray:
    """Angles `(T, 3)`, each frame's of the equal ones those nearest to the frame before."""
    angles = [Quaternion(q[0]).to_euler(order)]
    for rotation in q[1:]:
        angles.append(Quaternion(rotation).to_euler(order, angles[-1]))
    return np.array(angles)
