"""Hands and feet that are to be somewhere at a moment, while the rest of the body does what the clip does."""

from collections.abc import Iterable

import numpy as np

from . import rotations
from .clip import Clip
from .feet import GIVE
from .fit import Constraint
from .limbs import LIMBS, reach
from .skeleton import Skeleton

_TRUNK = ("pelvis", "spine1", "spine2", "spine3")
# What it costs to bow a joint of the trunk by a radian, to twist or to tilt it, and to move all of the body by a metre, against each other.
_BOW, _TWIST, _TILT, _MOVE = 0.3, 0.9, 0.9, 1.0
_FAR = 0.25  # metres that a body has to come nearer for its path to lead there, instead of leaning
_ROUNDS, _ENOUGH = 60, 1e-5  # of Gauss and Newton's method, and metres that may then still be missing


def held(clip: Clip, wanted: Constraint) -> Constraint:
    """The clip's own pose at the frame of a constraint about limbs, changed so that these end, and are turned, as they are there.

    The trunk leans, and the body moves, as far as arms and legs are too short. Feet that the constraint is not about stay where they
    are, if they can.
    """
    skeleton, frame = clip.skeleton, wanted.frame
    goals, turns = _ends(skeleton, skeleton.to_global(wanted.local), wanted.root)
    own, own_turns = _ends(skeleton, skeleton.to_global(clip.local[frame]), clip.root[frame])
    stays = [name for name in LIMBS if name.endswith("foot") and name not in wanted.only]
    goals = {name: goals[name] for name in wanted.only}
    all_goals = goals | {name: own[name] + _risen(clip, name, frame) for name in stays}
    turns = {name: turns[name] for name in wanted.only} | {name: own_turns[name] for name in stays}
    local, root = clip.local[frame], clip.root[frame]
    for some in (all_goals, goals):  # the second changes nothing where feet can stay
        local, root = _leaning(skeleton, local, root, some)
    return Constraint(frame, _reaching(skeleton, _hanging(skeleton, local, clip.local[frame], goals), root, all_goals, turns), root)


def approached(clip: Clip, wanted: Constraint) -> Constraint | None:
    """The clip's own pose at the frame of a constraint about limbs, nearer to what they reach for; None if it is near enough to lean."""
    joints, goals = clip.joints[wanted.frame], clip.skeleton.forward(wanted.local, wanted.root)
    missing = []
    for name in wanted.only:
        start, _, end = LIMBS[name].joints(clip.skeleton)
        length, way = _longest(clip.skeleton, joints, name), goals[end] - joints[start]
        level = np.hypot(way[0], way[2])
        within = np.sqrt(max(length**2 - way[1] ** 2, (length / 2) ** 2))
        missing.append(way * [1.0, 0.0, 1.0] * max(0.0, 1.0 - within / max(level, 1e-9)))
    move = np.mean(missing, axis=0)
    if np.linalg.norm(move) < _FAR:
        return None
    return Constraint(wanted.frame, clip.local[wanted.frame], clip.root[wanted.frame] + move)


def _risen(clip: Clip, name: str, frame: int) -> np.ndarray:
    """How far `(3,)` to raise a foot that has sunk as far as it may, or what is before and after would sink farther."""
    side = name.removesuffix("foot")
    lowest = min(clip.joints[frame, clip.skeleton.index(side + joint), 1] for joint in ("ankle", "foot"))
    return np.array([0.0, min(max(-lowest, 0.0), GIVE), 0.0])


def _hanging(skeleton: Skeleton, local: np.ndarray, own: np.ndarray, goals: Iterable[str]) -> np.ndarray:
    """Local rotations `(J, 4)` with arms that reach for nothing turned in the world as in the clip's `own (J, 4)`: they hang."""
    turned, before, local = skeleton.to_global(local), skeleton.to_global(own), local.copy()
    for name, limb in LIMBS.items():
        if name.endswith("hand") and name not in goals:
            shoulder = skeleton.index(limb.start)
            local[shoulder] = rotations.multiply(rotations.inverse(turned[skeleton.parents[shoulder]]), before[shoulder])
    return local


