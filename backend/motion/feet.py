"""Feet that stay where they touch the floor: contacts become still points, legs follow by two-bone inverse kinematics."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from . import rotations
from .clip import Clip
from .fit import fades
from .limbs import LIMBS
from .skeleton import Skeleton
from .smooth import settle

_MIN_CONTACT_SECONDS = 0.1
_FASTEST_CONTACT = 0.9  # metres a second: a foot that is faster does not rest, whatever its label says
_ON_FLOOR = 0.1  # metres: a contact higher than that is on something else (a step, a chair) and keeps its height
_STEP = 0.02  # metres between the places of a foot in two given poses from which on it takes a step
_STEP_SECONDS, _STEP_HEIGHT = 0.4, 0.06
GIVE = 0.003  # metres that a swinging foot may sink before it is lifted, so that lifting starts gently
_HEEL = 0.5  # share of its height over a flat foot by which an ankle may come down on a foot that is not flat
_STRETCH = 0.99  # share of the leg's length up to which it is stretched freely; a clip's own straight legs stay
_SINKING = 5.0  # metres a second²: how fast the root may go down for a leg's sake
_DEEPEST = 0.15  # metres: and how far
_SHORT = 0.02  # metres by which a leg misses a contact before it takes a step instead
_TRIES = 4  # rounds in which contacts that are too long get steps, and as many in which they are shortened
_ROOT_SECONDS, _FOOT_SECONDS = 0.3, 0.15  # time over which root and feet give way
_LEVEL_SECONDS = 0.4  # and over which the floor of a given pose that sinks or floats goes over into the real one
_HARD = 1e4  # weight of what must hold, against the gentleness of the way there
_HINGE = np.array([1.0, 0.0, 0.0])  # axis of the knee in the frame of the upper leg


@dataclass(frozen=True)
class _Leg:
    """Joint indices of a leg, and its two columns of the contacts: ankle, toe."""

    hip: int
    knee: int
    ankle: int
    toe: int
    columns: tuple[int, int]


def lock_feet(clip: Clip, fixed: Sequence[int] = ()) -> Clip:
    """The clip with feet still during contacts and never below the floor; at the frames `fixed` nothing is changed.

    The root goes up or down with the floor that the contacts are on, and down where a leg would not reach. Of all ways in
    which the feet can be still the one with the least added acceleration is taken. A foot that stands in different places at
    two of the frames `fixed` takes a step between them, and so does one that its leg cannot keep where it touches the floor.
    """
    legs, turned = _legs(clip.skeleton), clip.skeleton.to_global(clip.local)
    joints = clip.skeleton.positions(turned, clip.root)
    clip = replace(clip, contacts=_plausible(clip, joints))
    pinned = np.zeros(len(clip), dtype=bool)
    pinned[list(fixed)] = True
    raised = _onto_floor(clip, joints, legs, pinned)
    clip, joints = replace(clip, root=clip.root + raised), joints + raised[:, None]
    clip, clearances = _stepping(clip, joints, legs, np.flatnonzero(pinned))
    deepest = _deepest(clip, pinned)
    goals, drops, missing = _goals(clip, joints, legs, pinned, clearances, deepest)
    for stepping in (True,) * _TRIES + (False,) * _TRIES:
        if not np.any(missing > _SHORT):
            break
        if not (stepping and _step_where_short(clip, legs, clearances, missing, pinned)):
            for leg, short in zip(legs, missing, strict=True):
                clip.contacts[np.ix_(short > _SHORT, leg.columns)] = False  # what no leg keeps is no contact
        goals, drops, missing = _goals(clip, joints, legs, pinned, clearances, deepest)
    lowered = _lowered(clip, np.minimum(np.max(drops, axis=0), deepest), pinned)
    joints = joints + (lowered.root - clip.root)[:, None]
    return replace(lowered, local=rotations.continuous(clip.skeleton.to_local(_reach(turned, joints, legs, goals, pinned))))


def slide(clip: Clip) -> float:
    """How far feet move over the floor while in contact, mm per frame on average."""
    steps = slides(clip)
    return float(steps.mean()) if len(steps) else 0.0


def slides(clip: Clip) -> np.ndarray:
    """How far (mm) a foot moves over the floor from one frame of a contact to the next, for all such frames of both feet.

    A foot that rolls turns about one point: of toe and ankle, where both touch, the one that moves less counts.
    """
    points = clip.joints[:, list(clip.skeleton.contact_joints)]
    steps = np.linalg.norm(np.diff(points[..., [0, 2]], axis=0), axis=-1) * 1000.0
    resting = clip.contacts[1:] & clip.contacts[:-1]
    steps = np.where(resting, steps, np.inf).reshape(len(steps), 2, 2).min(axis=-1)
    return steps[np.isfinite(steps)]


def below_floor(clip: Clip) -> float:
    """How far (mm) the lowest ankle or toe of any frame lies below the floor."""
    at = list(clip.skeleton.contact_joints)
    return float(max(0.0, -clip.joints[:, at, 1].min()) * 1000.0)


def _legs(skeleton: Skeleton) -> tuple[_Leg, _Leg]:
    def leg(side: str, columns: tuple[int, int]) -> _Leg:
        return _Leg(*LIMBS[f"{side}_foot"].joints(skeleton), skeleton.index(f"{side}_foot"), columns)

    return leg("left", (0, 1)), leg("right", (2, 3))


def _plausible(clip: Clip, joints: np.ndarray) -> np.ndarray:
    """Contacts `(T, 4)` without those of feet in flight, without gaps and without touches that are too short to be any."""
    points = joints[:, list(clip.skeleton.contact_joints)]
    speed = np.linalg.norm(np.diff(points[..., [0, 2]], axis=0), axis=-1) * clip.fps
    flying = np.ones_like(clip.contacts)
    flying[1:] &= speed > _FASTEST_CONTACT
    flying[:-1] &= speed > _FASTEST_CONTACT
    steady = clip.contacts & ~flying
    shortest = round(_MIN_CONTACT_SECONDS * clip.fps)
    for value in (False, True):  # first fill the gaps, then drop the touches
        for column in steady.T:
            for begin, end in runs(column if value else ~column):
                inside = begin > 0 and end < len(column)
                if end - begin < shortest and inside:
                    column[begin:end] = not value
    return steady


def _stepping(clip: Clip, joints: np.ndarray, legs: Sequence[_Leg], fixed: np.ndarray) -> tuple[Clip, np.ndarray]:
    """The clip without the contacts in which a foot must go from one place to another, and how high each then goes, `(2, T)`."""
    contacts, clearances = clip.contacts.copy(), np.zeros((2, len(clip)))
    for leg, clearance in zip(legs, clearances, strict=True):
        columns = list(leg.columns)
        for a, b in zip(fixed, fixed[1:], strict=False):
            way = np.linalg.norm((joints[b, leg.ankle] - joints[a, leg.ankle])[[0, 2]])
            if way < _STEP or not contacts[a : b + 1, columns].any(axis=-1).all():
                continue
            away = np.abs(np.arange(len(clip)) - (a + b) / 2) / min(_STEP_SECONDS * clip.fps / 2, (b - a) / 2)
            _lift(contacts, clearance, leg, away, min(_STEP_HEIGHT, float(way) / 2))
    return replace(clip, contacts=contacts), clearances


def _lift(contacts: np.ndarray, clearance: np.ndarray, leg: _Leg, away: np.ndarray, height: float) -> None:
    """Write a step into contacts `(T, 4)` and a foot's `clearance (T)`; `away (T)` is 0 in its middle and 1 where it begins and ends."""
    for column in leg.columns:
        contacts[away < 1.0, column] = False
    clearance[:] = np.maximum(clearance, height * np.cos(np.pi / 2 * np.minimum(away, 1.0)) ** 2)


def runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """Begin and end (exclusive) of every stretch of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(int)))
    return [(int(b), int(e)) for b, e in edges.reshape(-1, 2)]


def _heights(clip: Clip, joints: np.ndarray, leg: _Leg) -> np.ndarray:
    """How high `(T, 2)` ankle and toe are above where they are when the foot stands flat on the floor."""
    at = [leg.ankle, leg.toe]
    return joints[:, at, 1] - clip.skeleton.rest_heights[at]


def _touching(clip: Clip, joints: np.ndarray, leg: _Leg) -> tuple[np.ndarray, np.ndarray]:
    """Where a leg's foot touches the floor `(T)`, and how high above it that touching part is `(T)`."""
    heights = np.where(clip.contacts[:, list(leg.columns)], _heights(clip, joints, leg), np.inf).min(axis=-1)
    touching = np.abs(heights) < _ON_FLOOR
    return touching, np.where(touching, heights, 0.0)


def _onto_floor(clip: Clip, joints: np.ndarray, legs: Sequence[_Leg], pinned: np.ndarray) -> np.ndarray:
    """What to move the clip by `(T, 3)`, slowly up or down, so that its contacts are on the floor as far as they agree."""
    touching, heights = (np.stack(both) for both in zip(*(_touching(clip, joints, leg) for leg in legs), strict=True))
    weights = touching.sum(axis=0) + _HARD * _stiffness(_ROOT_SECONDS, clip) * pinned
    raised = np.zeros((len(clip), 3))
    if not weights.any():
        return raised
    wanted = np.where(pinned, 0.0, -heights.sum(axis=0) / np.maximum(touching.sum(axis=0), 1))
    stiffness = _stiffness(_ROOT_SECONDS, clip)
    level, still = np.full(len(clip) - 1, stiffness**0.5), np.zeros((len(clip) - 1, 1))
    raised[~pinned, 1] = settle(stiffness, weights, wanted[:, None], level, still)[~pinned, 0]
    return raised


