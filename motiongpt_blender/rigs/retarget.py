"""A clip on a body of other proportions: the directions of the bones are the clip's, feet and way through space fit the body."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...backend.motion import rotations
from ...backend.motion.clip import Clip
from ...backend.motion.limbs import reach
from ...backend.motion.skeleton import SMPL
from ..steps import Steps
from .body import Body, Pole
from .planting import plant
from .stance import SIDES

_STILL = 1e-6  # metres
_STRAIGHT = (0.003, 0.012)  # how far out of line its middle joint is, per its length, below which a limb is straight and above which bent
_UP, _FORWARD = np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class Motion:
    """Rotations `turned (T, n, 4)` of a body's bones, places `heads (T, n, 3)` of their heads, all in the canonical frame.

    Bones that do not inherit rotations turn by `loose (T, 4)` nevertheless.
    """

    turned: np.ndarray
    heads: np.ndarray
    loose: np.ndarray


def retarget(body: Body, clip: Clip, fixed: Sequence[int], whole: Body | None = None) -> Steps[Motion]:
    """The motion of a body that does what the clip shows, worked out in steps.

    At the frames `fixed` are poses of this very body, which come out as they were. `whole` is the body with limbs of their full
    lengths, by which its feet are judged to stand on the floor, if it is not that itself.
    """
    turns, pelvis = SMPL.to_global(clip.local), clip.root
    if clip.contacts.any():
        yield
        turns, pelvis = yield from _plant_feet(body, whole or body, clip, turns, fixed)
    yield
    turned = body.turned(turns)
    return Motion(turned, body.heads(turned, pelvis), np.tile(rotations.IDENTITY, (len(clip), 1)))


@dataclass(frozen=True)
class Ground:
    """A way over the floor: first a `turn (T, 4)` about the origin, then a `move (T, 3)`."""

    turn: np.ndarray
    move: np.ndarray

    def taken_off(self, motion: Motion, by_bone: bool) -> Motion:
        """The motion that is left for a body which is taken along this way, `by_bone` or else with all of its space."""
        back = rotations.inverse(self.turn)
        return Motion(
            rotations.multiply(back[:, None], motion.turned),
            rotations.rotate(back[:, None], motion.heads - self.move[:, None]),
            back if by_bone else motion.loose,
        )


def find_ground(clip: Clip, anchor: int, turns: bool) -> Ground:
    """The clip's way over the floor since the frame `anchor`: where it is, and if `turns` where it heads."""
    pelvis = clip.local[:, 0]
    heading = 2.0 * np.unwrap(np.arctan2(pelvis[:, 2], pelvis[:, 0]), period=np.pi)  # of its twist about the vertical
    turn = rotations.about(_UP, (heading - heading[anchor]) * turns)
    path = clip.root * (1.0 - _UP)
    return Ground(turn, path - rotations.rotate(turn, path[anchor]))


def point_at(pole: Pole, body: Body, motion: Motion) -> np.ndarray:
    """Where `(T, 3)` the pole of a limb has to be, for its middle joint to be where it is."""
    start, middle, end = (body.joint(joint, motion.turned, motion.heads) for joint in pole.limb)
    along = rotations.normalise(end - start)
    out = middle - start
    out = out - along * np.sum(out * along, axis=-1, keepdims=True)
    straight = rotations.rotate(motion.turned[:, body.carriers[pole.limb[0]]], pole.direction)
    low, high = (share * np.linalg.norm(end - start, axis=-1, keepdims=True) for share in _STRAIGHT)
    bent = np.clip((np.linalg.norm(out, axis=-1, keepdims=True) - low) / (high - low), 0.0, 1.0)
    return middle + pole.distance * rotations.normalise(bent * rotations.normalise(out) + (1.0 - bent) * straight)


def _plant_feet(body: Body, whole: Body, clip: Clip, turns: np.ndarray, fixed: Sequence[int]) -> Steps[tuple[np.ndarray, np.ndarray]]:
    """`turns (T, 22, 4)` and pelvis `(T, 3)` with feet on the floor where the clip has them there."""
    standing = np.tile(rotations.IDENTITY, (1, len(SMPL), 1))
    stands = whole.turned(standing)
    heights = _places(whole, stands, whole.heads(stands, np.array([[0.0, SMPL.rest_height, 0.0]]), _FEET.flat))[0, ..., 1]
    turned = body.turned(turns)
    heads = body.heads(turned, clip.root, _FEET.flat)
    yield
    strayed = _places(body, turned, heads) - SMPL.positions(turns, clip.root)[:, _FEET]
    moved, feet_moved = yield from plant(clip, strayed, heights - SMPL.rest_heights[_FEET], fixed)
    turns, pelvis = turns.copy(), clip.root + moved
    for side, offset in zip(SIDES, np.moveaxis(feet_moved, 1, 0), strict=True):
        hip, knee, ankle = (SMPL.index(f"{side}_{part}") for part in ("hip", "knee", "ankle"))
        stirred = np.linalg.norm(offset, axis=-1) > _STILL
        if not stirred.any():
            continue
        yield
        start, middle, end = (body.joint(joint, turned, heads)[stirred] for joint in (hip, knee, ankle))
        forward = rotations.rotate(turns[stirred, hip], _FORWARD)
        upper, lower = reach(middle - start, end - middle, end - start + offset[stirred], forward)
        turns[stirred, hip] = rotations.multiply(upper, turns[stirred, hip])
        turns[stirred, knee] = rotations.multiply(lower, turns[stirred, knee])
    return turns, pelvis


def _places(body: Body, turned: np.ndarray, heads: np.ndarray) -> np.ndarray:
    """Where ankles and toes `(T, 2, 2, 3)` are, left before right."""
    return np.stack([body.joint(joint, turned, heads) for joint in _FEET.flat], axis=1).reshape(-1, *_FEET.shape, 3)


_FEET = np.array(SMPL.contact_joints).reshape(2, 2)
