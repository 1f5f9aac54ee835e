"""A clip that turns as far as was asked: where it turns, it does so more or less fast, and its path bends with it."""

import numpy as np

from .features import Layout
from .path import SWAY_SECONDS
from .skeleton import Skeleton
from .smooth import gaussian

_FASTEST = 3.0  # times as fast as the clip turns by itself; beyond that steps are none any more


def turned(features: np.ndarray, skeleton: Skeleton, degrees: float, either: bool = False) -> tuple[np.ndarray, float]:
    """Features `(T, D)` that turn by `degrees`, to the left if above zero, from first frame to last, and how many they missed it by.

    `either`: to whichever side they turn by themselves. What turns the other way stays. A clip that would have to turn more than
    three times as fast as it does is left short of the angle.
    """
    if len(features) < 2:
        return features, abs(degrees)
    yaw = Layout(len(skeleton)).yaw.start
    steps = -2.0 * np.degrees(features[:-1, yaw].astype(np.float64))  # half angles, to the right
    if either and steps.sum() < 0.0:
        degrees = -degrees
    missing = np.sign(degrees) * (degrees - steps.sum())
    going = np.maximum(gaussian(steps[:, None], SWAY_SECONDS * skeleton.fps)[:, 0] * np.sign(degrees), 0.0)
    if not going.any():
        return features, abs(float(missing))
    steps += np.sign(degrees) * going * np.clip(missing / going.sum(), -1.0, _FASTEST - 1.0)
    bent = features.copy()
    bent[:-1, yaw] = np.radians(steps) / -2.0
    return bent, abs(float(missing))
