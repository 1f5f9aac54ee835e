"""How an armature stands: which way it faces, how large it is, and how its rest pose becomes the canonical T-pose.

Numpy alone. At rest a rig may hold arms and legs as it likes: the directions of its limbs decide what is a T-pose.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...backend.motion import rotations
from ...backend.motion.skeleton import SMPL

SIDES = ("left", "right")
_HIPS = ("pelvis", "left_hip", "right_hip")
_LEG, _ARM = ("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist")
_NEARLY = np.cos(np.radians(25.0))  # a rig that faces nearly along an axis faces along it: bodies are seldom quite symmetric
_FAR = 0.2  # metres: what is further from the place of the pelvis is not there, as the centre that moves all of an MMD model is not
_STANDING = 0.25  # of the leg's length: how far from the armature's origin the feet of a rig are that stands on it at rest


@dataclass(frozen=True)
class Stance:
    """What the rest pose says once and for all.

    `to_canonical (4,)` turns armature space into the canonical frame, `scale` is armature units per metre there, `origin (3,)`
    the canonical origin in armature space. `turns (22, 4)` turn each joint's bone from rest into the T-pose, canonically.
    """

    to_canonical: np.ndarray
    scale: float
    origin: np.ndarray
    turns: np.ndarray

    def place(self, points: np.ndarray) -> np.ndarray:
        """Points `(..., 3)` of armature space in the canonical frame, metres."""
        return rotations.rotate(self.to_canonical, points - self.origin) / self.scale

    def way_of(self, carry: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The way of what is moved by `carry (T, 4, 4)` in armature space: a turn `(T, 4)` about the origin, then a move `(T, 3)`."""
        axes = carry[:, :3, :3] / np.linalg.norm(carry[:, :3, :3], axis=-2, keepdims=True)
        back = rotations.inverse(self.to_canonical)
        turn = rotations.multiply(rotations.multiply(self.to_canonical, rotations.from_matrix(axes)), back)
        return turn, self.place(carry[:, :3, :3] @ self.place_back(np.zeros(3)) + carry[:, :3, 3])

    def place_back(self, points: np.ndarray) -> np.ndarray:
        """Canonical points `(..., 3)` in armature space."""
        return rotations.rotate(rotations.inverse(self.to_canonical), points) * self.scale + self.origin


def find_stance(at: Mapping[str, np.ndarray], posed_feet: np.ndarray, is_t_pose: bool = False) -> Stance | None:
    """The stance of joints that are `at` their places `(3,)` in armature space at rest; none if no person stands like that.

    Of the joints, feet may be missing. `posed_feet (n, 3)` is where feet are in a pose: an armature whose origin is not on the
    floor at rest, as imported motion capture has it, may have been lifted onto it. With `is_t_pose` the pose is taken for
    the T-pose, whatever the directions of its limbs.
    """
    up = _nearest_axis(at["head"] - (at["left_hip"] + at["right_hip"]) / 2)
    left = _facing(at["left_hip"] - at["right_hip"], up)
    axes = np.stack([left, up, np.cross(left, up)])
    rest = {joint: axes @ place for joint, place in at.items()}
    scale = np.mean([_length(rest, side) for side in SIDES]) / _length(_T_POSE, "left")
    if not left.any() or scale <= 0 or rest["pelvis"][1] <= min(rest[f"{side}_ankle"][1] for side in SIDES):
        return None
    rest["pelvis"] = scale * pelvis_at(*(rest[joint] / scale for joint in _HIPS))
    rest = {f"{side}_foot": rest[f"{side}_ankle"] + _offset(f"{side}_foot") * scale for side in SIDES} | rest
    turns = np.tile(rotations.IDENTITY, (len(SMPL), 1)) if is_t_pose else _turns_to_t_pose(rest)
    height = np.mean([_pelvis_above_foot(rest, side, turns) for side in SIDES])
    floor = min(rest[f"{side}_foot"][1] for side in SIDES)
    if abs(floor) > _STANDING * scale and len(posed_feet):
        lowest = (posed_feet @ up).min()
        floor = min(floor, 0.0, key=lambda level: abs(lowest - level))
    origin = up * (floor + height - scale * SMPL.rest_height)
    return Stance(rotations.from_matrix(axes), float(scale), origin, turns)


