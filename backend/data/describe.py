"""Captions computed from motion: what happens, and when, told in the wordings of `wordings.json`.

Captions of trials are coarse (one for many windows) and rare actions drown among walks. Those found here name their own part of a
clip and their action, so that training can draw all actions about equally often.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..motion.measures import Measures
from ..motion.skeleton import Skeleton

_WORDINGS = Path(__file__).parent / "wordings.json"

_TELLINGS = 3  # times that each action is told, in words of their own
_OWN_WORD_SHARE = 0.4  # of gaits in a direction that has words of its own
_LEAD_SECONDS = 0.7  # what is kept of a clip before and after an action
_GAIT_SECONDS = (2.0, 7.0)  # length of the windows whose gait is told
_SPEEDS = {"stand": 0.12, "slow": 0.75, "walk": 1.5, "fast": np.inf}  # metres a second, up to
_RUNS = {"": 0.9, "run": 3.2, "sprint": np.inf}  # where both feet leave the floor at times
_SHUFFLE, _ON_THE_SPOT = 0.45, 0.45  # metres a second and metres: what the pelvis may do in a turn on the spot
_TURNS = {"none": 20.0, "bit": 60.0, "": 125.0, "about": 230.0, "circle": np.inf}  # degrees, up to


@dataclass(frozen=True)
class Found:
    """An action from frame `begin` up to `end`, and its caption; `moment`: it happens somewhere in there and need not fill it."""

    action: str
    text: str
    begin: int
    end: int
    moment: bool = False


def describe(features: np.ndarray, skeleton: Skeleton, rng: np.random.Generator) -> list[Found]:
    """The actions in a clip's features `(T, D)`; wording and the windows of gaits are drawn with `rng`."""
    body = Measures(features, skeleton)
    poses = dict(_poses(body))
    found = [*_find_actions(body, poses), *_find_gaits(body, np.any([*poses.values()], axis=0), rng)]
    words = _wordings()
    told = []
    for f in [f for f in found for _ in range(_TELLINGS)]:
        text = f"{rng.choice(words['subjects'])} {f.text or rng.choice(words['actions'][f.action])}."
        told.append(replace(f, text=" ".join(_worded(text, rng).split())))
    return told


def _worded(text: str, rng: np.random.Generator) -> str:
    """The text with one of each `{this|or that}` chosen, the innermost first."""
    while choices := re.search(r"\{([^{}]*)\}", text):
        text = text[: choices.start()] + str(rng.choice(choices[1].split("|"))) + text[choices.end() :]
    return text


@lru_cache
def _wordings() -> dict:
    return json.loads(_WORDINGS.read_text(encoding="utf-8"))


def _find_actions(body: Measures, masks: Mapping[str, np.ndarray]) -> Iterator[Found]:
    lead = round(_LEAD_SECONDS * body.fps)
    seated = masks["sit"]
    for action, mask in masks.items():
        for begin, end in _stretches(mask, gap=round(0.3 * body.fps), shortest=3 if action in _QUICK else round(0.3 * body.fps)):
            yield Found(action, "", max(0, begin - lead), min(len(mask), end + lead), moment=True)
    jumps = _stretches(masks["jump"], gap=round(0.3 * body.fps), shortest=3)
    for (begin, _), (_, end) in zip(jumps, jumps[1:], strict=False):
        if end - begin < 4.0 * body.fps:
            yield Found("jumps", "", max(0, begin - lead), min(len(seated), end + lead), moment=True)
    for begin, end in _stretches(seated, gap=round(0.5 * body.fps), shortest=round(0.5 * body.fps)):
        before, after = max(0, begin - 2 * lead), min(len(seated), end + 2 * lead)
        from_standing, to_standing = body.height[before] > 0.85, body.height[after - 1] > 0.85
        if from_standing:
            yield Found("sit_down", "", before, min(end, begin + 2 * lead), moment=True)
        if to_standing:
            yield Found("stand_up", "", max(begin, end - 2 * lead), after, moment=True)
        if from_standing and to_standing:
            yield Found("sit_stand", "", before, after, moment=True)


_QUICK = ("jump", "jump_forward", "kick_left", "kick_right", "punch_left", "punch_right")


