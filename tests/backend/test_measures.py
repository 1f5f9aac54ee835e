"""What is measured on motions made by hand."""

import numpy as np
import pytest

from backend.motion import rotations
from backend.motion.features import joints_to_features
from backend.motion.measures import Measures, in_numbers
from backend.motion.skeleton import SMPL

FRAMES = 80


def features_of(
    turn: float = 0.0,
    step: tuple[float, float, float] = (0.0, 0.0, 0.0),
    left_shoulder: float = 0.0,
    place: tuple[float, float] = (0.0, 0.0),
) -> np.ndarray:
    """Somebody with the arms out who stands at a place, turns by so many degrees in all, moves by a step a second, and turns an arm up."""
    local = np.tile(rotations.IDENTITY, (FRAMES, len(SMPL), 1))
    shares = np.linspace(0.0, 1.0, FRAMES)
    local[:, 0] = rotations.about(np.array([0.0, 1.0, 0.0]), np.radians(turn) * shares)
    local[:, SMPL.index("left_shoulder")] = rotations.about(np.array([0.0, 0.0, 1.0]), np.radians(np.full(FRAMES, left_shoulder)))
    root = np.array([place[0], SMPL.rest_height, place[1]]) + np.arange(FRAMES)[:, None] / SMPL.fps * np.array(step)
    return joints_to_features(SMPL.forward(local, root), SMPL, local)


def test_turns_and_ways_are_told_with_their_sides():
    turned = Measures(features_of(turn=90.0), SMPL)
    assert turned.yaw[-1] - turned.yaw[0] == pytest.approx(90.0, abs=10.0)
    walked = Measures(features_of(step=(0.5, 0.0, 1.0)), SMPL)
    np.testing.assert_allclose(walked.travel.mean(0) * SMPL.fps, [0.5, 1.0], atol=0.02)  # left is +X


def test_joints_are_seen_from_the_pelvis():
    raised = Measures(features_of(turn=120.0, left_shoulder=80.0), SMPL)
    assert (raised.at("left_wrist")[:, 1] > raised.at("head")[:, 1]).all()
    assert (raised.at("right_wrist")[:, 1] < raised.at("head")[:, 1]).all()
    assert raised.at("right_wrist")[:, 0].max() < -0.4  # out to the right all the time, though the heading turns


def test_clips_that_differ_differ_in_numbers_and_those_elsewhere_do_not():
    """A clip is told apart by what happens in it, not by where it is; all of it is of the order of one."""
    clips = [features_of(), features_of(turn=90.0), features_of(step=(0.0, 0.0, 1.0)), features_of(left_shoulder=80.0)]
    told = np.array([in_numbers(features, SMPL) for features in clips])
    assert np.isfinite(told).all() and np.abs(told).max() < 10.0
    apart = np.abs(told[:, None] - told[None]).max(axis=-1)
    assert (apart[~np.eye(len(clips), dtype=bool)] > 0.3).all()
    np.testing.assert_allclose(in_numbers(features_of(turn=90.0, place=(2.0, -3.0)), SMPL), told[1], atol=1e-4)


def test_mirrored_turns_and_ways_have_other_signs():
    left, right = (in_numbers(features_of(turn=sign * 90.0, step=(sign * 0.4, 0.0, 0.5)), SMPL) for sign in (1.0, -1.0))
    changed = np.flatnonzero(np.abs(left - right) > 0.2)
    assert len(changed) > 3
    whole_turn, size_of_turn, aside, ahead = 0, 1, 8, 9
    signed, alike = [whole_turn, aside], [size_of_turn, ahead]
    assert left[whole_turn] > 0.3 and left[aside] > 0.1
    np.testing.assert_allclose(left[signed], -right[signed], atol=0.02)
    np.testing.assert_allclose(left[alike], right[alike], atol=0.02)
