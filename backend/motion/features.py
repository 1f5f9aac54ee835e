"""Motion features of HumanML3D (263 numbers a frame) and KIT-ML (251), from joint positions and back.

Guo et al., "Generating Diverse and Natural 3D Human Motions from Text" (CVPR 2022). F frames of positions give F - 1
frames of features. With J joints the blocks of a frame are: yaw velocity of the root (half an angle, radians), its x and z
velocity in the heading frame, its height; positions of the other joints without root and heading; rotations of the other
joints (6 numbers each); velocities of all joints in the heading frame; contacts of the feet.

There are two forms. In the data sets' own the rotation block is the shortest turn from a fixed axis to each bone and says
nothing that the positions do not; its heading follows the shoulders less the hips (the reference code swaps the hips, and
published statistics and weights live with that). In the form of bundles trained here the block holds the true
parent-relative rotations, the heading is that of shoulders and hips together, smoothed over a quarter of a second, and a
foot joint in contact must be slow and low (the data sets' labels know no height and allow 0.9 m/s).
"""

from dataclasses import dataclass

import numpy as np

from . import rotations
from .skeleton import Skeleton
from .smooth import gaussian

_UP = np.array([0.0, 1.0, 0.0])
_FORWARD = np.array([0.0, 0.0, 1.0])

# The form with true rotations: sigma in frames of the heading's filter, and what counts as a resting foot joint.
_HEADING_SIGMA = 5
_RESTING_STEP = 0.02  # metres a frame
_RESTING_HEIGHT = 0.06  # metres above its height in T-pose


@dataclass(frozen=True)
class Layout:
    """Where each block of a feature frame lies, for a skeleton of `joints` joints."""

    joints: int

    @property
    def yaw(self) -> slice:
        return slice(0, 1)

    @property
    def travel(self) -> slice:
        return slice(1, 3)

    @property
    def height(self) -> slice:
        return slice(3, 4)

    @property
    def positions(self) -> slice:
        return slice(4, 4 + 3 * (self.joints - 1))

    @property
    def rotations(self) -> slice:
        return slice(self.positions.stop, self.positions.stop + 6 * (self.joints - 1))

    @property
    def velocities(self) -> slice:
        return slice(self.rotations.stop, self.rotations.stop + 3 * self.joints)

    @property
    def contacts(self) -> slice:
        return slice(self.velocities.stop, self.velocities.stop + 4)

    @property
    def size(self) -> int:
        return self.contacts.stop


