"""Feet of a body with other proportions than the clip's: where they touch the floor they stay as still, and as low, as the clip's do.

Numpy alone. Directions of bones are carried over as they are, so the body's feet end elsewhere than the clip's. What both feet
miss the whole body is moved by; the legs bend for the rest, which in most clips is next to nothing.
"""

from collections.abc import Sequence

import numpy as np

from ...backend.motion.clip import Clip
from ...backend.motion.feet import runs
from ..steps import Steps

SECONDS = 0.2  # within which a foot's word begins and ceases to count
_UP = np.array([0.0, 1.0, 0.0])


def plant(clip: Clip, strayed: np.ndarray, heights: np.ndarray, fixed: Sequence[int]) -> Steps[tuple[np.ndarray, np.ndarray]]:
    """How far to move the body `(T, 3)`, and after that each foot by itself `(T, 2, 3)`, left before right; in steps.

    `strayed (T, 2, 2, 3)` is how far the body's own feet, ankle before toe, are from the clip's, with the clip's directions;
    `heights (2, 2)` how much higher than the clip's they are when standing. At the frames `fixed` nothing is moved.
    """
    contacts = clip.contacts.reshape(-1, 2, 2)
    given = np.asarray(fixed, dtype=int)
    corrections = []
    for side in range(2):
        yield
        corrections.append(_corrections(strayed[:, side], contacts[:, side], heights[side], given))
    yield
    wanted = np.stack(corrections, axis=1)
    touching = contacts.any(axis=-1).astype(float)
    reach = max(1, round(SECONDS * clip.fps))
    weights = _smooth(touching, reach) + 1e-3
    body = np.sum(weights[..., None] * wanted, axis=1) / np.sum(weights, axis=1)[:, None]
    return body, (wanted - body[:, None]) * _fading(touching, reach)[..., None]


def _corrections(strayed: np.ndarray, contacts: np.ndarray, heights: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """Offsets `(T, 3)` of one foot: `strayed (T, 2, 3)` how far ankle and toe are from the clip's, `contacts (T, 2)` theirs.

    During a contact the foot moves over the floor as the clip's does, the toe's word before the ankle's, and is as high.
    """
    result = np.zeros((len(strayed), 3))
    known = np.zeros(len(strayed), dtype=bool)
    strayed = strayed - heights[:, None] * _UP
    for begin, end in runs(contacts[:, 0] | contacts[:, 1]):
        points, touch = strayed[begin:end], contacts[begin:end]
        toe = (touch[1:] & touch[:-1])[:, 1:]
        steps = np.where(toe, np.diff(points[:, 1], axis=0), np.diff(points[:, 0], axis=0))
        held = -np.concatenate([np.zeros((1, 3)), np.cumsum(steps, axis=0)])
        held -= held.mean(axis=0)
        held[:, 1] = -np.where(touch[:, 1], points[:, 1, 1], points[:, 0, 1])
        pinned = fixed[(fixed >= begin) & (fixed < end)] - begin
        result[begin:end] = held - (_between(held, pinned) if len(pinned) else 0.0)
        known[begin:end] = True
    known[fixed] = True
    return _between(result, np.flatnonzero(known)) if known.any() else result


def _smooth(values: np.ndarray, reach: int) -> np.ndarray:
    """Running means of `values (T, n)` over `reach` frames to either side."""
    padded = np.pad(values, ((reach + 1, reach), (0, 0)), mode="edge")
    total = np.cumsum(padded, axis=0)
    return (total[2 * reach + 1 :] - total[: -2 * reach - 1]) / (2 * reach + 1)


def _fading(touching: np.ndarray, reach: int) -> np.ndarray:
    """1 where `touching (T, n)` is, from there smoothly to 0 within `reach` frames."""
    time = np.arange(len(touching))
    result = np.zeros_like(touching)
    for column, marks in zip(result.T, touching.T, strict=True):
        if marks.any():
            marked = np.flatnonzero(marks)
            after = np.searchsorted(marked, time)
            sides = marked[[np.maximum(after - 1, 0), np.minimum(after, len(marked) - 1)]]
            share = np.clip(1.0 - np.abs(sides - time).min(axis=0) / (reach + 1), 0.0, 1.0)
            column[:] = share * share * (3.0 - 2.0 * share)
    return result


def _between(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """`values (T, 3)` kept at the frames `known`, smoothly interpolated between them, constant outside."""
    time = np.arange(len(values))
    after = np.clip(np.searchsorted(known, time), 0, len(known) - 1)
    before = np.clip(np.searchsorted(known, time, side="right") - 1, 0, len(known) - 1)
    a, b = known[before], known[after]
    share = np.clip((time - a) / np.maximum(b - a, 1), 0.0, 1.0)
    share = (share * share * (3.0 - 2.0 * share))[:, None]
    return values[a] * (1.0 - share) + values[b] * share