def _poses(body: Measures) -> Iterator[tuple[str, np.ndarray]]:
    """Each action with the frames `(T,)` in which its body position or its blow is seen."""
    head = body.at("head")[:, 1]
    up = {side: body.at(f"{side}_wrist")[:, 1] > head for side in ("left", "right")}
    low = {side: body.at(f"{side}_wrist")[:, 1] < body.at(f"{side}_shoulder")[:, 1] for side in ("left", "right")}
    yield "raise_left", up["left"] & low["right"]
    yield "raise_right", up["right"] & low["left"]
    yield "raise_both", up["left"] & up["right"]

    speed = np.append(np.linalg.norm(body.travel, axis=-1), 0.0) * body.fps
    high = (body.feet_above_floor > 0.08) & (body.height > 0.95)
    flight = _long(high, round(0.2 * body.fps))
    ahead = np.append(body.travel[:, 1], 0.0) * body.fps
    yield "jump", flight & (speed < 1.0)
    yield "jump_forward", _long(high, round(0.3 * body.fps)) & (ahead > 0.8)

    for side in ("left", "right"):
        wrist, shoulder, ankle = body.at(f"{side}_wrist"), body.at(f"{side}_shoulder"), body.at(f"{side}_ankle")
        hand = wrist - shoulder
        yield f"wave_{side}", (hand[:, 1] > 0.1) & (speed < 0.5) & _swings(hand[:, 0], body.fps)
        forward = (hand[:, 2] > 0.35) & (np.abs(hand[:, 1]) < 0.25)
        yield f"punch_{side}", _near(body.speed(f"{side}_wrist") > 3.0, 4) & forward & _long(speed < 1.5, 5)
        other = body.above_floor("right_ankle" if side == "left" else "left_ankle")
        kick = (body.speed(f"{side}_ankle") > 2.5) & (body.above_floor(f"{side}_ankle") > 0.3) & (other < 0.12) & (speed < 1.5)
        yield f"kick_{side}", _near(kick, 2) & (ankle[:, 2] > 0.2)

    out = [np.abs(body.at(f"{s}_wrist")[:, 1] - body.at(f"{s}_shoulder")[:, 1]) < 0.2 for s in ("left", "right")]
    wide = (body.at("left_wrist")[:, 0] > 0.5) & (body.at("right_wrist")[:, 0] < -0.5)
    yield "arms_out", out[0] & out[1] & wide

    feet = (body.at("left_ankle") + body.at("right_ankle"))[:, [0, 2]] / 2.0
    apart, lean = np.linalg.norm(feet, axis=-1), body.lean
    thighs = np.mean([body.at(f"{s}_hip")[:, 1] - body.at(f"{s}_knee")[:, 1] for s in ("left", "right")], axis=0)
    low_thighs = thighs < 0.22
    yield "sit", (body.height < 0.72) & (body.height > 0.35) & low_thighs & (apart > 0.22) & (lean < 45.0)
    yield "crouch", (body.height < 0.75) & (apart <= 0.22) & (lean < 60.0)
    yield "bend", (body.height > 0.72) & (lean > 50.0)
    yield "lie", (body.height < 0.35) & (lean > 60.0)

    lifted = body.each_foot_above_floor
    yield "one_leg", _long((lifted.max(axis=0) > 0.12) & (lifted.min(axis=0) < 0.06), round(0.8 * body.fps)) & (speed < 0.4)
    yield "upside_down", body.at("head")[:, 1] < -0.1


def _find_gaits(body: Measures, posed: np.ndarray, rng: np.random.Generator) -> Iterator[Found]:
    """Windows of even speed and direction: about one for every second of the clip is tried. In `posed` frames (T,) more is seen."""
    frames = len(body.travel)
    shortest, longest = (round(seconds * body.fps) for seconds in _GAIT_SECONDS)
    calm = body.height > 0.8
    for _ in range(max(1, round(frames / body.fps)) if frames >= shortest else 0):
        length = int(rng.integers(shortest, min(longest, frames) + 1))
        begin = int(rng.integers(0, frames - length + 1))
        window = slice(begin, begin + length)
        if not calm[window].all():
            continue
        steps = body.travel[window] * body.fps
        pace = np.linalg.norm(_smooth(steps, round(0.6 * body.fps)), axis=-1)
        mean = float(pace.mean())
        flying = (body.feet_above_floor[window] > 0.05).mean() > 0.04
        gait = _class_of(mean, _RUNS) if flying else _class_of(mean, _SPEEDS)
        drift = float(np.linalg.norm(body.root[begin + length] - body.root[begin]))
        turned = float(body.yaw[begin + length] - body.yaw[begin])
        turn = _class_of(abs(turned), _TURNS)
        side = "left" if turned > 0 else "right"
        turn = turn if turn == "none" else f"{turn}_{side}".strip("_")
        if gait == "stand" or (mean < _SHUFFLE and drift < _ON_THE_SPOT):
            yield from _standing(body, window, posed, turned, turn, drift, rng)
            continue
        if pace.std() > 0.4 * mean:
            continue
        flow = float(np.degrees(np.arctan2(*steps.mean(axis=0))))  # 0 ahead, +90 to the left
        way = _way(flow)
        if not way or not gait:
            continue
        if way != "forward" and turn not in ("none", f"bit_{side}"):
            continue
        action = f"{gait} {way}" if turn == "none" or way != "forward" else f"{gait} {way} {turn}"
        text = _walk(gait, way, turn if way == "forward" else "none", rng)
        yield Found(action, _with_degrees(text, turned), begin, begin + length)


