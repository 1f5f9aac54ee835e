"""Bone rotations in the form that each bone keeps them in."""

from collections.abc import Callable

import numpy as np
from mathutils import Euler, Quaternion

from ...backend.motion import rotations


def rotation_property(mode: str) -> tuple[str, int]:
    """The property in which a bone or an object with rotation mode `mode` keeps its rotation, and how many elements it has."""
    return {"QUATERNION": ("rotation_quaternion", 4), "AXIS_ANGLE": ("rotation_axis_angle", 4)}.get(mode, ("rotation_euler", 3))


def rotation_channel(mode: str, q: np.ndarray) -> tuple[str, np.ndarray]:
    """The property and its values `(T, 3 or 4)` for rotations `q (T, 4)` of a bone with rotation mode `mode`, free of jumps."""
    q = rotations.continuous(q)
    name, _ = rotation_property(mode)
    if mode == "QUATERNION":
        return name, q
    return name, _to_axis_angle(q) if mode == "AXIS_ANGLE" else to_euler(mode, q)


def rotations_of(mode: str, values: np.ndarray) -> np.ndarray:
    """The rotations `(T, 4)` that values `(T, 3 or 4)` of the property are."""
    if mode == "QUATERNION":
        return rotations.normalise(values)
    if mode == "AXIS_ANGLE":
        return rotations.about(rotations.normalise(values[:, 1:]), values[:, 0])
    return np.array([Euler(angles, mode).to_quaternion() for angles in values])


def _to_axis_angle(q: np.ndarray) -> np.ndarray:
    """Angle and axis `(T, 4)`; where there is no rotation the axis stays that of the frame before."""
    axes, angles = np.empty((len(q), 3)), np.empty(len(q))
    axis = np.array([0.0, 1.0, 0.0])
    for frame, (w, vector) in enumerate(zip(q[:, 0], q[:, 1:], strict=True)):
        sine = np.linalg.norm(vector)
        if sine > 1e-6:
            axis = vector / sine * (1.0 if np.dot(vector, axis) >= 0 else -1.0)
        axes[frame], angles[frame] = axis, 2.0 * np.arctan2(np.dot(vector, axis), w)
    return np.concatenate([np.unwrap(angles)[:, None], axes], axis=-1)


def to_euler(order: str, q: np.ndarray) -> np.ndarray:
    """Angles `(T, 3)`, each frame's of the equal ones those nearest to the frame before."""
    angles = [Quaternion(q[0]).to_euler(order)]
    for rotation in q[1:]:
        angles.append(Quaternion(rotation).to_euler(order, angles[-1]))
    return np.array(angles)


def nearest_form(property: str, values: np.ndarray, reference: np.ndarray, mode: str = "") -> np.ndarray:
    """Of the ways to say the same rotations `values (T, n)` that whose first is nearest to `reference (n,)`; places are as they are.

    With the rotation `mode`, Euler angles may also be turned over: half turns of the outer two and the middle one to the other side.
    """
    if property == "rotation_quaternion":
        return values if values[0] @ reference >= 0 else -values
    if property == "rotation_euler":
        forms = [values]
        if sorted(mode) == ["X", "Y", "Z"]:
            middle = "XYZ".index(mode[1])
            forms.append(values + np.pi)
            forms[1][:, middle] = np.pi - values[:, middle]
        forms = [form + 2 * np.pi * np.round((reference - form[0]) / (2 * np.pi)) for form in forms]
        return min(forms, key=lambda form: np.abs(form[0] - reference).sum())
    if property == "rotation_axis_angle" and values[0, 1:] @ reference[1:] < 0:
        return -values
    return values


def form_changes(property: str, values: np.ndarray) -> np.ndarray:
    """The frames at which `values (T, n)` say the rotation in another form than before, so that between them is no motion."""
    if property == "rotation_quaternion":
        changed = np.sum(values[1:] * values[:-1], axis=-1) < 0
    elif property == "rotation_euler":
        changed = np.any(np.abs(np.diff(values, axis=0)) > np.pi, axis=-1)
    elif property == "rotation_axis_angle":
        changed = np.sum(values[1:, 1:] * values[:-1, 1:], axis=-1) < 0
    else:
        changed = np.zeros(len(values) - 1, dtype=bool)
    return np.flatnonzero(changed) + 1


def distance_of(property: str) -> tuple[Callable[[np.ndarray, np.ndarray], np.ndarray], bool]:
    """How far two rows of values `(T, n)` lie apart, and whether that is an angle in radians (at most, for Euler angles)."""
    if property == "rotation_quaternion":
        return lambda a, b: 2 * np.arccos(np.clip(np.sum(rotations.normalise(a) * b, axis=-1), -1, 1)), True
    if property in ("rotation_euler", "rotation_axis_angle"):
        return lambda a, b: np.abs(a - b).sum(axis=-1), True
    return lambda a, b: np.linalg.norm(a - b, axis=-1), False
