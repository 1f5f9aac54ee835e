"""Curves over time that change as gently as what is asked of them allows."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np


def ease(x: np.ndarray) -> np.ndarray:
    """0 to 1 over `x` from 0 to 1, with no speed and no acceleration at either end."""
    x = np.clip(x, 0.0, 1.0)
    return x**3 * (x * (6.0 * x - 15.0) + 10.0)


def gaussian(values: np.ndarray, sigma: float, keep_ends: bool = False) -> np.ndarray:
    """Gaussian filter over the first axis of `(T, C)`, cut at four sigma.

    Beyond its ends a curve stays as it is there; with `keep_ends` it goes on as its mirror image, so that the ends do not move.
    """
    radius = int(4 * sigma + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    padding = ((radius, radius), (0, 0))
    padded = np.pad(values, padding, mode="reflect", reflect_type="odd") if keep_ends else np.pad(values, padding, mode="edge")
    return np.stack([np.convolve(column, kernel / kernel.sum(), mode="valid") for column in padded.T], axis=-1)


def settle(
    bend: float, weights: np.ndarray, targets: np.ndarray, step_weights: np.ndarray | None = None, steps: np.ndarray | None = None
) -> np.ndarray:
    """The curve `x (T, C)` with the least weighted sum of squares of

    - its distance from `targets (T, C)`, weighted by `weights (T)`,
    - that of its changes from frame to frame from `steps (T - 1, C)`, weighted by `step_weights (T - 1)`,
    - its second differences, weighted by `bend`.

    At least two weights must be above zero.
    """
    if step_weights is None or steps is None:
        step_weights, steps = np.zeros(len(weights) - 1), np.zeros((len(weights) - 1, targets.shape[1]))
    curves = (np.ascontiguousarray(array, dtype=np.float64) for array in (weights, targets, step_weights, steps))
    return _compiled()(float(bend), *curves)


@lru_cache
def _compiled() -> Callable[..., np.ndarray]:
    from ..compiled import load_compiled  # here, because Blender, which has no numba, smooths as well

    return load_compiled(Path(__file__).with_name("settling.py")).settle
