"""Motions made by hand, and what is said of them."""

import json
import re

import numpy as np
import pytest

from backend.data.describe import _walk, _wordings, describe
from backend.evaluation.tasks import load_prompts
from backend.motion import rotations
from backend.motion.features import joints_to_features
from backend.motion.skeleton import SMPL

FRAMES = 100


def actions(local: np.ndarray, root: np.ndarray) -> dict[str, str]:
    features = joints_to_features(SMPL.forward(local, root), SMPL, local)
    return {found.action: found.text for found in describe(features, SMPL, np.random.default_rng(0))}


@pytest.fixture
def standing() -> tuple[np.ndarray, np.ndarray]:
    """Local rotations and root of somebody who stands with hanging arms."""
    local = np.tile(rotations.IDENTITY, (FRAMES, len(SMPL), 1))
    turn(local, "left_shoulder", (0, 0, 1), -75.0)
    turn(local, "right_shoulder", (0, 0, 1), 75.0)
    return local, np.tile([0.0, SMPL.rest_height, 0.0], (FRAMES, 1))


def turn(local: np.ndarray, joint: str, axis, degrees, frames=slice(None)) -> None:
    angles = np.radians(np.broadcast_to(degrees, local[frames].shape[:1]))
    local[frames, SMPL.index(joint)] = rotations.about(np.array(axis, dtype=float), angles)


def test_standing_is_standing(standing):
    assert set(actions(*standing)) == {"stand"}


@pytest.mark.parametrize(("step", "degrees", "expected"), [(1.2, 0, "walk forward"), (-0.6, 0, "slow back"), (1.2, 90, "walk left")])
def test_gaits_are_told_by_speed_and_direction(standing, step, degrees, expected):
    local, root = standing
    way = np.array([np.sin(np.radians(degrees)), 0.0, np.cos(np.radians(degrees))])
    root += way * step / SMPL.fps * np.arange(FRAMES)[:, None]
    assert set(actions(local, root)) == {expected}


def test_who_holds_a_pose_is_not_said_to_stand(standing):
    local, root = standing
    for side in ("left", "right"):
        turn(local, f"{side}_shoulder", (0, 0, 1), 0.0)
    assert set(actions(local, root)) == {"arms_out"}


def test_a_turn_is_told_in_degrees(standing):
    """Rounded to what the wording rounds to."""
    local, root = standing
    turn(local, "pelvis", (0, 1, 0), np.linspace(0.0, 200.0, FRAMES))
    features = joints_to_features(SMPL.forward(local, root), SMPL, local)
    texts = [found.text for seed in range(20) for found in describe(features, SMPL, np.random.default_rng(seed))]
    told = {int(degrees) for text in texts for degrees in re.findall(r"[0-9]+", text)}
    assert told and told <= {45, 50, 60, *range(70, 200, 10), 135, 180}
    assert not any("<" in text for text in texts)


@pytest.mark.parametrize(("side", "sign"), [("left", 1.0), ("right", -1.0)])
def test_a_raised_arm_is_told_with_its_side(standing, side, sign):
    local, root = standing
    turn(local, f"{side}_shoulder", (0, 0, 1), 75.0 * sign, slice(30, 60))
    told = actions(local, root)
    assert told.keys() - {"stand"} == {f"raise_{side}"}
    assert side in told[f"raise_{side}"]


def test_a_jump_lifts_both_feet(standing):
    local, root = standing
    root[40:52, 1] += 0.3 * np.sin(np.linspace(0, np.pi, 12))
    assert "jump" in actions(local, root)


def test_sitting_down_and_getting_up(standing):
    local, root = standing
    share = np.interp(np.arange(FRAMES), [20, 35, 65, 80], [0, 1, 1, 0])
    for side in ("left", "right"):
        turn(local, f"{side}_hip", (1, 0, 0), -85.0 * share)
        turn(local, f"{side}_knee", (1, 0, 0), 85.0 * share)
    root[:, 1] -= 0.4 * share
    assert actions(local, root).keys() >= {"sit_down", "sit", "stand_up"}


def test_what_is_found_lies_in_the_clip(standing):
    local, root = standing
    turn(local, "left_shoulder", (0, 0, 1), 75.0, slice(90, FRAMES))
    features = joints_to_features(SMPL.forward(local, root), SMPL, local)
    for found in describe(features, SMPL, np.random.default_rng(0)):
        assert 0 <= found.begin < found.end <= len(features)


def test_an_action_is_told_in_several_wordings(standing):
    local, root = standing
    turn(local, "left_shoulder", (0, 0, 1), 75.0, slice(30, 60))
    features = joints_to_features(SMPL.forward(local, root), SMPL, local)
    texts = [found.text for found in describe(features, SMPL, np.random.default_rng(1)) if found.action == "raise_left"]
    assert len(set(texts)) > 1
    assert not any(mark in text for text in texts for mark in "{|}")


def test_a_way_of_going_has_words_of_its_own():
    """Steps backwards are told as gait and direction, and in single words."""
    told = {_walk("walk", "back", "none", np.random.default_rng(seed)) for seed in range(200)}
    assert {"withdraws", "walks backward"} <= told
    assert all(text == " ".join(text.split()) for text in told)


def test_no_wording_has_the_words_that_paraphrases_are_asked_in():
    """Each has at least one that is in no wording, or the suite would not ask what the model was not told."""
    words = set(re.findall("[a-z]+", json.dumps(_wordings()).lower()))
    asked = [set(re.findall("[a-z]+", prompt["prompt"].lower())) for prompt in load_prompts() if prompt.get("paraphrase")]
    assert asked and all(prompt - words for prompt in asked)


def test_jumping_again_and_again_is_more_than_a_jump(standing):
    local, root = standing
    for begin in (20, 40, 60):
        root[begin : begin + 12, 1] += 0.3 * np.sin(np.linspace(0, np.pi, 12))
    assert actions(local, root).keys() >= {"jump", "jumps"}


def test_standing_on_one_leg_is_seen(standing):
    local, root = standing
    turn(local, "left_hip", (1, 0, 0), -60.0)
    turn(local, "left_knee", (1, 0, 0), 90.0)
    assert "one_leg" in actions(local, root)
