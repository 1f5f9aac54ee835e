"""Kinematic checks: does a clip show what a sentence says? Each is a function of a clip's signals and of thresholds that are data.

Metres, seconds, degrees. Sides are the character's own. A check says what must be seen at least somewhere in the clip, so
that a clip may do more than it was asked for.
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np

from ..motion import rotations
from ..motion.clip import Clip
from ..motion.features import facing
from ..motion.feet import runs
from ..motion.path import heading
from ..motion.smooth import gaussian

_UP = np.array([0.0, 1.0, 0.0])
_STEADY_SECONDS = 0.25  # what is faster than that is the sway of a step, not where a person goes


class Signals:
    """What the checks look at, each computed once. Arrays begin with the frames `(T, ...)`."""

    def __init__(self, clip: Clip) -> None:
        self.clip, self.fps = clip, clip.fps
        self.joints = clip.joints

    def joint(self, name: str) -> np.ndarray:
        """Positions `(T, 3)` of a joint."""
        return self.joints[:, self.clip.skeleton.index(name)]

    @cached_property
    def heading(self) -> np.ndarray:
        """Where the character faces, degrees, growing to its left, without its sway `(T)`."""
        return np.degrees(gaussian(heading(self.clip)[:, None], _STEADY_SECONDS * self.fps)[:, 0])

    @cached_property
    def ahead(self) -> np.ndarray:
        """Directions `(T, 3)` on the floor that it faces."""
        return facing(self.joints, self.clip.skeleton)

    @cached_property
    def left(self) -> np.ndarray:
        return np.cross(_UP, self.ahead)

    @cached_property
    def way(self) -> np.ndarray:
        """Places of the root on the floor, without its sway `(T, 2)`."""
        return gaussian(self.clip.root[:, [0, 2]], _STEADY_SECONDS * self.fps, keep_ends=True)

    @cached_property
    def progress(self) -> np.ndarray:
        """How far `(2)` it went ahead and to its left, each step measured as it faced."""
        steps = np.zeros((len(self.way) - 1, 3))
        steps[:, [0, 2]] = np.diff(self.way, axis=0)
        return np.array([np.sum(steps * self.ahead[1:]), np.sum(steps * self.left[1:])])

    @cached_property
    def speed(self) -> np.ndarray:
        """How fast the root goes over the floor, metres a second `(T - 1)`."""
        return np.linalg.norm(np.diff(self.way, axis=0), axis=-1) * self.fps

    @cached_property
    def feet(self) -> np.ndarray:
        """How high `(T, 2)` the lower one of ankle and toe, left and right, is above where it is on a foot that stands."""
        at = list(self.clip.skeleton.contact_joints)
        heights = self.joints[:, at, 1] - self.clip.skeleton.rest_heights[at]
        return heights.reshape(-1, 2, 2).min(axis=-1)

    @cached_property
    def hips(self) -> np.ndarray:
        """Height of the root as a share of that of the T-pose `(T)`."""
        return self.joints[:, 0, 1] / self.clip.skeleton.rest_height

    @cached_property
    def lean(self) -> np.ndarray:
        """How far the trunk leans from the vertical, degrees `(T)`."""
        trunk = rotations.normalise(self.joint("neck") - self.joint("pelvis"))
        return np.degrees(np.arccos(np.clip(trunk[:, 1], -1.0, 1.0)))

    def raised(self, side: str) -> np.ndarray:
        """How high a wrist is above its shoulder `(T)`."""
        return self.joint(f"{side}_wrist")[:, 1] - self.joint(f"{side}_shoulder")[:, 1]

    def about_hips(self, name: str) -> np.ndarray:
        """A joint's place `(T, 3)` from the root: to the left, up, ahead."""
        way = self.joint(name) - self.joints[:, 0]
        return np.stack([np.sum(way * self.left, axis=-1), way[:, 1], np.sum(way * self.ahead, axis=-1)], axis=-1)

    def pace(self, name: str) -> np.ndarray:
        """How fast a joint moves about the root, metres a second `(T - 1)`."""
        return np.linalg.norm(np.diff(self.about_hips(name), axis=0), axis=-1) * self.fps

    def knee(self, side: str) -> np.ndarray:
        """Bend of a knee, degrees `(T)`."""
        hip, knee, ankle = (self.joint(f"{side}_{part}") for part in ("hip", "knee", "ankle"))
        cosine = np.sum(rotations.normalise(knee - hip) * rotations.normalise(ankle - knee), axis=-1)
        return np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))

    def thigh(self, side: str) -> np.ndarray:
        """How far a thigh is from hanging down, degrees `(T)`."""
        thigh = rotations.normalise(self.joint(f"{side}_knee") - self.joint(f"{side}_hip"))
        return np.degrees(np.arccos(np.clip(-thigh[:, 1], -1.0, 1.0)))

    def lasts(self, mask: np.ndarray, seconds: float) -> bool:
        """Whether `mask (T)` is true for that long in all."""
        return bool(np.count_nonzero(mask) >= max(1, round(seconds * self.fps)))

    def times(self, mask: np.ndarray) -> int:
        """How often `mask (T)` becomes true."""
        return len(runs(mask))


