"""A clip in the layout of the AMASS archive, which tools around the SMPL body read."""

import io

import numpy as np

from . import rotations

_JOINTS = 52  # of SMPL-H: the 22 of the body, then 15 of each hand
_SHAPES = 16
_UPRIGHT = rotations.about(np.array([1.0, 0.0, 0.0]), np.array(np.pi / 2))  # Y up to Z up
_PELVIS = np.array([-0.0022, -0.2408, 0.0286])  # where SMPL's mean body has its pelvis, from which `trans` counts


def to_amass(local: np.ndarray, root: np.ndarray, fps: float) -> bytes:
    """The bytes of an npz file: `trans (T, 3)`, `poses (T, 156)`, `betas (16,)`, `gender`, `mocap_framerate`.

    `local (T, 22, 4)` are parent-relative rotations, `root (T, 3)` positions of the pelvis in metres. As in AMASS itself Z is
    up in the file and poses are rotation vectors of SMPL-H; the body is the mean one and its hands are flat.
    """
    local = local.copy()
    local[:, 0] = rotations.multiply(_UPRIGHT, local[:, 0])
    poses = np.zeros((len(local), _JOINTS, 3))
    poses[:, : local.shape[1]] = rotations.to_vector(local)
    file = io.BytesIO()
    np.savez_compressed(
        file,
        trans=rotations.rotate(_UPRIGHT, root) - _PELVIS,
        poses=poses.reshape(len(poses), -1),
        betas=np.zeros(_SHAPES),
        gender="neutral",
        mocap_framerate=float(fps),
    )
    return file.getvalue()
