"""Poses that a clip must pass through, met exactly: the path bends to meet them, and what is left is spread over the time around."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from . import rotations
from .clip import Clip
from .features import facing
from .limbs import LIMBS
from .path import angles, heading, steer
from .skeleton import Skeleton
from .smooth import ease

# How long before and after a given pose the body is bent towards it: as long as the clip's own accelerations allow, within these.
_SHORTEST_REACH, _LONGEST_REACH = 1.0, 2.5
_PEAK = 5.8  # the largest acceleration of `ease`, which goes a way of 1 in a time of 1
# How far a path may bend (radians) and its steps grow (natural logarithm), against how far (metres) it misses its end.
_BEND, _GROWTH, _MISS = 0.7, 0.4, 0.1
_ROUNDS, _HALVINGS = 12, 6  # of Gauss and Newton's method, which settles in about six, and of a step that leads away
_FASTEST_TURN = np.pi  # radians a second: how fast a bend may make the body turn
_STRAIGHT = 0.05  # how far out of line, per its length, a limb's lower bone is on average below which its hinge is not told by that
_STEEPEST = 7.5  # of an arch from 0 to 1, in a time of 1


@dataclass(frozen=True)
class Constraint:
    """A pose at a frame: parent-relative `local (J, 4)` and the root's place `root (3,)` in metres.

    One that is `only` about some of `limbs.LIMBS` is met when these end where they end in it, turned as they are turned in it.
    """

    frame: int
    local: np.ndarray
    root: np.ndarray
    only: tuple[str, ...] = ()


def fit(clip: Clip, constraints: Sequence[Constraint], keep_path: bool = False) -> Clip:
    """The clip bent so that it passes through every constraint, each of a whole pose, exactly.

    Between two constraints the path turns and its steps grow or shrink to lead from one to the other; what is still missing
    of the place is carried on, since a character that is moved stays moved. What is missing of the pose fades out to both
    sides as slowly as the clip's own accelerations ask for, or passes over into what is missing at the next constraint where
    that is nearer. With `keep_path` what is missing of the place fades out in the same way instead.
    """
    if not constraints:
        return clip
    given = sorted(constraints, key=lambda c: c.frame)
    frames = np.array([c.frame for c in given])
    wanted, places = np.stack([c.local for c in given]), np.stack([c.root for c in given])
    poses = clip.skeleton.forward(wanted, places)
    if not keep_path:
        clip = _lead(clip, frames, poses)
    # In the parent's frame: there an offset turns a limb's own motion as a whole and makes it no faster.
    missing = rotations.multiply(wanted, rotations.inverse(clip.local[frames]))
    away = places - clip.root[frames]
    reaches = _reaches(clip, np.linalg.norm(poses - clip.joints[frames] - away[:, None], axis=-1).max(axis=-1))
    weights = fades(frames, len(clip), reaches)
    local = rotations.multiply(_spread(missing, frames, weights), clip.local)
    local = _hinged(clip.skeleton, local, np.concatenate([clip.local, wanted]))
    root = clip.root + weights.T @ away
    if not keep_path:
        root[:, [0, 2]] = (clip.root + _carried(away, frames, len(clip)))[:, [0, 2]]
    return replace(clip, local=rotations.continuous(rotations.normalise(local)), root=root)


def errors(clip: Clip, constraints: Sequence[Constraint]) -> tuple[float, float]:
    """The worst distance of any joint (mm) and the worst angle of any local rotation (degrees) at the constraints.

    Of limbs alone those of their ends, whose rotations are then those in the world.
    """
    distance, angle = 0.0, 0.0
    for c in constraints:
        away = np.linalg.norm(clip.joints[c.frame] - clip.skeleton.forward(c.local, c.root), axis=-1)
        own, wanted = clip.local[c.frame], c.local
        if c.only:
            ends = [clip.skeleton.index(LIMBS[name].end) for name in c.only]
            away, own, wanted = (values[ends] for values in (away, clip.skeleton.to_global(own), clip.skeleton.to_global(wanted)))
        distance = max(distance, float(away.max() * 1000.0))
        angle = max(angle, float(np.degrees(rotations.angle_between(own, wanted).max())))
    return distance, angle


def _lead(clip: Clip, frames: np.ndarray, poses: np.ndarray) -> Clip:
    """The clip facing at `frames (C)` as `poses (C, J, 3)` do, its path bent from each to the next; it begins at the first."""
    own = heading(clip)
    turns = angles(facing(poses, clip.skeleton)[:, [0, 2]]) - own[frames]
    turns = np.unwrap(turns)
    turn, scale = np.interp(np.arange(len(clip)), frames, turns), np.ones(len(clip) - 1)
    for (a, b), (before, after), way in zip(
        zip(frames, frames[1:], strict=False), zip(turns, turns[1:], strict=False), np.diff(poses[:, 0], axis=0), strict=True
    ):
        share = np.linspace(0.0, 1.0, b - a + 1)
        steady = before + (after - before) * ease(share)
        bend, growth = _bend(np.diff(clip.root[a : b + 1], axis=0)[:, [0, 2]], steady, share, way[[0, 2]], (b - a) / clip.fps)
        turn[a : b + 1] = steady + bend * _arch(share)
        scale[a:b] = np.exp(growth * _arch(_middles(share)))
    led = steer(clip, turn, scale)
    return replace(led, root=led.root + (poses[0, 0] - led.root[frames[0]]) * [1.0, 0.0, 1.0])


def _bend(steps: np.ndarray, turn: np.ndarray, share: np.ndarray, way: np.ndarray, seconds: float) -> np.ndarray:
    """How far to bend (radians) and to lengthen (logarithm) `steps (T, 2)`, turned by `turn (T + 1)`, to come near `way (2,)`.

    A path that hardly travels would have to bend or grow beyond measure; it is left as it is. So is one whose `seconds` are too few
    to turn in.
    """
    middle, arch = _middles(turn), _arch(_middles(share))
    flat = steps[:, 1] + 1j * steps[:, 0]  # z + ix: a turn about the vertical is a turn of the complex number
    goal = way[1] + 1j * way[0]
    most = np.array([min(np.pi / 2, _FASTEST_TURN * seconds / _STEEPEST), 1.0])
    measures = np.array([_MISS / _BEND, _MISS / _GROWTH])  # both unknowns in metres

    def bent(found: np.ndarray) -> np.ndarray:
        return flat * np.exp(1j * (middle + found[0] * arch) + found[1] * arch)

    def residual(found: np.ndarray) -> np.ndarray:
        miss = goal - bent(found).sum()
        return np.array([miss.real, miss.imag, *(-found * measures)])

    found = np.zeros(2)
    for _ in range(_ROUNDS):
        now, change = residual(found), (bent(found) * arch).sum()
        rows = np.concatenate([[[-change.imag, change.real], [change.real, change.imag]], np.diag(measures)])
        step = np.linalg.lstsq(rows, now, rcond=None)[0]
        for _ in range(_HALVINGS):
            new = np.clip(found + step, -most, most)
            if np.sum(residual(new) ** 2) < np.sum(now**2):
                break
            step = step / 2
        else:
            break
        found = new
    return found


def _arch(share: np.ndarray) -> np.ndarray:
    """0 at both ends of `share` from 0 to 1, 1 over most of it, smooth between."""
    return ease(4.0 * share) * ease(4.0 * (1.0 - share))


def _middles(values: np.ndarray) -> np.ndarray:
    return (values[1:] + values[:-1]) / 2


def _reaches(clip: Clip, ways: np.ndarray) -> np.ndarray:
    """Frames `(C)` that joints need for `ways (C)`, in metres, if they are not to accelerate more than the clip does anyway."""
    if len(clip) < 3:
        return np.full(len(ways), _SHORTEST_REACH * clip.fps)
    own = np.linalg.norm(np.diff(clip.joints, 2, axis=0), axis=-1).max() * clip.fps**2
    return np.clip(np.sqrt(_PEAK * ways / max(own, 1e-6)), _SHORTEST_REACH, _LONGEST_REACH) * clip.fps


def _spread(missing: np.ndarray, frames: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Rotations `(T, J, 4)` that are `missing (C, J, 4)` at `frames (C)` and fade to none, or into the next, with `weights (C, T)`."""
    offsets = np.tile(rotations.IDENTITY, (weights.shape[1], missing.shape[1], 1))
    for weight, turn in zip(weights, rotations.to_vector(missing), strict=True):
        at = np.flatnonzero(weight)
        offsets[at] = rotations.multiply(offsets[at], rotations.from_vector(weight[at, None, None] * turn))
    for i, (a, b) in enumerate(zip(frames, frames[1:], strict=False)):
        if np.allclose(weights[i, a : b + 1] + weights[i + 1, a : b + 1], 1.0):  # from one to the next by the shortest way
            offsets[a : b + 1] = rotations.slerp(missing[i], missing[i + 1], weights[i + 1, a : b + 1, None])
    return offsets