def _walk(gait: str, way: str, turn: str, rng: np.random.Generator) -> str:
    """What a gait in a direction is called: put together, or by a word of its own where there is one."""
    words = _wordings()
    if turn == "none" and (moves := words["moves"].get(f"{gait} {way}")) and rng.random() < _OWN_WORD_SHARE:
        return str(rng.choice(moves))
    parts = [str(rng.choice(words[kind][name])) for kind, name in (("gaits", gait), ("directions", way), ("turns", turn))]
    return " ".join(part for part in parts if part)


def _with_degrees(text: str, turned: float) -> str:
    """The text with each `<step>` replaced by how far it turns, rounded to so many degrees."""
    return re.sub(r"<(\d+)>", lambda step: str(int(step[1]) * round(abs(turned) / int(step[1]))), text)


def _standing(
    body: Measures, window: slice, posed: np.ndarray, turned: float, turn: str, drift: float, rng: np.random.Generator
) -> Iterator[Found]:
    words = _wordings()
    if turn in words["standing_turns"] and drift < _ON_THE_SPOT:
        text = _with_degrees(str(rng.choice(words["standing_turns"][turn])), turned)
        yield Found(f"turn {turn}", text, window.start, window.stop)
    still = np.linalg.norm(np.diff(body.around[window], axis=0), axis=-1).mean() * body.fps < 0.06
    if turn == "none" and still and not posed[window].any() and body.lean[window].max() < 30.0:
        yield Found("stand", str(rng.choice(words["gaits"]["stand"])), window.start, window.stop)


def _way(flow: float) -> str:
    """The direction that an angle to the heading is plainly in, or nothing."""
    if abs(flow) < 35.0:
        return "forward"
    if abs(flow) > 145.0:
        return "back"
    if 60.0 < abs(flow) < 120.0:
        return "left" if flow > 0 else "right"
    return ""


def _class_of(value: float, limits: dict[str, float]) -> str:
    return next(name for name, limit in limits.items() if value < limit)


def _stretches(mask: np.ndarray, gap: int, shortest: int) -> list[tuple[int, int]]:
    """Begin and end (exclusive) of stretches of true values; those less than `gap` apart are one."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(int))).reshape(-1, 2)
    joined: list[list[int]] = []
    for begin, end in edges.tolist():
        if joined and begin - joined[-1][1] < gap:
            joined[-1][1] = end
        else:
            joined.append([begin, end])
    return [(begin, end) for begin, end in joined if mask[begin:end].sum() >= shortest]


def _long(mask: np.ndarray, frames: int) -> np.ndarray:
    """The mask without stretches shorter than `frames`."""
    kept = np.zeros_like(mask)
    for begin, end in _stretches(mask, 0, frames):
        kept[begin:end] = True
    return kept


def _near(mask: np.ndarray, frames: int) -> np.ndarray:
    """Frames at most `frames` away from a true one."""
    return np.convolve(mask, np.ones(2 * frames + 1), mode="same") > 0.5


def _swings(values: np.ndarray, fps: float) -> np.ndarray:
    """Where a coordinate `(T,)` goes to and fro: at least three turning points, 10 cm apart, within a second and a half."""
    turning, last = [], 0
    for frame in range(1, len(values) - 1):
        if (values[frame] - values[frame - 1]) * (values[frame + 1] - values[frame]) < 0 and abs(values[frame] - values[last]) > 0.1:
            turning.append(frame)
            last = frame
    swings = np.zeros(len(values), dtype=bool)
    for first, third in zip(turning, turning[2:], strict=False):
        if third - first <= 1.5 * fps:
            swings[first : third + 1] = True
    return swings


def _smooth(values: np.ndarray, frames: int) -> np.ndarray:
    kernel = np.ones(frames) / frames
    return np.stack([np.convolve(column, kernel, mode="valid") for column in values.T], axis=-1)
