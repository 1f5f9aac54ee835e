"""Paths: the root goes where it is told to, at the clip's own pace, and the body with it."""

import numpy as np
import pytest

from backend.motion import rotations
from backend.motion.feet import slides
from backend.motion.finish import finish
from backend.motion.fit import Constraint, errors
from backend.motion.path import angles, follow, heading, steer

ARC = np.stack([2.0 - 2.0 * np.cos(np.linspace(0, np.pi, 40)), 2.0 * np.sin(np.linspace(0, np.pi, 40))], axis=-1)
CORNER = np.array([[1.0, 1.0], [1.0, 3.0], [3.0, 3.0]])


def distance_to(points, path):
    """How far (P) each of `points (P, 2)` is from a polyline."""
    dense = np.concatenate([np.linspace(a, b, 200) for a, b in zip(path, path[1:], strict=False)])
    return np.linalg.norm(points[:, None] - dense, axis=-1).min(axis=1)


@pytest.mark.parametrize("path", [ARC, CORNER])
@pytest.mark.parametrize("face", [True, False])
def test_the_root_is_on_the_path_from_start_to_end(clips, path, face):
    for clip in clips:
        for made in (follow(clip, path, face), finish(clip, path=path, face_path=face)[0]):
            floor = made.root[:, [0, 2]]
            np.testing.assert_allclose(floor[[0, -1]], path[[0, -1]], atol=1e-6)
            assert np.median(distance_to(floor, path)) < 0.1
            assert len(made) == len(clip)


def test_a_walker_faces_along_the_path(clips):
    clip = max(clips, key=lambda c: np.linalg.norm(c.root[-1] - c.root[0]))
    made = follow(clip, ARC)
    ahead = angles(np.gradient(made.root[:, [0, 2]], axis=0))
    apart = np.angle(np.exp(1j * (heading(made) - ahead)))
    assert np.degrees(np.abs(apart)).mean() < 20.0
    assert np.degrees(heading(made)[-1] - heading(made)[0]) == pytest.approx(180.0, abs=35.0)


def test_a_character_that_keeps_its_heading_is_not_turned(clips):
    made = follow(clips[0], ARC, face=False)
    np.testing.assert_allclose(made.local, clips[0].local, atol=1e-9)


def test_who_walks_backwards_walks_backwards_along_the_path(clips):
    clip = max(clips, key=lambda c: np.linalg.norm(c.root[-1] - c.root[0]))
    backwards = clip.at(np.arange(len(clip))[::-1].astype(float))
    made = follow(backwards, ARC)
    ahead = angles(np.gradient(made.root[:, [0, 2]], axis=0))
    apart = np.angle(np.exp(1j * (heading(made) - ahead)))
    assert np.degrees(np.abs(apart)).mean() > 150.0


def test_the_pace_is_the_clips_own(clips):
    clip = max(clips, key=lambda c: np.linalg.norm(c.root[-1] - c.root[0]))
    straight = follow(clip, np.array([[0.0, 0.0], [0.0, 2.0]]))
    own, made = (np.linalg.norm(np.diff(c.root[:, [0, 2]], axis=0), axis=-1) for c in (clip, straight))
    assert np.corrcoef(own, made)[0, 1] > 0.7


def test_feet_are_still_on_a_path(clips):
    walks = [c for c in clips if np.linalg.norm(c.root[-1] - c.root[0]) > 1.5]
    assert walks
    for clip in walks:
        travelled = np.linalg.norm(np.diff(clip.root[:, [0, 2]], axis=0), axis=-1).sum()
        assert slides(finish(clip, path=ARC * travelled / (2.0 * np.pi))[0]).mean() < 1.0


def test_poses_on_a_path_leave_the_path_elsewhere(clips):
    clip = max(clips, key=len)
    given = [Constraint(0, clip.local[40], np.array([0.3, clip.root[40, 1], 0.0]))]
    made, _ = finish(clip, given, path=ARC)
    assert errors(made, given)[0] < 1e-3
    np.testing.assert_allclose(made.root[30:, [0, 2]], follow(clip, ARC).root[30:, [0, 2]], atol=1e-6)


@pytest.mark.parametrize("points", [[[1.0, 1.0]], [[1.0, 1.0], [1.0, 1.0]]])
def test_a_path_without_length_is_refused(clips, points):
    with pytest.raises(ValueError, match="two points"):
        follow(clips[0], np.array(points))


def test_steering_turns_body_and_path_together(clips):
    clip = clips[0]
    up, angle = np.array([0.0, 1.0, 0.0]), np.array(0.7)
    turned = clip.moved(rotations.about(up, angle), np.zeros(3))
    steered = steer(clip, np.full(len(clip), 0.7))
    np.testing.assert_allclose(steered.joints - steered.root[0], turned.joints - turned.root[0], atol=1e-9)
