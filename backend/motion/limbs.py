"""Two-bone inverse kinematics: a limb that reaches for a point, in closed form."""

from dataclasses import dataclass

import numpy as np

from . import rotations
from .skeleton import Skeleton

_STRAIGHT = (1e-4, 5e-4)  # how far out of line the middle joint is, per length of the limb, below which it is straight and above which bent


@dataclass(frozen=True)
class Limb:
    """A limb's joints from the trunk outwards, and where the middle one goes when it bends, in the frame of the upper bone in T-pose.

    `stretch` is the share of its length to which it is stretched at most for the sake of a point: arms seldom are straight.
    """

    start: str
    middle: str
    end: str
    bends: tuple[float, float, float]
    stretch: float

    def joints(self, skeleton: Skeleton) -> tuple[int, int, int]:
        return skeleton.index(self.start), skeleton.index(self.middle), skeleton.index(self.end)


LIMBS = {
    f"{side}_{name}": Limb(f"{side}_{start}", f"{side}_{middle}", f"{side}_{end}", bends, stretch)
    for side in ("left", "right")
    for name, start, middle, end, bends, stretch in (
        ("hand", "shoulder", "elbow", "wrist", (0.0, 0.0, -1.0), 0.95),
        ("foot", "hip", "knee", "ankle", (0.0, 0.0, 1.0), 1.0),
    )
}


def reach(
    upper: np.ndarray, lower: np.ndarray, goal: np.ndarray, forward: np.ndarray, stretch: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """The turns `(..., 4)` of a limb's two bones that bring its end to `goal`, seen from its start.

    `upper`, `lower` are the bones and `goal` the point, all `(..., 3)`. The limb stays in its plane, swung with its end; where it is
    straight it bends towards `forward (..., 3)`. It is stretched to the share `stretch` of its length at most, and then
    ends short of a goal that is farther.
    """
    a, b = np.linalg.norm(upper, axis=-1, keepdims=True), np.linalg.norm(lower, axis=-1, keepdims=True)
    end = upper + lower
    along, distance = rotations.normalise(goal), np.linalg.norm(goal, axis=-1, keepdims=True)
    distance = np.clip(distance, np.abs(a - b), (a + b) * stretch)
    swing = rotations.between(end, goal)
    middle, forward = rotations.rotate(swing, upper), forward / np.maximum(np.linalg.norm(forward, axis=-1, keepdims=True), 1e-9)
    out = _across(middle, along) / (a + b)
    low, high = _STRAIGHT
    bent = np.clip((np.linalg.norm(out, axis=-1, keepdims=True) - low) / (high - low), 0.0, 1.0)
    side = rotations.normalise(bent * rotations.normalise(out) + (1.0 - bent) * rotations.normalise(_across(forward, along)))
    x = (distance**2 + a**2 - b**2) / (2.0 * np.maximum(distance, 1e-9))
    knee = along * x + side * np.sqrt(np.maximum(a**2 - x**2, 0.0))
    return (
        rotations.multiply(rotations.between(middle, knee), swing),
        rotations.multiply(rotations.between(rotations.rotate(swing, lower), along * distance - knee), swing),
    )


def _across(vector: np.ndarray, along: np.ndarray) -> np.ndarray:
    """The part of `vector` that is square to unit `along`."""
    return vector - along * np.sum(vector * along, axis=-1, keepdims=True)
