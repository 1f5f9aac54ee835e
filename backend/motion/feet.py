"""Feet that stay where they touch the floor: contacts become still points, legs follow by two-bone inverse kinematics."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from . import rotations
from .clip import Clip
from .skeleton import Skeleton

_STRETCH = 0.999  # share of the leg's length that it may reach
_MIN_CONTACT_SECONDS = 0.1
_HINGE = np.array([1.0, 0.0, 0.0])  # axis of the knee in the frame of the upper leg


def lock_feet(clip: Clip, fixed: Sequence[int] = ()) -> Clip:
    """The clip with feet still during contacts and never below the floor; at the frames `fixed` nothing is changed."""
    contacts = _steady(clip.contacts, round(_MIN_CONTACT_SECONDS * clip.fps))
    joints, skeleton = clip.joints, clip.skeleton
    local = clip.local.copy()
    for side, columns in (("left", (0, 1)), ("right", (2, 3))):
        hip, knee, ankle, toe = (skeleton.index(f"{side}_{part}") for part in ("hip", "knee", "ankle", "foot"))
        points = joints[:, [toe, ankle]]
        offset = _still(points, contacts[:, [columns[1], columns[0]]], np.asarray(fixed, dtype=int))
        offset[:, 1] = _lift(points, skeleton.rest_heights[[toe, ankle]])
        offset[list(fixed)] = 0.0
        local = _reach(local, clip.root, skeleton, (hip, knee, ankle), offset)
    return replace(clip, local=rotations.continuous(local), contacts=contacts)


def slide(clip: Clip) -> float:
    """How far feet move over the floor while in contact, mm per frame on average.

    A foot that rolls turns about one point: of toe and ankle, where both touch, the one that moves less counts.
    """
    points = clip.joints[:, list(clip.skeleton.contact_joints)]
    steps = np.linalg.norm(np.diff(points[..., [0, 2]], axis=0), axis=-1) * 1000.0
    resting = clip.contacts[1:] & clip.contacts[:-1]
    steps = np.where(resting, steps, np.inf).reshape(len(steps), 2, 2).min(axis=-1)
    touching = np.isfinite(steps)
    return float(steps[touching].mean()) if touching.any() else 0.0


def _steady(contacts: np.ndarray, shortest: int) -> np.ndarray:
    """Contacts `(T, 4)` without gaps and without touches that are shorter than `shortest` frames."""
    steady = contacts.copy()
    for value in (False, True):  # first fill the gaps, then drop the touches
        for column in steady.T:
            for begin, end in _runs(column if value else ~column):
                inside = begin > 0 and end < len(column)
                if end - begin < shortest and inside:
                    column[begin:end] = not value
    return steady


def _runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """Begin and end (exclusive) of every stretch of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(int)))
    return [(int(b), int(e)) for b, e in edges.reshape(-1, 2)]


def _still(points: np.ndarray, contacts: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """Offsets `(T, 3)` on the floor that hold a foot still: `points (T, 2, 3)` toe and ankle, `contacts (T, 2)` theirs.

    From frame to frame the offset takes back what the touching joint moved (the toe's word before the ankle's), so a foot may
    roll from heel to toe. Between two contacts it changes smoothly.
    """
    length = len(points)
    offset = np.zeros((length, 3))
    known = np.zeros(length, dtype=bool)
    steps = np.diff(points, axis=0) * [1.0, 0.0, 1.0]
    for begin, end in _runs(contacts[:, 0] | contacts[:, 1]):
        both = contacts[begin : end - 1] & contacts[begin + 1 : end]
        moved = np.where(both[:, :1], steps[begin : end - 1, 0], np.where(both[:, 1:], steps[begin : end - 1, 1], 0.0))
        held = -np.concatenate([np.zeros((1, 3)), np.cumsum(moved, axis=0)])
        pinned = fixed[(fixed >= begin) & (fixed < end)] - begin
        offset[begin:end] = held - (_between(held, pinned) if len(pinned) else held.mean(axis=0))
        known[begin:end] = True
    known[fixed] = True
    return _between(offset, np.flatnonzero(known)) if known.any() else offset


def _between(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """`values (T, 3)` kept at the frames `known`, smoothly interpolated between them, constant outside."""
    time = np.arange(len(values))
    after = np.clip(np.searchsorted(known, time), 0, len(known) - 1)
    before = np.clip(np.searchsorted(known, time, side="right") - 1, 0, len(known) - 1)
    a, b = known[before], known[after]
    share = np.clip((time - a) / np.maximum(b - a, 1), 0.0, 1.0)
    share = (share * share * (3.0 - 2.0 * share))[:, None]
    return values[a] * (1.0 - share) + values[b] * share


def _lift(points: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """How far up `(T,)` a foot must go so that neither toe nor ankle sinks under its height in T-pose."""
    sunk = np.maximum(heights - points[..., 1], 0.0)
    return np.maximum(sunk[:, 0], np.minimum(sunk[:, 1], heights[1]))


def _reach(local: np.ndarray, root: np.ndarray, skeleton: Skeleton, leg: tuple[int, int, int], offset: np.ndarray) -> np.ndarray:
    """Rotations with the ankle moved by `offset (T, 3)`: knee and hip give, the foot keeps its turn in the world."""
    hip, knee, ankle = leg
    joints, turned = skeleton.forward(local, root), skeleton.to_global(local)
    offset = np.where(np.linalg.norm(offset, axis=-1, keepdims=True) > 1e-6, offset, 0.0)
    thigh, shin = joints[:, knee] - joints[:, hip], joints[:, ankle] - joints[:, knee]
    a, b = np.linalg.norm(thigh, axis=-1), np.linalg.norm(shin, axis=-1)
    goal = joints[:, ankle] + offset - joints[:, hip]
    distance = np.clip(np.linalg.norm(goal, axis=-1), np.abs(a - b) + 1e-4, (a + b) * _STRETCH)

    axis = rotations.normalise(np.cross(thigh, shin) / (a * b)[:, None] + 0.05 * rotations.rotate(turned[:, hip], _HINGE))
    bend = _angle(thigh, shin)
    wanted = np.pi - np.arccos(np.clip((a**2 + b**2 - distance**2) / (2 * a * b), -1.0, 1.0))
    fold = rotations.about(axis, wanted - bend)
    swing = rotations.between(thigh + rotations.rotate(fold, shin), goal)
    moved = np.any(offset != 0.0, axis=-1)[:, None]
    upper = np.where(moved, rotations.multiply(swing, turned[:, hip]), turned[:, hip])
    lower = np.where(moved, rotations.multiply(swing, rotations.multiply(fold, turned[:, knee])), turned[:, knee])
    result = turned.copy()
    result[:, hip], result[:, knee] = upper, lower
    return skeleton.to_local(result)


def _angle(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), np.sum(a * b, axis=-1))