def forward(s: Signals, least: float) -> bool:
    """Goes ahead, and more so than aside."""
    return bool(s.progress[0] >= least and s.progress[0] > abs(s.progress[1]))


def backward(s: Signals, least: float) -> bool:
    return bool(-s.progress[0] >= least and -s.progress[0] > abs(s.progress[1]))


def sideways(s: Signals, least: float, side: str = "either") -> bool:
    aside = {"left": s.progress[1], "right": -s.progress[1], "either": abs(s.progress[1])}[side]
    return bool(aside >= least and aside > abs(s.progress[0]))


def turns(s: Signals, side: str, least: float, most: float = np.inf) -> bool:
    """The turn from the first to the last frame."""
    turn = s.heading[-1] - s.heading[0]
    return bool(least <= {"left": turn, "right": -turn, "either": abs(turn)}[side] <= most)


def paces(s: Signals, least: float = 0.0, most: float = np.inf) -> bool:
    """The speed of the root that the fastest fifth of the clip exceeds."""
    return bool(least <= np.percentile(s.speed, 80) <= most)


def jumps(s: Signals, times: int = 1, height: float = 0.05, rise: float = 0.12) -> bool:
    """Both feet off the floor for at least two frames, the root going up before and down after, more than in a running step."""
    root, around, found = s.joints[:, 0, 1], round(0.5 * s.fps), 0
    for begin, end in runs(s.feet.min(axis=1) > height):
        top, before, after = root[begin:end].max(), root[max(0, begin - around) : begin + 1].min(), root[end - 1 : end + around].min()
        found += end - begin >= 2 and top - max(before, after) > rise
    return found >= times


def raises(s: Signals, side: str, height: float = 0.15, seconds: float = 0.2) -> bool:
    """A wrist above its shoulder; with one side named, higher than the other then."""
    left, right = s.raised("left"), s.raised("right")
    up = {
        "left": (left > height) & (left > right + 0.1),
        "right": (right > height) & (right > left + 0.1),
        "either": np.maximum(left, right) > height,
        "both": np.minimum(left, right) > height,
    }[side]
    return s.lasts(up, seconds)


def spreads_arms(s: Signals, reach: float = 0.2, seconds: float = 0.5) -> bool:
    """Both wrists far out to the sides of their shoulders, and not hanging."""
    left = s.about_hips("left_wrist")[:, 0] - s.about_hips("left_shoulder")[:, 0]
    right = s.about_hips("right_shoulder")[:, 0] - s.about_hips("right_wrist")[:, 0]
    return s.lasts((np.minimum(left, right) > reach) & (np.minimum(s.raised("left"), s.raised("right")) > -0.48), seconds)


def waves(s: Signals, swings: int = 4, reach: float = 0.1) -> bool:
    """A hand that is up goes to and fro beside or before its elbow."""
    for side in ("left", "right"):
        hand = (s.about_hips(f"{side}_wrist") - s.about_hips(f"{side}_elbow"))[s.raised(side) > -0.1]
        if any(_reversals(hand[:, axis], reach) >= swings for axis in (0, 2)):
            return True
    return False


def _reversals(values: np.ndarray, reach: float) -> int:
    """How often `values (T)` turn round after going further than `reach` one way."""
    turned, direction, extreme = 0, 0.0, values[0] if len(values) else 0.0
    for value in values:
        gone = value - extreme
        if gone * direction > 0.0:
            extreme = value
        elif abs(gone) > reach:
            turned += direction != 0.0
            direction, extreme = np.sign(gone), value
    return turned