def pelvis_at(pelvis: np.ndarray, left_hip: np.ndarray, right_hip: np.ndarray, turn: np.ndarray = rotations.IDENTITY) -> np.ndarray:
    """The place of the pelvis, metres: where its bone is, or if that is far from the hips where a person has it, turned by `turn`."""
    usual = (left_hip + right_hip) / 2 - rotations.rotate(turn, (_offset("left_hip") + _offset("right_hip")) / 2)
    return usual if np.linalg.norm(pelvis - usual) > _FAR else pelvis


def _turns_to_t_pose(rest: Mapping[str, np.ndarray]) -> np.ndarray:
    """Turns `(22, 4)` that bring each limb's bones, one after the other, into the directions of the T-pose.

    Hands go along with their forearms. Feet stand on the floor in both poses: they are turned about the vertical alone. Spines,
    necks and collars are as curved as their makers wanted them.
    """
    turns = np.tile(rotations.IDENTITY, (len(SMPL), 1))
    stages = [[f"{side}_{part}" for side in SIDES for part in parts] for parts in zip(_LEG, _ARM, strict=True)]  # of all limbs at once
    turn = np.tile(rotations.IDENTITY, (len(stages[0]), 1))
    for joints, children in zip(stages, stages[1:], strict=False):
        direction = np.array([rest[child] - rest[joint] for joint, child in zip(joints, children, strict=True)])
        wanted = np.array([_offset(child) for child in children])
        turn = rotations.multiply(rotations.between(rotations.rotate(turn, direction), wanted), turn)
        turns[[SMPL.index(joint) for joint in joints]] = turn
    for side in SIDES:
        turns[SMPL.index(f"{side}_wrist")] = turns[SMPL.index(f"{side}_elbow")]
        foot = rest[f"{side}_foot"] - rest[f"{side}_ankle"]
        if foot[2] > 0:
            turn = rotations.about(np.array([0.0, 1.0, 0.0]), np.arctan2(-foot[0], foot[2]))
            turns[[SMPL.index(f"{side}_ankle"), SMPL.index(f"{side}_foot")]] = turn
    return turns


def _pelvis_above_foot(rest: Mapping[str, np.ndarray], side: str, turns: np.ndarray) -> float:
    chain = ("pelvis", *(f"{side}_{part}" for part in (*_LEG, "foot")))
    bones = np.array([rest[b] - rest[a] for a, b in zip(chain, chain[1:], strict=False)])
    return -float(rotations.rotate(turns[[SMPL.index(joint) for joint in chain[:-1]]], bones)[:, 1].sum())


def _length(places: Mapping[str, np.ndarray], side: str) -> float:
    """Of the leg, from hip to knee to ankle."""
    hip, knee, ankle = (places[f"{side}_{part}"] for part in _LEG)
    return float(np.linalg.norm(knee - hip) + np.linalg.norm(ankle - knee))


def _offset(joint: str) -> np.ndarray:
    assert SMPL.offsets is not None
    return SMPL.offsets[SMPL.index(joint)]


def _facing(left: np.ndarray, up: np.ndarray) -> np.ndarray:
    """The direction of a rig's left: along an axis where it nearly is, else where its hips say."""
    left = rotations.normalise(left - up * (left @ up))
    axis = _nearest_axis(left)
    return axis if left @ axis > _NEARLY else left


def _nearest_axis(direction: np.ndarray) -> np.ndarray:
    axis = np.argmax(np.abs(direction))
    return np.eye(3)[axis] * np.sign(direction[axis])


_T_POSE = dict(zip(SMPL.joints, SMPL.forward(np.tile(rotations.IDENTITY, (len(SMPL), 1)), np.zeros(3)), strict=True))
