"""Curves over time that change as gently as what is asked of them allows."""

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
    length = len(weights)
    right = weights[:, None] * targets
    diagonals = np.zeros((3, length))  # of a symmetric matrix: the main one and the two beside it
    diagonals[0] = weights
    if step_weights is not None and steps is not None:
        diagonals[0, 1:] += step_weights
        diagonals[0, :-1] += step_weights
        diagonals[1, :-1] -= step_weights
        pull = step_weights[:, None] * steps
        right[1:] += pull
        right[:-1] -= pull
    if length > 2:
        diagonals[0, :-2] += bend
        diagonals[0, 1:-1] += 4.0 * bend
        diagonals[0, 2:] += bend
        diagonals[1, :-2] -= 2.0 * bend
        diagonals[1, 1:-1] -= 2.0 * bend
        diagonals[2, :-2] += bend
    return _solve_banded(diagonals, right)


def _solve_banded(diagonals: np.ndarray, right: np.ndarray) -> np.ndarray:
    """`x (T, C)` with `A x = right`, `A` symmetric and positive: its main diagonal and the two beside it `(3, T)`. LDLᵀ in linear time."""
    rows, one, two, pivot, two_before, pivot_before = [], 0.0, 0.0, 0.0, 0.0, 0.0
    for main, near, far in zip(*diagonals.tolist(), strict=True):  # D, and the two diagonals of L
        pivot, pivot_before, last = main - pivot * one * one - pivot_before * two_before * two_before, pivot, pivot * one * two
        two_before = two
        one, two = (near - last) / pivot, far / pivot
        rows.append((pivot, one, two))
    solved = []
    for column in right.T.tolist():
        forward, last, before, one_last, two_last, two_before = [], 0.0, 0.0, 0.0, 0.0, 0.0
        for value, (_, one, two) in zip(column, rows, strict=True):
            last, before = value - one_last * last - two_before * before, last
            one_last, two_last, two_before = one, two, two_last
            forward.append(last)
        backward, after, second = [], 0.0, 0.0
        for value, (pivot, one, two) in zip(reversed(forward), reversed(rows), strict=True):
            after, second = value / pivot - one * after - two * second, after
            backward.append(after)
        solved.append(backward[::-1])
    return np.array(solved).T
