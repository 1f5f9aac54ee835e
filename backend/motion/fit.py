"""Poses that a clip must pass through, met exactly: what the model leaves open is spread over the time around them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from . import rotations
from .clip import Clip

REACH_SECONDS = 1.0  # how long before and after a given pose the body is bent towards it


@dataclass(frozen=True)
class Constraint:
    """A pose at a frame: parent-relative `local (J, 4)` and the root's place `root (3,)` in metres."""

    frame: int
    local: np.ndarray
    root: np.ndarray


def fit(clip: Clip, constraints: Sequence[Constraint]) -> Clip:
    """The clip bent so that it passes through every constraint exactly.

    Rotations are offset by what is missing at the constraint, fading out over `REACH_SECONDS` or until the next one. The
    path's offset is carried on from one constraint to the next instead, since a character that is moved stays moved.
    """
    if not constraints:
        return clip
    given = sorted(constraints, key=lambda c: c.frame)
    frames = np.array([c.frame for c in given])
    near = _bumps(len(clip), frames, REACH_SECONDS * clip.fps)
    turn = rotations.to_vector(rotations.multiply(rotations.inverse(clip.local[frames]), np.stack([c.local for c in given])))
    local = rotations.multiply(clip.local, rotations.from_vector(np.einsum("ct,cjk->tjk", near, turn)))
    move = np.stack([c.root for c in given]) - clip.root[frames]
    path = np.einsum("ct,ck->tk", _steps(len(clip), frames), move)
    path[:, 1] = near.T @ move[:, 1]
    return replace(clip, local=rotations.continuous(rotations.normalise(local)), root=clip.root + path)


def errors(clip: Clip, constraints: Sequence[Constraint]) -> tuple[float, float]:
    """The worst distance of any joint (mm) and the worst angle of any local rotation (degrees) at the constraints."""
    if not constraints:
        return 0.0, 0.0
    frames = [c.frame for c in constraints]
    local, root = np.stack([c.local for c in constraints]), np.stack([c.root for c in constraints])
    distance = np.linalg.norm(clip.joints[frames] - clip.skeleton.forward(local, root), axis=-1)
    angle = rotations.angle_between(clip.local[frames], local)
    return float(distance.max() * 1000.0), float(np.degrees(angle.max()))


def _bumps(length: int, frames: np.ndarray, reach: float) -> np.ndarray:
    """Weights `(C, T)`: 1 at a constraint's own frame, 0 at all others' and beyond `reach` frames, smooth between."""
    time = np.arange(length)
    weights = np.empty((len(frames), length))
    for row, frame in zip(weights, frames, strict=True):
        before, after = frames[frames < frame], frames[frames > frame]
        left = min(reach, frame - before.max()) if len(before) else reach
        right = min(reach, after.min() - frame) if len(after) else reach
        distance = np.where(time < frame, (frame - time) / left, (time - frame) / right)
        row[:] = _smooth(1.0 - np.clip(distance, 0.0, 1.0))
    return weights


def _steps(length: int, frames: np.ndarray) -> np.ndarray:
    """Weights `(C, T)` that sum to 1 everywhere: from one constraint to the next a smooth step, constant outside."""
    time = np.arange(length)
    weights = np.zeros((len(frames), length))
    weights[0, time <= frames[0]] = 1.0
    weights[-1, time >= frames[-1]] = 1.0
    for i, (a, b) in enumerate(zip(frames, frames[1:], strict=False)):
        between = (time >= a) & (time <= b)
        share = _smooth((time[between] - a) / (b - a))
        weights[i, between], weights[i + 1, between] = 1.0 - share, share
    return weights


def _smooth(x: np.ndarray) -> np.ndarray:
    """0 to 1 with no speed and no acceleration at either end."""
    return x**3 * (x * (6.0 * x - 15.0) + 10.0)
