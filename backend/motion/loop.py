"""Clips that go on for ever: the frame after the last is the first, moved on by what one cycle travels and turns."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from . import rotations
from .clip import Clip
from .path import heading, steer
from .smooth import ease

_UP = np.array([0.0, 1.0, 0.0])
SHORTEST = 0.5  # seconds: no gait has a shorter cycle
_CANDIDATES = 600  # frames at which a cycle may begin or end
_WARP = 0.15  # metres of difference between two poses that a time-warp by e is worth avoiding
_REPEAT = 0.05  # and repeating a cycle e times
_USUAL = 70  # percentile of the root's speed that is a clip's usual pace, since many begin and end at rest
_MOMENT = 0.15  # seconds: what two poses may differ in speed counts as the way it makes in this time
_STRAIGHT = np.radians(20.0)  # a cycle that turns less than this is meant to go straight on
_IN_PLACE = 0.2  # metres: one that travels less is meant to stay


@dataclass(frozen=True)
class Cycle:
    """One cycle of an endless clip. The frame after its last is its first, turned by `turn (4,)` and then moved by `travel (3,)`."""

    clip: Clip
    turn: np.ndarray
    travel: np.ndarray

    def repeated(self, times: int) -> Clip:
        """That many cycles, one after another."""
        parts = [self.clip]
        for _ in range(times - 1):
            parts.append(parts[-1].moved(self.turn, self.travel))
        return replace(
            self.clip,
            local=rotations.continuous(np.concatenate([p.local for p in parts])),
            root=np.concatenate([p.root for p in parts]),
            contacts=np.concatenate([p.contacts for p in parts]),
        )

    def changed(self, change: Callable[[Clip], Clip]) -> "Cycle":
        """The cycle as it is in the middle of three after `change`, so that its ends know of each other."""
        length = len(self.clip)
        three = change(self.repeated(3))
        middle = slice(length, 2 * length)
        clip = replace(three, local=three.local[middle], root=three.root[middle], contacts=three.contacts[middle])
        back = rotations.inverse(self.turn)
        return Cycle(clip, self.turn, self.travel).moved(back, -rotations.rotate(back, self.travel))

    def moved(self, turn: np.ndarray, translation: np.ndarray) -> "Cycle":
        """The cycle turned by `turn (4,)`, about the vertical, and then moved by `translation (3,)`."""
        travel = rotations.rotate(turn, self.travel) + translation - rotations.rotate(self.turn, translation)
        return Cycle(self.clip.moved(turn, translation), self.turn, travel)

    def placed(self, frame: int, joints: np.ndarray) -> "Cycle":
        """The cycle moved over the floor so that at `frame` it stands and faces as `joints (J, 3)` do."""
        return self.moved(*self.clip.placement(frame, joints))

    def ending(self, joints: np.ndarray) -> "Cycle":
        """The cycle whose next one goes on from its last frame as if that stood and faced as `joints (J, 3)` do."""
        turn, translation = self.clip.placement(len(self.clip) - 1, joints)
        return Cycle(self.clip, rotations.multiply(turn, self.turn), rotations.rotate(turn, self.travel) + translation)


def find_loop(clip: Clip) -> Cycle:
    """The best cycle in a clip, over as many frames as the clip has; it starts where the clip does.

    Of all cuts the one is taken whose two ends are most alike in pose and speed and at the clip's usual pace, and that needs
    to be slowed down or sped up least, once or several times in a row. What still differs between the ends is spread: the
    pose over the whole cycle, the speed over a moment on both sides. ValueError if the clip is shorter than `SHORTEST`.
    """
    if len(clip) < SHORTEST * clip.fps:
        raise ValueError(f"A loop needs at least {SHORTEST:g} s, not {len(clip) / clip.fps:g}.")
    begin, end, times = _cut(clip)
    faced = heading(clip)
    turned = faced[end] - faced[begin]
    if abs(turned) < _STRAIGHT:
        clip, turned = steer(clip, -turned * (np.arange(len(clip)) - begin) / (end - begin)), 0.0
    once = _closed(clip, begin, end, rotations.about(_UP, np.array(turned)))
    row = once.repeated(times + 1)
    last = times * (end - begin)
    turn = rotations.about(_UP, np.array(times * turned))
    travel = row.root[last] - rotations.rotate(turn, row.root[0])
    cycle = Cycle(row.at(np.linspace(0.0, last, len(clip), endpoint=False)), turn, travel * [1.0, 0.0, 1.0])
    return cycle.placed(0, clip.joints[0])


def _cut(clip: Clip) -> tuple[int, int, int]:
    """First frame of the best cycle, the frame after its last, and how many times in a row it fills the clip best."""
    length, moment = len(clip), _MOMENT * clip.fps
    joints = clip.joints
    unturn = rotations.about(_UP, -heading(clip))
    pose = rotations.rotate(unturn[:, None], joints - joints[:, :1] * [1.0, 0.0, 1.0])
    speed = rotations.rotate(unturn[:, None], np.gradient(joints, axis=0)) * moment
    pace = np.linalg.norm(speed[:, 0, [0, 2]], axis=-1)
    unusual = np.abs(pace - np.percentile(pace, _USUAL))

    at = np.arange(1, length - 1, -(-length // _CANDIDATES))  # speeds at the very ends are known from one side only
    seen = np.concatenate([pose, speed], axis=-1)[at].reshape(len(at), -1) / len(clip.skeleton) ** 0.5
    squares = np.square(seen).sum(axis=-1)
    apart = np.sqrt(np.maximum(squares[:, None] + squares - 2.0 * seen @ seen.T, 0.0))
    frames = at - at[:, None]
    times = np.maximum(1, np.rint(length / np.maximum(frames, 1)))
    warp = np.abs(np.log(times * np.maximum(frames, 1) / length))
    score = apart + (unusual[at] + unusual[at][:, None]) / 2 + _WARP * warp + _REPEAT * np.log(times)
    score[frames < min(SHORTEST * clip.fps, length - 3)] = np.inf
    begin, end = np.unravel_index(np.argmin(score), score.shape)
    return int(at[begin]), int(at[end]), int(times[begin, end])


def _closed(clip: Clip, begin: int, end: int, turn: np.ndarray) -> Cycle:
    """The frames from `begin` to before `end` with what the frame `end` differs from the first, turned by `turn (4,)`, taken out."""
    time = np.arange(begin, end)
    share = ((time - begin) / (end - begin) - 0.5)[:, None]
    moment = _MOMENT * clip.fps
    # A correction with a corner at the join takes out a difference in speed, and is gone a moment away from it.
    after, before = (-0.5 * gap * ease(1.0 - gap / (2.0 * moment)) for gap in (time - begin, end - time))

    local = clip.local[begin:end].copy()
    for joint in range(local.shape[1]):
        q = clip.local[:, joint]
        first = rotations.multiply(turn, q[begin]) if joint == 0 else q[begin]
        drift = rotations.to_vector(rotations.multiply(rotations.inverse(first), q[end]))
        change = _spin(q, end) - _spin(q, begin)
        local[:, joint] = rotations.multiply(q[begin:end], rotations.from_vector(-(share * drift + (after + before)[:, None] * change)))

    root = clip.root[begin:end].copy()
    change = _speed(clip.root, end) - rotations.rotate(turn, _speed(clip.root, begin))
    root -= before[:, None] * change + after[:, None] * rotations.rotate(rotations.inverse(turn), change)
    root[:, 1] -= share[:, 0] * (clip.root[end, 1] - clip.root[begin, 1])
    travel = (clip.root[end] - rotations.rotate(turn, clip.root[begin])) * [1.0, 0.0, 1.0]
    if np.linalg.norm(clip.root[end] - clip.root[begin]) < _IN_PLACE and turn[0] == 1.0:
        root, travel = root - share * travel, np.zeros(3)
    contacts = clip.contacts[begin:end]
    return Cycle(Clip(rotations.continuous(local), root, contacts, clip.fps, clip.skeleton), turn, travel)


def _speed(values: np.ndarray, frame: int) -> np.ndarray:
    return (values[frame + 1] - values[frame - 1]) / 2


def _spin(q: np.ndarray, frame: int) -> np.ndarray:
    return rotations.to_vector(rotations.multiply(rotations.inverse(q[frame - 1]), q[frame + 1])) / 2
