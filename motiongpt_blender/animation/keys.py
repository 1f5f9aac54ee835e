"""Fewer keys than frames: which frames of a channel get keys, and the curves between them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..orders import Keys

Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class KeyedValues:
    """Keys at `frames (K,)`, from 0, with `values (K, n)`: straight lines between them, or with `slopes (K, n)` a frame cubics."""

    frames: np.ndarray
    values: np.ndarray
    slopes: np.ndarray | None = None


def every_frame(values: np.ndarray) -> KeyedValues:
    return KeyedValues(np.arange(len(values)), values)


def choose_keys(
    values: np.ndarray, keys: Keys, pinned: Iterable[int], distance: Distance, tolerance: float, jumps: Sequence[int] = ()
) -> KeyedValues:
    """The keys of `values (T, n)`; the first and last frame and the `pinned` ones always have one, and both sides of `jumps`.

    With REDUCED keys the cubics stay within `tolerance` at every frame, as `distance` measures `(T, n)` and `(T, n)`.
    """
    last = len(values) - 1
    if keys.way == "EVERY" or last < 2:
        return every_frame(values)
    slopes = np.concatenate([_slopes(part) for part in np.split(values, jumps)])
    steps = range(0, last, keys.step) if keys.way == "STEP" else ()
    frames = np.array(sorted({0, *pinned, *jumps, *(jump - 1 for jump in jumps), last, *steps}))
    if keys.way == "REDUCED":
        frames = _reduce(values, slopes, frames, distance, tolerance)
    return KeyedValues(frames, values[frames], slopes[frames])


def interpolate(keyed: KeyedValues) -> np.ndarray:
    """The values `(T, n)` of the cubics through keys at every frame from the first to the last."""
    frames, slopes = keyed.frames, keyed.slopes
    assert slopes is not None
    time = np.arange(frames[0], frames[-1] + 1)
    i = np.clip(np.searchsorted(frames, time, side="right") - 1, 0, len(frames) - 2)
    span = (frames[i + 1] - frames[i])[:, None].astype(np.float64)
    t = (time - frames[i])[:, None] / span
    a, b = keyed.values[i], keyed.values[i + 1]
    bend = t * (1 - t) * ((1 - t) * (slopes[i] * span - (b - a)) - t * (slopes[i + 1] * span - (b - a)))
    return a + (b - a) * t + bend


def _slopes(values: np.ndarray) -> np.ndarray:
    return np.gradient(values, axis=0) if len(values) > 1 else np.zeros_like(values)


def _reduce(values: np.ndarray, slopes: np.ndarray, frames: np.ndarray, distance: Distance, tolerance: float) -> np.ndarray:
    """`frames` and those that it takes besides: the worst of every stretch that is not good enough, until all are."""
    while True:
        off = distance(interpolate(KeyedValues(frames, values[frames], slopes[frames])), values)
        off[frames] = 0.0
        worst = [a + int(np.argmax(off[a:b])) for a, b in zip(frames, frames[1:], strict=False)]
        more = [frame for frame in worst if off[frame] > tolerance]
        if not more:
            return frames
        frames = np.array(sorted({*frames.tolist(), *more}))