def facing(joints: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Direction `(..., 3)` on the floor that hips and shoulders of `joints (..., J, 3)` face."""
    hips, shoulders = _across(joints, skeleton)
    return rotations.normalise(np.cross(_UP, hips + shoulders))


def turn_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The rotation about the vertical `(..., 4)` that turns direction `a` on the floor into `b`, both `(..., 3)`."""
    a, b = np.broadcast_arrays(a, b)
    return rotations.about(_UP, np.arctan2(np.cross(a, b)[..., 1], np.sum(a * b, axis=-1)))


def to_origin(joints: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Put a clip `(T, J, 3)` on the floor, its first frame above the origin, and turn `direction (3,)` to +Z."""
    turned = rotations.rotate(turn_between(direction, _FORWARD), joints)
    start = turned[0, 0]
    return turned - np.array([start[0], turned[..., 1].min(), start[2]])


def joints_to_features(joints: np.ndarray, skeleton: Skeleton, local: np.ndarray | None = None) -> np.ndarray:
    """Features `(T - 1, D)` of joint positions `(T, J, 3)` in the skeleton's units; the clip is moved to the origin first.

    With parent-relative rotations `local (T, J, 4)` the features have the form of bundles trained here, without them the
    data sets' own.
    """
    if len(joints) < 2:
        raise ValueError("Features need at least two frames of positions.")
    joints = np.asarray(joints, dtype=np.float64)
    if local is None:
        joints = to_origin(joints, facing(joints[0], skeleton))
        hips, shoulders = _across(joints, skeleton)
        across = rotations.normalise(shoulders - hips)
        forward = rotations.normalise(gaussian(np.cross(_UP, across), skeleton.heading_smoothing))
        forward[0] = _FORWARD  # as the data sets have it
    else:
        forward = rotations.normalise(gaussian(facing(joints, skeleton), _HEADING_SIGMA))
        unturn = turn_between(forward[0], _FORWARD)
        joints, forward = to_origin(joints, forward[0]), rotations.rotate(unturn, forward)
    unturn = turn_between(forward, _FORWARD)  # from the world into the heading frame

    steps = np.diff(joints, axis=0)
    turn = rotations.multiply(unturn[1:], rotations.inverse(unturn[:-1]))
    yaw = np.arcsin(np.clip(turn[:, 2:3] * np.where(turn[:, :1] < 0, -1.0, 1.0), -1.0, 1.0))
    travel = rotations.rotate(unturn[1:], steps[:, 0])[:, [0, 2]]
    height = joints[:-1, 0, 1:2]
    around_root = joints - joints[:, :1] * np.array([1.0, 0.0, 1.0])
    positions = rotations.rotate(unturn[:, None], around_root)[:-1, 1:]
    velocities = rotations.rotate(unturn[:-1, None], steps)
    travelled = np.sum(steps[:, list(skeleton.contact_joints)] ** 2, axis=-1)
    if local is None:
        local = _shortest_turns(joints, unturn, skeleton)
        resting = travelled < skeleton.contact_threshold
    else:
        heights = joints[:-1, list(skeleton.contact_joints), 1] - skeleton.rest_heights[list(skeleton.contact_joints)]
        resting = (travelled < _RESTING_STEP**2) & (heights < _RESTING_HEIGHT)
    turns = rotations.to_6d(local[:-1, 1:])
    blocks = (yaw, travel, height, positions, turns, velocities, resting)
    return np.concatenate([b.reshape(len(steps), -1) for b in blocks], axis=-1).astype(np.float32)


def pose_to_features(joints: np.ndarray, local: np.ndarray | None, skeleton: Skeleton) -> np.ndarray:
    """The feature frame `(D,)` of a pose held still: `joints (J, 3)` above the floor y = 0, parent-relative `local (J, 4)`.

    Without rotations it has the data sets' own form.
    """
    layout = Layout(len(skeleton))
    unturn = turn_between(facing(joints, skeleton), _FORWARD)
    turned = rotations.rotate(unturn, joints)
    turns = _shortest_turns(turned[None], rotations.IDENTITY[None], skeleton)[0] if local is None else local
    frame = np.zeros(layout.size, dtype=np.float32)
    frame[layout.height] = joints[0, 1]
    frame[layout.positions] = (turned[1:] - turned[0] * [1.0, 0.0, 1.0]).ravel()
    frame[layout.rotations] = rotations.to_6d(turns[1:]).ravel()
    return hold(frame, layout)


def hold(frame: np.ndarray, layout: Layout) -> np.ndarray:
    """A feature frame `(D,)` as it is when the character stands still in that pose: no velocity, feet at rest."""
    held = np.array(frame)
    for block in (layout.yaw, layout.travel, layout.velocities):
        held[block] = 0.0
    held[layout.contacts] = 1.0
    return held


def mirrored(features: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Features `(..., D)` of the same motion with left and right exchanged."""
    layout, twins = Layout(len(skeleton)), np.array(skeleton.mirrored)
    order, signs = np.arange(layout.size), np.ones(layout.size)
    signs[[layout.yaw.start, layout.travel.start]] = -1.0  # to the right, and aside
    # Of a rotation the first two columns are there; the mirror turns round what leads from the side to the other axes, and back.
    for block, joints, sign in (
        (layout.positions, twins[1:] - 1, (-1, 1, 1)),
        (layout.rotations, twins[1:] - 1, (1, -1, -1, -1, 1, 1)),
        (layout.velocities, twins, (-1, 1, 1)),
    ):
        order[block] = (block.start + joints[:, None] * len(sign) + np.arange(len(sign))).ravel()
        signs[block] = np.tile(sign, len(joints))
    order[layout.contacts] = np.roll(order[layout.contacts], 2)
    return (features[..., order] * signs).astype(features.dtype)


def retime(features: np.ndarray, layout: Layout, frames: int) -> np.ndarray:
    """The same motion in another number of frames, `(T, D)` to `(frames, D)`: slower if they are more, faster if fewer.

    ValueError if either has fewer than two frames.
    """
    if min(len(features), frames) < 2:
        raise ValueError("Motion needs at least two frames.")
    at = np.linspace(0.0, len(features) - 1.0, frames)
    before = np.minimum(at.astype(int), len(features) - 2)
    share = (at - before)[:, None]
    changed = features[before] * (1.0 - share) + features[before + 1] * share
    for block in (layout.yaw, layout.travel, layout.velocities):
        changed[:, block] *= (len(features) - 1.0) / (frames - 1.0)
    changed[:, layout.contacts] = changed[:, layout.contacts] > 0.5
    return changed.astype(np.float32)


def features_to_root(features: np.ndarray, skeleton: Skeleton) -> tuple[np.ndarray, np.ndarray]:
    """The heading `(T, 4)` (turns +Z into the character's heading) and the place of the root `(T, 3)`, by integration."""
    layout = Layout(len(skeleton))
    features = np.asarray(features, dtype=np.float64)
    half = np.concatenate([[0.0], np.cumsum(features[:-1, 0])])
    heading = rotations.about(-_UP, 2.0 * half)
    step = np.zeros((len(features), 3))
    step[1:, [0, 2]] = features[:-1, layout.travel]
    root = np.cumsum(rotations.rotate(heading, step), axis=0)
    root[:, 1] = features[:, 3]
    return heading, root


def features_to_joints(features: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Joint positions `(T, J, 3)` of features `(T, D)`, in the skeleton's units."""
    heading, root = features_to_root(features, skeleton)
    block = np.asarray(features[:, Layout(len(skeleton)).positions], dtype=np.float64)
    around = rotations.rotate(heading[:, None], block.reshape(len(features), -1, 3))
    return np.concatenate([root[:, None], around + root[:, None] * np.array([1.0, 0.0, 1.0])], axis=1)


def features_to_local(features: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """The rotation block of features `(T, D)` as quaternions `(T, J - 1, 4)`, the root's left out."""
    block = features[:, Layout(len(skeleton)).rotations]
    return rotations.from_6d(block.reshape(len(features), -1, 6))


def features_to_contacts(features: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Contact labels `(T, 4)` of features `(T, D)`: booleans, left before right."""
    return features[:, Layout(len(skeleton)).contacts] > 0.5


def _across(joints: np.ndarray, skeleton: Skeleton) -> tuple[np.ndarray, np.ndarray]:
    """The vectors `(..., 3)` from the left to the right hip and from the left to the right shoulder."""
    at = {side: joints[..., skeleton.index(name), :] for side, name in skeleton.across.items()}
    return at["right_hip"] - at["left_hip"], at["right_shoulder"] - at["left_shoulder"]


def _shortest_turns(joints: np.ndarray, unturn: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """The data sets' rotations `(T, J, 4)`: per chain the shortest turn from the zero pose's axis to the bone."""
    turns = np.tile(rotations.IDENTITY, (*joints.shape[:2], 1))
    turns[:, 0] = unturn
    for chain in skeleton.chains:
        turned = unturn
        for parent, child in zip(chain, chain[1:], strict=False):
            bone = rotations.between(skeleton.directions[child], joints[:, child] - joints[:, parent])
            turns[:, child] = rotations.multiply(rotations.inverse(turned), bone)
            turned = bone
    return turns
