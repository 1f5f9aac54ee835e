"""Means and how sure they are."""

from collections.abc import Sequence

import numpy as np

_DRAWS = 2000


def interval(values: Sequence[float] | np.ndarray) -> list[float]:
    """The 95 % interval of the mean of `values (N)`, by drawing them anew (bootstrap); values that belong together are averaged before."""
    values = np.asarray(values, dtype=np.float64)
    rng = np.random.default_rng(0)
    means = values[rng.integers(len(values), size=(_DRAWS, len(values)))].mean(axis=1)
    return [float(x) for x in np.percentile(means, [2.5, 97.5])]


def ratio_interval(a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray) -> list[float]:
    """The 95 % interval of `mean(a) / mean(b)` of pairs `a (N)` and `b (N)`, by drawing the pairs anew."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    drawn = np.random.default_rng(0).integers(len(a), size=(_DRAWS, len(a)))
    return [float(x) for x in np.percentile(a[drawn].mean(axis=1) / b[drawn].mean(axis=1), [2.5, 97.5])]
