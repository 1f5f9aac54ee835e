"""The file is read back and posed by a reader of its own, which knows nothing of how it was written."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from backend.motion import rotations
from backend.motion.bvh import to_bvh, to_zxy
from backend.motion.skeleton import KIT, SMPL


@dataclass
class Node:
    name: str
    offset: np.ndarray = field(default_factory=lambda: np.zeros(3))
    channels: list[str] = field(default_factory=list)
    children: list["Node"] = field(default_factory=list)


def read_bvh(text: str) -> tuple[Node, np.ndarray, float]:
    """The root of the hierarchy, the rows of numbers, and the seconds of a frame."""
    hierarchy, motion = text.split("MOTION\n")
    stack = [Node("file")]
    for words in map(str.split, hierarchy.splitlines()[1:]):
        match words:
            case ["ROOT" | "JOINT", name]:
                stack[-1].children.append(Node(name))
            case ["End", "Site"]:
                stack[-1].children.append(Node("end"))
            case ["{"]:
                stack.append(stack[-1].children[-1])
            case ["}"]:
                stack.pop()
            case ["OFFSET", *numbers]:
                stack[-1].offset = np.array(numbers, dtype=float)
            case ["CHANNELS", count, *names]:
                assert len(names) == int(count)
                stack[-1].channels = names
            case _:
                raise AssertionError(words)
    frames, time, *rows = motion.strip().splitlines()
    numbers = np.array([row.split() for row in rows], dtype=float)
    assert frames == f"Frames: {len(numbers)}"
    return stack[0].children[0], numbers, float(time.removeprefix("Frame Time:"))


def turn(axis: str, degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return {
        "X": np.array([[1, 0, 0], [0, c, -s], [0, s, c]]),
        "Y": np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]),
        "Z": np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]),
    }[axis]


def pose(node: Node, numbers: list[float], place: np.ndarray, orientation: np.ndarray) -> dict[str, np.ndarray]:
    """Where every joint is; `numbers` are eaten in the order of the file."""
    offset = node.offset.copy()
    rotation = np.eye(3)
    for channel in node.channels:
        value = numbers.pop(0)
        if channel.endswith("position"):
            offset["XYZ".index(channel[0])] += value
        else:
            rotation = rotation @ turn(channel[0], value)
    here = place + orientation @ offset
    places = {node.name: here}
    for child in node.children:
        places |= pose(child, numbers, here, orientation @ rotation)
    return places


def random_motion(frames: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(4)
    steps = rotations.from_vector(random.normal(scale=0.15, size=(frames, len(SMPL), 3)))
    local = np.empty_like(steps)
    local[0] = rotations.normalise(random.normal(size=(len(SMPL), 4)))
    for t in range(1, frames):
        local[t] = rotations.multiply(local[t - 1], steps[t])
    return local, random.normal(size=(frames, 3)).cumsum(axis=0) * 0.05


def test_the_file_poses_the_joints_where_they_were():
    local, root = random_motion(60)
    file_root, rows, seconds = read_bvh(to_bvh(local, root, 30.0))
    joints = SMPL.forward(local, root)
    assert seconds == pytest.approx(1 / 30)
    for row, expected in zip(rows, joints, strict=True):
        numbers = list(row)
        places = pose(file_root, numbers, np.zeros(3), np.eye(3))
        assert not numbers
        for name, position in zip(SMPL.joints, expected, strict=True):
            np.testing.assert_allclose(places[name] / 100.0, position, atol=1e-5)


def test_angles_follow_many_turns_without_a_jump():
    angle = np.linspace(0.0, 6.0 * np.pi, 200)
    for axis, column in (((0, 0, 1), 0), ((0, 1, 0), 2)):
        angles = to_zxy(rotations.about(np.array(axis, dtype=float), angle))
        np.testing.assert_allclose(angles[:, column], angle, atol=1e-6)


def test_angles_pass_through_gimbal_lock_without_a_jump():
    angle = np.linspace(0.0, 2.0 * np.pi, 181)  # meets 90 and 270 degrees exactly
    tilt = rotations.multiply(rotations.about(np.array([0.0, 0.0, 1.0]), np.array(0.5)), rotations.about(np.array([1.0, 0.0, 0.0]), angle))
    angles = to_zxy(tilt)
    assert np.abs(np.diff(angles, axis=0)).max() < 0.05
    np.testing.assert_allclose(angles[:, 1], angle, atol=1e-5)


def test_random_angles_never_jump_by_half_a_circle():
    local, _ = random_motion(400)
    assert np.abs(np.diff(to_zxy(local), axis=0)).max() <= np.pi + 1e-9


def test_a_skeleton_without_t_pose_is_refused():
    with pytest.raises(ValueError, match="T-pose"):
        to_bvh(np.tile(rotations.IDENTITY, (2, len(KIT), 1)), np.zeros((2, 3)), 20.0, KIT)