def _leaning(skeleton: Skeleton, local: np.ndarray, root: np.ndarray, goals: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Local rotations `(J, 4)` and the root's place, changed as little as it takes for limbs to be long enough for their `goals (3,)`."""
    trunk = [skeleton.index(name) for name in _TRUNK]
    above = {name: _above(skeleton, name) for name in goals}
    costs = np.array([_BOW, _TWIST, _TILT] * len(trunk) + [_MOVE] * 3)
    for _ in range(_ROUNDS):
        turned = skeleton.to_global(local)
        joints, axes = skeleton.positions(turned, root), rotations.to_matrix(turned[0])
        rows, missing = [], []
        for name, goal in goals.items():
            start = joints[skeleton.index(LIMBS[name].start)]
            way = goal - start
            short = np.linalg.norm(way) - _longest(skeleton, joints, name)
            if short <= 0:
                continue
            along = rotations.normalise(way)
            turn = [np.cross(start - joints[joint], along) @ axes * (joint in above[name]) for joint in trunk]
            rows.append(np.concatenate([*turn, along]) / costs)
            missing.append(short)
        if not missing or max(missing) < _ENOUGH:
            break
        step = np.linalg.lstsq(np.array(rows), np.array(missing), rcond=1e-6)[0] / costs
        step *= min(1.0, 0.3 / np.abs(step).max())
        local = local.copy()
        for joint, turn in zip(trunk, step[:-3].reshape(-1, 3) @ axes.T, strict=True):
            parent = turned[skeleton.parents[joint]] if joint else rotations.IDENTITY
            turn = rotations.multiply(rotations.inverse(parent), rotations.multiply(rotations.from_vector(turn), turned[joint]))
            local[joint] = rotations.normalise(turn)
        root = root + step[-3:]
    return local, root


def _reaching(
    skeleton: Skeleton, local: np.ndarray, root: np.ndarray, goals: dict[str, np.ndarray], turns: dict[str, np.ndarray]
) -> np.ndarray:
    """Local rotations `(J, 4)` with limbs that end at their `goals (3,)`, turned in the world by `turns (4,)`."""
    turned = skeleton.to_global(local)
    joints = skeleton.positions(turned, root)
    for name, goal in goals.items():
        start, middle, end = LIMBS[name].joints(skeleton)
        forward = rotations.rotate(turned[start], np.array(LIMBS[name].bends))
        upper, lower = reach(joints[middle] - joints[start], joints[end] - joints[middle], goal - joints[start], forward)
        turned[start], turned[middle] = rotations.multiply(upper, turned[start]), rotations.multiply(lower, turned[middle])
        turned[end] = turns[name]
        for child in np.flatnonzero(np.array(skeleton.parents) == end):
            turned[child] = rotations.multiply(turned[end], local[child])
    return skeleton.to_local(turned)


def _ends(skeleton: Skeleton, turned: np.ndarray, root: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Where every limb ends `(3,)` and how its end is turned `(4,)` in a pose of rotations in the world `turned (J, 4)`."""
    joints, ends = skeleton.positions(turned, root), {name: skeleton.index(limb.end) for name, limb in LIMBS.items()}
    return {name: joints[end] for name, end in ends.items()}, {name: turned[end] for name, end in ends.items()}


def _above(skeleton: Skeleton, name: str) -> set[int]:
    """The joints that a limb hangs on."""
    joint, above = skeleton.index(LIMBS[name].start), set()
    while (joint := skeleton.parents[joint]) >= 0:
        above.add(joint)
    return above


def _longest(skeleton: Skeleton, joints: np.ndarray, name: str) -> float:
    """How far from its start a limb is to end at most, metres."""
    start, middle, end = (joints[joint] for joint in LIMBS[name].joints(skeleton))
    return LIMBS[name].stretch * float(np.linalg.norm(middle - start) + np.linalg.norm(end - middle))