def _offset(clip: Clip, joints: np.ndarray, leg: _Leg, pinned: np.ndarray, clearance: np.ndarray) -> np.ndarray:
    """Offsets `(T, 3)` that hold a foot still in its contacts, on the floor, and `clearance (T)` above it where that is not 0."""
    stiffness = _stiffness(_FOOT_SECONDS, clip)
    contacts = clip.contacts[:, list(leg.columns)]
    steps = np.diff(joints[:, [leg.ankle, leg.toe]], axis=0)[..., [0, 2]]
    both = contacts[1:] & contacts[:-1]
    moved = np.where(both[:, 1:], steps[:, 1], np.where(both[:, :1], steps[:, 0], 0.0))  # a foot rolls over its toe
    free = 1.0 + _HARD**2 * stiffness * pinned
    offset = np.zeros((len(clip), 3))
    offset[:, [0, 2]] = settle(stiffness, free, np.zeros((len(clip), 2)), np.where(both.any(axis=-1), _HARD * stiffness, 0.0), -moved)

    touching, heights = _touching(clip, joints, leg)
    sole = _heights(clip, joints, leg)
    sunk = np.maximum(-sole[:, 1], -sole[:, 0] - _HEEL * clip.skeleton.rest_heights[leg.ankle])
    # A given pose may sink into the floor or float above it; what is before and after leads there.
    fixed, depth = np.flatnonzero(pinned), np.minimum(-sunk, 0.0)
    levels = np.stack([np.where(touching, heights, depth), depth])[:, fixed]
    floor, depth = levels @ fades(fixed, len(clip), np.full(len(fixed), _LEVEL_SECONDS * clip.fps))
    lift = np.maximum(sunk + clearance + depth - GIVE, 0.0)
    held = touching & ~pinned
    wanted, weights = np.where(held, floor - heights, 0.0), free + stiffness * held
    for _ in range(3):  # lift what sinks, which may push its neighbours down
        offset[:, 1:2] = settle(stiffness, weights, wanted[:, None])
        sinking = (offset[:, 1] < lift) & ~pinned
        weights, wanted = np.where(sinking, _HARD, weights), np.where(sinking, lift, wanted)
    offset[:, 1] = np.where(pinned, 0.0, np.maximum(offset[:, 1], lift))
    return offset


def _deepest(clip: Clip, pinned: np.ndarray) -> np.ndarray:
    """How far `(T,)` the root may go down for a leg's sake: there is no time to sink far before or after a given pose."""
    if not pinned.any():
        return np.full(len(clip), _DEEPEST)
    seconds = np.abs(np.arange(len(clip))[:, None] - np.flatnonzero(pinned)).min(axis=1) / clip.fps
    return np.minimum(_DEEPEST, 0.5 * _SINKING * seconds**2)


