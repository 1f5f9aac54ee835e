"""What `smooth.settle` computes, compiled: each step needs the one before, so that there is nothing for numpy to do at once.

This file imports nothing of the package, because it is run from the user's cache.
"""

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def settle(bend: float, weights: np.ndarray, targets: np.ndarray, step_weights: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """The curve `x (T, C)` that `smooth.settle` describes: its equations have a matrix of five diagonals, LDLᵀ in linear time."""
    length, columns = targets.shape
    main, near, far = weights.copy(), np.zeros(length), np.zeros(length)  # diagonals: the main one and the two beside it
    x = np.empty((length, columns))
    for c in range(columns):
        for i in range(length):
            x[i, c] = weights[i] * targets[i, c]
    for i in range(length - 1):
        main[i] += step_weights[i]
        main[i + 1] += step_weights[i]
        near[i] -= step_weights[i]
        for c in range(columns):
            x[i, c] -= step_weights[i] * steps[i, c]
            x[i + 1, c] += step_weights[i] * steps[i, c]
    for i in range(length - 2):
        main[i] += bend
        main[i + 1] += 4.0 * bend
        main[i + 2] += bend
        near[i] -= 2.0 * bend
        near[i + 1] -= 2.0 * bend
        far[i] += bend
    for i in range(length):  # now the diagonals of D and of L
        if i > 0:
            near[i] -= main[i - 1] * near[i - 1] * far[i - 1]
            main[i] -= main[i - 1] * near[i - 1] * near[i - 1]
        if i > 1:
            main[i] -= main[i - 2] * far[i - 2] * far[i - 2]
        near[i] /= main[i]
        far[i] /= main[i]
    for c in range(columns):
        for i in range(1, length):
            x[i, c] -= near[i - 1] * x[i - 1, c]
            if i > 1:
                x[i, c] -= far[i - 2] * x[i - 2, c]
        for i in range(length - 1, -1, -1):
            x[i, c] /= main[i]
            if i + 1 < length:
                x[i, c] -= near[i] * x[i + 1, c]
            if i + 2 < length:
                x[i, c] -= far[i] * x[i + 2, c]
    return x