def sits(s: Signals, thighs: float = 50.0, seconds: float = 0.4) -> bool:
    """Thighs nearer to level than to upright, trunk upright, no step taken meanwhile."""
    inclined = (s.thigh("left") + s.thigh("right")) / 2 > thighs
    down = inclined & (s.lean < 50.0) & (s.hips < 0.95)
    return s.lasts(down[1:] & (s.speed < 0.4), seconds)


def crouches(s: Signals, hips: float = 0.75, seconds: float = 0.3) -> bool:
    return s.lasts(s.hips < hips, seconds)


def bends(s: Signals, lean: float = 45.0, seconds: float = 0.3) -> bool:
    return s.lasts(s.lean > lean, seconds)


def kicks(s: Signals, side: str = "either", height: float = 0.35, pace: float = 3.0) -> bool:
    """A foot that is high, fast and in front or aside of the hips; with one side named, higher than the other ever is."""
    found = {}
    for name in ("left", "right"):
        ankle = s.about_hips(f"{name}_ankle")
        lifted = s.feet[1:, 0 if name == "left" else 1] > height
        out = np.maximum(ankle[1:, 2], np.abs(ankle[1:, 0])) > 0.25
        straight = s.knee(name)[1:] < 70.0
        found[name] = bool(np.any(lifted & out & straight)) and bool(s.pace(f"{name}_ankle").max() > pace)
    higher = "left" if s.feet[:, 0].max() > s.feet[:, 1].max() else "right"
    return found[higher] if side == "either" else found[side] and higher == side


def punches(s: Signals, side: str = "either", pace: float = 3.0, reach: float = 0.35) -> bool:
    """A fist goes fast to where it is far ahead of its shoulder, at about its height."""
    for name in ("left", "right") if side == "either" else (side,):
        fist = s.about_hips(f"{name}_wrist") - s.about_hips(f"{name}_shoulder")
        out = (fist[:, 2] > reach) & (np.abs(fist[:, 1]) < 0.4)
        fast = s.pace(f"{name}_wrist") > pace
        window = round(0.2 * s.fps)
        if any(out[i : i + window].any() for i in np.flatnonzero(fast)):
            return True
    return False


def stands(s: Signals, travel: float = 0.4, hips: float = 0.85) -> bool:
    """Upright, in one place, both feet down most of the time."""
    place = np.linalg.norm(s.way - s.way[0], axis=-1).max() < travel
    return bool(place and np.median(s.hips) > hips and np.mean(s.feet.max(axis=1) < 0.12) > 0.7)


def calm(s: Signals, most: float) -> bool:
    """The mean speed of all joints."""
    return bool(np.linalg.norm(np.diff(s.joints, axis=0), axis=-1).mean() * s.fps < most)


def on_one_leg(s: Signals, seconds: float = 1.0, height: float = 0.12) -> bool:
    """One foot up, the other down."""
    return s.lasts((s.feet.max(axis=1) > height) & (s.feet.min(axis=1) < 0.08), seconds)


def climbs(s: Signals, least: float = 0.25) -> bool:
    """Both feet come to stand higher than they stood before."""
    lower = np.sort(s.feet.max(axis=1))
    return bool(lower[-max(1, len(lower) // 10)] > least and s.joints[:, 0, 1].max() - s.joints[:, 0, 1].min() > least)


def upside_down(s: Signals) -> bool:
    return s.lasts(s.joint("head")[:, 1] < s.joint("pelvis")[:, 1] - 0.1, 0.1)


CHECKS: Mapping[str, Callable[..., bool]] = {
    check.__name__: check
    for check in (
        forward, backward, sideways, turns, paces, jumps, raises, spreads_arms, waves, sits, crouches, bends, kicks,
        punches, stands, calm, on_one_leg, climbs, upside_down,
    )
}  # fmt: skip


def passes(clip: Clip | Signals, checks: list[dict[str, Any]]) -> bool:
    """Whether a clip passes all of `checks`, each `{"check": name, threshold: value, …}`."""
    signals = clip if isinstance(clip, Signals) else Signals(clip)
    return all(CHECKS[c["check"]](signals, **{k: v for k, v in c.items() if k != "check"}) for c in checks)
