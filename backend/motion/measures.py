"""What is measured on a clip, frame by frame and as a whole: how it travels and turns, how high hands and feet are, how fast."""

from typing import Any

import numpy as np

from .features import features_to_joints, features_to_root
from .rotations import inverse, rotate
from .skeleton import Skeleton

_SIDES = ("left", "right")

_Numbers = list[float | np.floating[Any]]


class Measures:
    """Of a clip's features `(T, D)`, per frame: metres, seconds, degrees; `side` is left or right."""

    def __init__(self, features: np.ndarray, skeleton: Skeleton) -> None:
        self.skeleton, self.fps = skeleton, skeleton.fps
        self.heading, root = features_to_root(features, skeleton)
        self.root = root * skeleton.metres_per_unit
        self.joints = features_to_joints(features, skeleton) * skeleton.metres_per_unit
        self.around = rotate(inverse(self.heading)[:, None], self.joints - self.joints[:, :1])  # left +X, ahead +Z
        self.height = self.joints[:, 0, 1] / skeleton.rest_height
        self.yaw = np.degrees(np.unwrap(2.0 * np.arctan2(self.heading[:, 2], self.heading[:, 0])))
        self.travel = rotate(inverse(self.heading[:-1]), np.diff(self.root, axis=0))[:, [0, 2]]

    def at(self, joint: str) -> np.ndarray:
        """The joint's place `(T, 3)` seen from the pelvis and the heading."""
        return self.around[:, self.skeleton.index(joint)]

    def above_floor(self, joint: str) -> np.ndarray:
        """How far `(T,)` a joint is above its height in T-pose."""
        index = self.skeleton.index(joint)
        return self.joints[:, index, 1] - self.skeleton.rest_heights[index]

    def speed(self, joint: str) -> np.ndarray:
        """Speed `(T,)` seen from the pelvis."""
        return np.linalg.norm(np.gradient(self.at(joint), axis=0), axis=-1) * self.fps

    @property
    def each_foot_above_floor(self) -> np.ndarray:
        """How far `(2, T)` the lowest part of each foot is off the floor, left before right."""
        return np.array([np.min([self.above_floor(f"{side}_{part}") for part in ("ankle", "foot")], axis=0) for side in _SIDES])

    @property
    def feet_above_floor(self) -> np.ndarray:
        """How far `(T,)` the lowest part of both feet is off the floor."""
        return self.each_foot_above_floor.min(axis=0)

    @property
    def lean(self) -> np.ndarray:
        """The angle `(T,)` of the trunk to the vertical."""
        trunk = self.at("neck")
        return np.degrees(np.arccos(np.clip(trunk[:, 1] / np.linalg.norm(trunk, axis=-1), -1.0, 1.0)))


def in_numbers(features: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """A whole clip, features `(T, D)`, in some seventy numbers of the order of one: what its caption may tell of."""
    clip = Measures(features, skeleton)
    limbs = [_of_limbs(clip, side) for side in _SIDES]
    return np.array([*_of_turn(clip), *_of_travel(clip), *limbs[0], *limbs[1], *_of_body(clip)], dtype=np.float32)


def _of_turn(clip: Measures) -> _Numbers:
    turned = np.radians(clip.yaw - clip.yaw[0])
    whole = turned[-1]
    around = [np.sin(whole), np.cos(whole), np.sin(whole / 2), np.cos(whole / 2)]
    return [whole / 3, abs(whole) / 3, turned.max() / 3, turned.min() / 3, *around]


def _of_travel(clip: Measures) -> _Numbers:
    way = rotate(inverse(clip.heading[0]), clip.root[-1] - clip.root[0])[[0, 2]]
    steps = clip.travel * clip.fps
    speed, (aside, ahead) = np.linalg.norm(steps, axis=-1), steps.T
    paces = [speed.mean(), speed.max(), speed.std(), aside.mean(), np.abs(aside).mean(), ahead.mean(), ahead.min(), ahead.max()]
    return [*way, np.linalg.norm(way), *paces, len(clip.root) / clip.fps / 5]


def _of_limbs(clip: Measures, side: str) -> _Numbers:
    wrist, ankle, knee = (clip.at(f"{side}_{joint}") for joint in ("wrist", "ankle", "knee"))
    over_head, reach = wrist[:, 1] - clip.at("head")[:, 1], wrist - clip.at(f"{side}_shoulder")
    hand, foot, lifted = clip.speed(f"{side}_wrist"), clip.speed(f"{side}_ankle"), clip.above_floor(f"{side}_ankle")
    arm = [over_head.max(), over_head.mean(), wrist[:, 1].min(), reach[:, 0].max(), reach[:, 0].min(), reach[:, 2].max()]
    arm += [reach[:, 1].max(), reach[:, 1].mean(), wrist.std(axis=0).sum()]
    arm += [hand.mean() / 2, np.percentile(hand, 95) / 3, hand.max() / 4]
    leg = [lifted.max(), np.percentile(lifted, 90), lifted.mean(), foot.max() / 4]
    return [*arm, *leg, ankle[:, 2].max(), ankle[:, 2].min(), ankle[:, 1].max(), knee[:, 1].max()]


def _of_body(clip: Measures) -> _Numbers:
    height, lean, off_floor = clip.height, clip.lean / 90, clip.feet_above_floor
    hands, feet = (np.linalg.norm(clip.at(f"left_{joint}") - clip.at(f"right_{joint}"), axis=-1).mean() for joint in ("wrist", "ankle"))
    stirring = np.linalg.norm(np.diff(clip.around, axis=0), axis=-1).mean() * clip.fps
    pelvis = [height.min(), height.max(), height.mean(), height[0], height[-1], height.std() * 5]
    whole = [lean.max(), lean.mean(), off_floor.max() * 3, (off_floor > 0.08).mean(), clip.at("head")[:, 1].min()]
    return [*pelvis, *whole, hands, feet, stirring]
