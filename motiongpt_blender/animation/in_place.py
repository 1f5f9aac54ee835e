"""Clips that do not travel."""

from dataclasses import replace

import numpy as np

from ...backend.motion.clip import Clip

_SMOOTHING_SECONDS = 0.4  # slower than a step, so that the sway of one stays


def in_place(clip: Clip, anchor: int, loop: bool) -> Clip:
    """The clip without its travel over the floor; what sways and bobs still does, about where it is at frame `anchor`.

    The travel of a closed `loop` is a straight line, so that its ends still meet.
    """
    path = clip.root[:, [0, 2]]
    travel = np.linspace(path[0], path[-1], len(path)) if loop else _smooth(path, _SMOOTHING_SECONDS * clip.fps)
    root = clip.root.copy()
    root[:, [0, 2]] -= travel - travel[anchor]
    return replace(clip, root=root)


def _smooth(path: np.ndarray, sigma: float) -> np.ndarray:
    """A path `(T, 2)` through a Gaussian of `sigma` frames, beyond its ends carried on in its own direction."""
    reach = int(np.ceil(3 * sigma))
    padded = np.pad(path, ((reach, reach), (0, 0)), mode="reflect", reflect_type="odd")
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return np.stack([np.convolve(column, weights / weights.sum(), mode="valid") for column in padded.T], axis=-1)
