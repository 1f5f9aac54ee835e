"""Where a clip is laid that is not bound to a pose."""

import numpy as np

from ...backend.motion import features, rotations
from ...backend.motion.skeleton import SMPL

_UP = np.array([0.0, 1.0, 0.0])
_ON_FLOOR = np.array([1.0, 0.0, 1.0])


def stand_at(local: np.ndarray, root: np.ndarray, pose_local: np.ndarray, pose_root: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turn and move a clip, `local (T, 22, 4)` and `root (T, 3)`, on the floor, so that it starts where a pose stands and faces.

    The pose is `pose_local (22, 4)`, `pose_root (3,)`; heights stay the clip's own.
    """
    turn = rotations.about(_UP, _yaw(pose_local, pose_root) - _yaw(local[0], root[0]))
    placed = rotations.rotate(turn, root - root[0] * _ON_FLOOR) + pose_root * _ON_FLOOR
    turned = np.concatenate([rotations.multiply(turn, local[:, :1]), local[:, 1:]], axis=1)
    return turned, placed


def _yaw(local: np.ndarray, root: np.ndarray) -> np.ndarray:
    facing = features.facing(SMPL.forward(local, root), SMPL)
    return np.arctan2(facing[0], facing[2])