def _goals(
    clip: Clip, joints: np.ndarray, legs: Sequence[_Leg], pinned: np.ndarray, clearances: np.ndarray, deepest: np.ndarray
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Where each ankle is to be `(T, 3)`, how far the root would go down for each leg to reach it `(2, T)`, and what contacts miss then.

    The root goes no further down than `deepest (T,)`.
    """
    goals = [joints[:, leg.ankle] + _offset(clip, joints, leg, pinned, c) for leg, c in zip(legs, clearances, strict=True)]
    drops, aside = np.swapaxes([_drop(joints, leg, goal) for leg, goal in zip(legs, goals, strict=True)], 0, 1)
    touching = np.stack([clip.contacts[:, list(leg.columns)].any(axis=-1) for leg in legs])
    return goals, drops, np.where(touching, np.maximum(drops - deepest, aside), 0.0)


def _drop(joints: np.ndarray, leg: _Leg, goal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far `(T,)` the root would have to go down for an ankle to come as near as it can to `goal (T, 3)`, and what is missing then."""
    way, length = goal - joints[:, leg.hip], _length(joints, leg)
    level = np.linalg.norm(way[:, [0, 2]], axis=-1)
    return np.maximum(-way[:, 1] - np.sqrt(np.maximum(length**2 - level**2, 0.0)), 0.0), np.maximum(level - length, 0.0)


def _step_where_short(clip: Clip, legs: Sequence[_Leg], clearances: np.ndarray, missing: np.ndarray, pinned: np.ndarray) -> bool:
    """Have legs take a step where they miss a contact by too much of `missing (2, T)` metres; whether there was one.

    The steps are written into the clip's contacts and into `clearances (2, T)`. None reaches across a frame that is `pinned (T)`,
    where the foot stays as it is: the nearer it is, the smaller is the step.
    """
    stepped = False
    for leg, clearance, short in zip(legs, clearances, missing, strict=True):
        for begin, end in runs(short > _SHORT):
            steps = round((end - begin) / (2 * _STEP_SECONDS * clip.fps))  # it stands between them for as long as one takes
            evenly = begin + (np.arange(steps) + 0.5) * (end - begin) / max(1, steps)
            for middle in evenly if steps > 1 else [begin + int(np.argmax(short[begin:end]))]:
                half = _STEP_SECONDS * clip.fps / 2
                room = min([half, *np.abs(np.flatnonzero(pinned) - middle)])
                if room > 0:
                    away = np.abs(np.arange(len(clip)) - middle) / room
                    _lift(clip.contacts, clearance, leg, away, _STEP_HEIGHT * room / half)
                    stepped = True
    return stepped


def _lowered(clip: Clip, needed: np.ndarray, pinned: np.ndarray) -> Clip:
    """The clip with the root lowered, slowly, by at least `needed (T,)`."""
    if not np.any(needed > 1e-4):
        return clip
    stiffness = _stiffness(_FOOT_SECONDS, clip)
    drop, weights, wanted = np.zeros(len(clip)), 1.0 + _HARD * stiffness * pinned, np.zeros(len(clip))
    for _ in range(3):
        drop = settle(stiffness, weights, wanted[:, None])[:, 0]
        short = (drop < needed) & ~pinned
        weights, wanted = np.where(short, 100.0 * stiffness, weights), np.where(short, needed, wanted)
    root = clip.root.copy()
    root[~pinned, 1] -= drop[~pinned]
    return replace(clip, root=root)


def _length(joints: np.ndarray, leg: _Leg) -> np.ndarray:
    """How far `(T)` an ankle may be from its hip: nearly a straight leg, or as far as it is already."""
    thigh = np.linalg.norm(joints[:, leg.knee] - joints[:, leg.hip], axis=-1)
    shin = np.linalg.norm(joints[:, leg.ankle] - joints[:, leg.knee], axis=-1)
    return np.maximum(_STRETCH * (thigh + shin), np.linalg.norm(joints[:, leg.ankle] - joints[:, leg.hip], axis=-1))


def _stiffness(seconds: float, clip: Clip) -> float:
    return (seconds * clip.fps) ** 4


def _reach(turned: np.ndarray, joints: np.ndarray, legs: Sequence[_Leg], goals: Sequence[np.ndarray], pinned: np.ndarray) -> np.ndarray:
    """Rotations in the world `(T, J, 4)` with each ankle at its goal `(T, 3)`: knee and hip give, the foot keeps its turn."""
    result = turned.copy()
    for leg, goal in zip(legs, goals, strict=True):
        result[:, leg.hip], result[:, leg.knee] = _bent(turned, joints, leg, goal)
    result[pinned] = turned[pinned]
    return result


def _bent(turned: np.ndarray, joints: np.ndarray, leg: _Leg, ankle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotations in the world `(T, 4)` of a hip and a knee with the ankle at `ankle (T, 3)`."""
    thigh, shin = joints[:, leg.knee] - joints[:, leg.hip], joints[:, leg.ankle] - joints[:, leg.knee]
    a, b = np.linalg.norm(thigh, axis=-1), np.linalg.norm(shin, axis=-1)
    goal = ankle - joints[:, leg.hip]
    distance = np.clip(np.linalg.norm(goal, axis=-1), np.abs(a - b) + 1e-4, _length(joints, leg))

    axis = rotations.normalise(rotations.cross(thigh, shin) / (a * b)[:, None] + 0.05 * rotations.rotate(turned[:, leg.hip], _HINGE))
    fold = rotations.about(axis, _folding(thigh, shin, axis, distance))
    swing = rotations.between(thigh + rotations.rotate(fold, shin), goal)
    knee = rotations.multiply(swing, rotations.multiply(fold, turned[:, leg.knee]))
    return rotations.multiply(swing, turned[:, leg.hip]), knee


def _folding(thigh: np.ndarray, shin: np.ndarray, axis: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """The angle `(T)` about `axis (T, 3)` by which the shin is to turn for the ankle to be `distance (T)` from the hip.

    The axis need not stand at right angles to both, and does not where a leg is nearly straight: what of the shin lies along it
    stays, and the rest goes round, so that the thigh's product with it is a cosine of the angle.
    """
    along = np.sum(shin * axis, axis=-1, keepdims=True) * axis
    stays, turns, across = (np.sum(thigh * part, axis=-1) for part in (along, shin - along, rotations.cross(axis, shin)))
    wanted = (distance**2 - np.sum(thigh**2, axis=-1) - np.sum(shin**2, axis=-1)) / 2 - stays
    return np.arctan2(across, turns) + np.arccos(np.clip(wanted / np.hypot(turns, across), -1.0, 1.0))
