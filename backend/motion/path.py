"""The way a clip takes over the floor: bent, stretched, or laid along a given path. The body turns with it."""

from dataclasses import replace

import numpy as np

from . import rotations
from .clip import Clip
from .features import facing
from .smooth import gaussian

_UP = np.array([0.0, 1.0, 0.0])
SWAY_SECONDS = 0.25  # what is faster than that is sway of the body, not its way
_CORNER_SECONDS = 0.12  # corners are rounded by this much
_TURN_SECONDS = 0.2  # and turned into over this time
_STANDING = 0.3  # metres: a clip that travels less in all is taken to stand, and goes at a steady speed
_SIDEWAYS = np.pi / 4  # a clip that faces further than this from where it goes walks sideways or backwards, and goes on so


def steer(clip: Clip, turn: np.ndarray, scale: np.ndarray | float = 1.0) -> Clip:
    """The clip turned about the vertical by `turn (T)` radians, which may change over time, with steps `scale (T - 1)` times as long.

    The path bends with the body; the first frame stays where it is.
    """
    steps = np.diff(clip.root, axis=0) * [1.0, 0.0, 1.0]
    steps = rotations.rotate(rotations.about(_UP, (turn[1:] + turn[:-1]) / 2), steps) * np.reshape(scale, (-1, 1))
    root = clip.root[:1] + np.concatenate([np.zeros((1, 3)), np.cumsum(steps, axis=0)])
    root[:, 1] = clip.root[:, 1]
    local = clip.local.copy()
    local[:, 0] = rotations.multiply(rotations.about(_UP, turn), local[:, 0])
    return replace(clip, local=local, root=root)


def heading(clip: Clip) -> np.ndarray:
    """The angle `(T)` about the vertical, in radians and without jumps, from +Z to where the character faces."""
    return angles(facing(clip.joints, clip.skeleton)[:, [0, 2]])


def angles(directions: np.ndarray) -> np.ndarray:
    """The angle `(T)` about the vertical, in radians and without jumps, from +Z to `directions (T, 2)` x, z on the floor."""
    return np.unwrap(np.arctan2(directions[:, 0], directions[:, 1]))


def follow(clip: Clip, points: np.ndarray, face: bool = True) -> Clip:
    """The clip with its root on the polyline `points (P, 2)` (x, z on the floor), from its start to its end, corners rounded.

    It is as fast as the clip is, all in proportion so that it arrives with the last frame. With `face` the character turns
    with the path; else it keeps facing as the clip does. ValueError if the path has no length.
    """
    points = np.asarray(points, dtype=np.float64)
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=-1))])
    if len(points) < 2 or not along[-1] > 0.0:
        raise ValueError("A path needs two points that are not in the same place.")
    level = clip.root[:, [0, 2]]
    way = gaussian(level, SWAY_SECONDS * clip.fps, keep_ends=True)
    gone = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(way, axis=0), axis=-1))])
    if gone[-1] < _STANDING:
        gone = np.linspace(0.0, 1.0, len(clip))
    at = gone / gone[-1] * along[-1]
    path = np.stack([np.interp(at, along, column) for column in points.T], axis=-1)
    path = gaussian(path, _CORNER_SECONDS * clip.fps, keep_ends=True)

    turn = np.zeros(len(clip))
    if face:
        faced = gaussian(heading(clip)[:, None], SWAY_SECONDS * clip.fps)[:, 0]
        turn = _directions(path, clip.fps) + _aside(way, faced) - faced
    sway = np.zeros((len(clip), 3))
    sway[:, [0, 2]] = level - way
    root = rotations.rotate(rotations.about(_UP, turn), sway)
    root[:, [0, 2]] += path
    root[:, 1] = clip.root[:, 1]
    local = clip.local.copy()
    local[:, 0] = rotations.multiply(rotations.about(_UP, turn), local[:, 0])
    return replace(clip, local=rotations.continuous(local), root=root)


def _directions(path: np.ndarray, fps: float) -> np.ndarray:
    """Where `path (T, 2)` leads at every frame, as an angle `(T)`; where it stands still, where it led before."""
    steps = np.diff(path, axis=0)
    moving = np.linalg.norm(steps, axis=-1) > 1e-6
    found = angles(steps[moving])
    return gaussian(np.interp(np.arange(len(path)), np.flatnonzero(moving) + 0.5, found)[:, None], _TURN_SECONDS * fps)[:, 0]


def _aside(way: np.ndarray, faced: np.ndarray) -> float:
    """The angle from where a clip goes, `way (T, 2)`, to where it faces, `faced (T)`: 0 for all that goes roughly forward."""
    steps = np.diff(way, axis=0)
    ahead = np.arctan2(steps[:, 0], steps[:, 1])
    aside = np.angle(np.sum(np.linalg.norm(steps, axis=-1) * np.exp(1j * (faced[1:] - ahead))))
    return float(aside) if abs(aside) > _SIDEWAYS else 0.0
