"""Turns: as far as was asked, where the clip turns by itself."""

import numpy as np
import pytest

from backend.motion import rotations
from backend.motion.features import Layout, features_to_joints, features_to_root
from backend.motion.skeleton import SMPL
from backend.motion.turn import turned

YAW = Layout(len(SMPL)).yaw.start
FRAMES = 61


def walk(*degrees: float) -> np.ndarray:
    """Features of a walk that turns by so many degrees to the left, evenly one after another, and sways."""
    features = np.zeros((FRAMES, Layout(len(SMPL)).size), dtype=np.float32)
    features[:, Layout(len(SMPL)).travel.start + 1] = 0.06
    each = np.repeat(degrees, (FRAMES - 1) // len(degrees)) / ((FRAMES - 1) // len(degrees))
    features[:-1, YAW] = np.radians(each + 2.0 * np.sin(np.arange(FRAMES - 1) * 2 * np.pi / 20)) / -2.0
    return features


def angle(features: np.ndarray) -> float:
    """How far it turns to the left, by where it faces."""
    heading, _ = features_to_root(features, SMPL)
    ahead = rotations.rotate(heading, np.array([0.0, 0.0, 1.0]))
    way = np.degrees(np.unwrap(np.arctan2(ahead[:, 0], ahead[:, 2])))
    return float(way[-1] - way[0])


@pytest.mark.parametrize("own", [200.0, 60.0, 40.0])
@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_clip_turns_as_far_as_was_asked(own, side):
    made, missed = turned(walk(own * side), SMPL, 90.0 * side)
    assert angle(made) == pytest.approx(90.0 * side, abs=0.01)
    assert missed == pytest.approx(abs(own - 90.0), abs=0.01)


def test_a_side_that_is_not_named_is_the_clips_own():
    made, missed = turned(walk(-120.0), SMPL, 180.0, either=True)
    assert angle(made) == pytest.approx(-180.0, abs=0.01)
    assert missed == pytest.approx(60.0, abs=0.01)


def test_only_what_turns_that_way_turns_more_or_less():
    before = walk(0.0, -30.0, 90.0)
    made, _ = turned(before, SMPL, 90.0)
    assert angle(made) == pytest.approx(90.0, abs=0.01)
    changed = np.abs(made[:, YAW] - before[:, YAW])
    assert changed[41:59].min() > 5 * changed[22:36].max()


def test_nobody_turns_more_than_three_times_as_fast():
    made, missed = turned(walk(20.0), SMPL, 170.0)
    assert 55.0 < angle(made) < 90.0  # sway to the left counts as turning, and grows with it
    assert missed == pytest.approx(150.0, abs=0.01)
    wrong_way, _ = turned(walk(-170.0), SMPL, 90.0)
    assert angle(wrong_way) < -100.0


def test_what_is_too_short_to_turn_stays():
    frame = walk(20.0)[:1]
    made, missed = turned(frame, SMPL, -90.0, either=True)
    np.testing.assert_array_equal(made, frame)
    assert missed == 90.0


def test_the_path_bends_and_the_pose_stays():
    before = walk(120.0)
    made, _ = turned(before, SMPL, 30.0)
    others = np.arange(before.shape[1]) != YAW
    np.testing.assert_array_equal(made[:, others], before[:, others])
    ends = [features_to_joints(f, SMPL)[-1, 0] for f in (before, made)]
    assert ends[1][2] > ends[0][2]
