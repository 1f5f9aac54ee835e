"""A clip on a body of other proportions: the directions of the bones are the clip's, feet and way through space fit the body."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...backend.motion import rotations
from ...backend.motion.clip import Clip
from ...backend.motion.fit import fades
from ...backend.motion.limbs import LIMBS, reach
from ...backend.motion.skeleton import SMPL
from ...backend.protocol.messages import Pose
from ..steps import Steps
from .body import Body, Pole
from .planting import plant
from .stance import SIDES

_STILL = 1e-6  # metres
_STRAIGHT = (0.003, 0.012)  # how far out of line its middle joint is, per its length, below which a limb is straight and above which bent
_UP = np.array([0.0, 1.0, 0.0])
_HOLD_SECONDS = 1.0  # before and after a pose that limbs are held in, in which they go over to it
_STRETCH = 0.999  # share of its length to which a limb is then stretched before the body comes nearer


@dataclass(frozen=True)
class Motion:
    """Rotations `turned (T, n, 4)` of a body's bones, places `heads (T, n, 3)` of their heads, all in the canonical frame.

    Bones that do not inherit rotations turn by `loose (T, 4)` nevertheless.
    """

    turned: np.ndarray
    heads: np.ndarray
    loose: np.ndarray


def retarget(
    body: Body, clip: Clip, fixed: Sequence[int], whole: Body | None = None, held: Sequence[Pose] = (), closed: bool = False
) -> Steps[Motion]:
    """The motion of a body that does what the clip shows, worked out in steps.

    At the frames `fixed` are poses of this very body, which come out as they were, and so do hands and feet of those `held`, if they
    are in reach. `whole` is the body with limbs of their full lengths, by which its feet are judged to stand on the floor, if it is
    not that itself. A `closed` clip is a loop that ends in its first frame.
    """
    turns, pelvis = SMPL.to_global(clip.local), clip.root
    if clip.contacts.any():
        yield
        turns, pelvis = yield from _plant_feet(body, whole or body, clip, turns, fixed)
    if held:
        turns, pelvis = yield from _hold_limbs(body, clip, turns, pelvis, fixed, held, closed)
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
    turns = turns.copy()
    for side, offset in zip(SIDES, np.moveaxis(feet_moved, 1, 0), strict=True):
        yield
        _bend(body, turned, heads, turns, f"{side}_foot", offset)
    return turns, clip.root + moved


def _hold_limbs(
    body: Body, clip: Clip, turns: np.ndarray, pelvis: np.ndarray, fixed: Sequence[int], held: Sequence[Pose], closed: bool
) -> Steps[tuple[np.ndarray, np.ndarray]]:
    """`turns (T, 22, 4)` and pelvis `(T, 3)` with hands and feet where they are in the poses that they are `held` in.

    There they are in the clip, too, but a body of other proportions has them elsewhere with the clip's turns. All of it moves as far
    as its limbs are too short, but for the frames `fixed`. What is held in a loop is so in the cycles before and after, too, or its ends
    would not meet.
    """
    all_, frames = range(len(SMPL)), np.array([pose.frame for pose in held])
    turned = body.turned(turns)
    heads = body.heads(turned, pelvis, all_)
    yield
    wanted = body.turned(SMPL.to_global(np.stack([pose.rotations for pose in held])))
    goals = body.heads(wanted, np.stack([pose.root_translation for pose in held]), all_)
    length, turned_on = len(clip) - 1, rotations.multiply(turns[-1, 0], rotations.inverse(turns[0, 0]))
    cycles = {0: rotations.IDENTITY} | ({-length: rotations.inverse(turned_on), length: turned_on} if closed else {})
    bound = np.unique([frame + away for away in cycles for frame in (*frames, *fixed)])
    fading = fades(bound, len(clip), np.full(len(bound), _HOLD_SECONDS * clip.fps))

    def spread(offsets: np.ndarray) -> np.ndarray:
        parts = [fading[np.searchsorted(bound, frames + away)].T @ rotations.rotate(turn, offsets) for away, turn in cycles.items()]
        return np.sum(parts, axis=0)

    missing, shift = {limb: np.zeros((len(frames), 3)) for limb in LIMBS}, np.zeros((len(frames), 3))
    for number, (limb, offsets) in enumerate(missing.items()):
        joints = LIMBS[limb].joints(SMPL)
        start, middle, end = (body.joint(joint, turned, heads)[frames] for joint in joints)
        places = body.joint(joints[2], wanted, goals)
        places = [place if pose.ends is None else pose.ends[number] for pose, place in zip(held, places, strict=True)]
        longest = np.linalg.norm(middle - start, axis=-1) + np.linalg.norm(end - middle, axis=-1)
        for i, pose in enumerate(held):
            if limb in pose.only:
                offsets[i], way = places[i] - end[i], places[i] - start[i] - shift[i]
                shift[i] += rotations.normalise(way) * max(0.0, np.linalg.norm(way) - _STRETCH * longest[i])
    moved, turns = spread(shift), turns.copy()
    heads = heads + moved[:, None]
    for limb, offsets in missing.items():
        if limb.endswith("foot") or any(limb in pose.only for pose in held):
            yield
            _bend(body, turned, heads, turns, limb, spread(offsets) - moved)
    return turns, pelvis + moved


def _bend(body: Body, turned: np.ndarray, heads: np.ndarray, turns: np.ndarray, limb: str, offset: np.ndarray) -> None:
    """Write into `turns (T, 22, 4)`, at which a body is `turned` and has its `heads`, what moves the end of a limb by `offset (T, 3)`."""
    stirred = np.linalg.norm(offset, axis=-1) > _STILL
    if not stirred.any():
        return
    joints = LIMBS[limb].joints(SMPL)
    start, middle, end = (body.joint(joint, turned, heads)[stirred] for joint in joints)
    forward = rotations.rotate(turns[stirred, joints[0]], np.array(LIMBS[limb].bends))
    for joint, turn in zip(joints[:2], reach(middle - start, end - middle, end - start + offset[stirred], forward), strict=True):
        turns[stirred, joint] = rotations.multiply(turn, turns[stirred, joint])


def _places(body: Body, turned: np.ndarray, heads: np.ndarray) -> np.ndarray:
    """Where ankles and toes `(T, 2, 2, 3)` are, left before right."""
    return np.stack([body.joint(joint, turned, heads) for joint in _FEET.flat], axis=1).reshape(-1, *_FEET.shape, 3)


_FEET = np.array(SMPL.contact_joints).reshape(2, 2)