def _hinged(skeleton: Skeleton, local: np.ndarray, natural: np.ndarray) -> np.ndarray:
    """Local rotations `(T, J, 4)` with elbows and knees that bend backwards, or fold up, no farther than in the poses `natural (N, J, 4)`.

    What straightens a bent limb in a given pose would bend one backwards that is straight shortly before or after it.
    """
    assert skeleton.offsets is not None
    local = local.copy()
    for limb in LIMBS.values():
        _, middle, end = limb.joints(skeleton)
        lower = rotations.normalise(skeleton.offsets[end])
        usual = rotations.rotate(natural[:, middle], lower)
        forwards = usual.mean(axis=0) - _STRAIGHT * np.array(limb.bends)  # where the limb is nearly straight, as limbs bend in general
        backwards = -rotations.normalise(forwards - forwards @ lower * lower)
        for way in (backwards, -lower):
            points = rotations.rotate(local[:, middle], lower)
            over = np.maximum(points @ way - max(0.0, (usual @ way).max()), 0.0)
            local[:, middle] = rotations.multiply(rotations.between(points, points - over[:, None] * way), local[:, middle])
    return local


def fades(frames: np.ndarray, length: int, reaches: np.ndarray) -> np.ndarray:
    """Weights `(C, T)` of constraints at `frames (C)`, smooth over time.

    Each is 1 at its own frame and 0 at all others' and beyond its reach `(C)` in frames. Between two neighbours that both
    reach each other they sum to 1.
    """
    time = np.arange(length)
    gaps = np.diff(frames, prepend=-np.inf, append=np.inf)
    weights = []
    for frame, reach, before, after in zip(frames, reaches, gaps, gaps[1:], strict=False):
        away = np.where(time < frame, (frame - time) / min(reach, before), (time - frame) / min(reach, after))
        weights.append(ease(1.0 - away))
    return np.array(weights).reshape(-1, length)


def _carried(missing: np.ndarray, frames: np.ndarray, length: int) -> np.ndarray:
    """What is `missing (C, 3)` of the place at `frames (C)`, carried smoothly from each to the next and on beyond both ends `(T, 3)`."""
    time = np.arange(length)
    after = np.clip(np.searchsorted(frames, time), 1, max(1, len(frames) - 1))
    a, b = (after - 1, after) if len(frames) > 1 else (np.zeros_like(time), np.zeros_like(time))
    share = ease((time - frames[a]) / np.maximum(frames[b] - frames[a], 1))
    return missing[a] + (missing[b] - missing[a]) * share[:, None]
