"""Feet: still where they touch, never under the floor, and no price for it in the knees."""

from dataclasses import replace

import numpy as np
import pytest

from backend.motion import rotations
from backend.motion.clip import Clip
from backend.motion.feet import _folding, below_floor, lock_feet, slide, slides
from backend.motion.fit import Constraint, fit
from backend.motion.skeleton import SMPL


def knee_accelerations(clip):
    """Change of the knees' angular speed, degrees per frame²."""
    joints = clip.joints
    angles = []
    for side in ("left", "right"):
        hip, knee, ankle = (joints[:, SMPL.index(f"{side}_{part}")] for part in ("hip", "knee", "ankle"))
        thigh, shin = knee - hip, ankle - knee
        angles.append(np.arctan2(np.linalg.norm(np.cross(thigh, shin), axis=-1), np.sum(thigh * shin, axis=-1)))
    return np.abs(np.degrees(np.diff(angles, 2, axis=-1)))


def test_feet_are_still_in_contacts_and_above_the_floor(shaken):
    for clip in shaken:
        locked = lock_feet(clip)
        assert slide(clip) > 1.0
        assert slides(locked).max() < 1.0
        assert below_floor(locked) < 5.0


def test_knees_do_not_pop(shaken):
    for clip in shaken:
        before, after = knee_accelerations(clip), knee_accelerations(lock_feet(clip))
        assert np.percentile(after, 99) < np.percentile(before, 99) + 5.0
        assert after.max() < before.max() + 25.0


def test_most_contacts_are_kept(clips):
    for clip in clips:
        kept = lock_feet(clip).contacts
        assert (kept & clip.contacts).sum() >= 0.9 * clip.contacts.sum()


def test_a_fast_foot_is_not_in_contact(clips):
    """A label on a foot that crosses the room is an error of the model, and is not followed."""
    clip = clips[0]
    carried = replace(clip, root=clip.root + np.linspace(0, 0.1 * len(clip), len(clip))[:, None] * [1.0, 0.0, 0.0])
    locked = lock_feet(replace(carried, contacts=np.ones_like(clip.contacts)))
    assert not locked.contacts[5:-5].any()


def test_a_floating_clip_is_put_on_the_floor(clips):
    clip = next(c for c in clips if c.contacts.any(axis=1).mean() > 0.8)
    raised = replace(clip, root=clip.root + np.array([0.0, 0.05, 0.0]))
    at = list(SMPL.contact_joints)
    heights = lock_feet(raised).joints[:, at, 1] - SMPL.rest_heights[at]
    assert np.abs(heights[clip.contacts]).mean() < 0.02


def test_what_is_fixed_stays_and_its_neighbours_lead_there(shaken):
    for clip in shaken:
        at = [0, len(clip) // 2, len(clip) - 1]
        locked = lock_feet(clip, at)
        np.testing.assert_array_equal(locked.root[at], clip.root[at])
        np.testing.assert_allclose(locked.joints[at], clip.joints[at], atol=1e-9)
        ankles = [SMPL.index("left_ankle"), SMPL.index("right_ankle")]
        jump = np.linalg.norm(np.diff((locked.joints - clip.joints)[:, ankles], axis=0), axis=-1)
        assert jump.max() < 0.06


def test_feet_stay_still_after_a_fit(clips):
    for clip, other in zip(clips, clips[1:], strict=False):
        constraints = [Constraint(0, clip.local[0], clip.root[0]), Constraint(len(clip) - 1, other.local[20], clip.root[-1])]
        locked = lock_feet(fit(clip, constraints), [0, len(clip) - 1])
        assert slide(locked) < 1.0


def test_a_knee_folds_to_the_distance_asked_for_about_any_axis():
    """Also about an axis askew to the leg's plane, as that of a straight leg is."""
    rng = np.random.default_rng(0)
    thigh, shin = np.array([0.0, -0.4, 0.0]) + 0.1 * rng.normal(size=(2, 200, 3))
    shin[:50] = thigh[:50] + 1e-3 * rng.normal(size=(50, 3))
    axis = rotations.normalise(np.array([1.0, 0.0, 0.0]) + 0.2 * rng.normal(size=(200, 3)))
    distance = 0.9 * np.linalg.norm(thigh + shin, axis=-1)
    folded = thigh + rotations.rotate(rotations.about(axis, _folding(thigh, shin, axis, distance)), shin)
    np.testing.assert_allclose(np.linalg.norm(folded, axis=-1), distance, atol=1e-9)


def test_a_pose_on_its_heels_is_no_reason_for_toes_to_sink_around_it():
    """Feet that are flat but in the given pose: low there, with the toes up. Before and after it the toes stay above the floor."""
    frames, middle = 60, 30
    local = np.tile(rotations.IDENTITY, (frames, len(SMPL), 1))
    for side in ("left", "right"):
        local[middle, SMPL.index(f"{side}_ankle")] = rotations.about(np.array([1.0, 0.0, 0.0]), np.radians(-12.0))
    root = np.tile([0.0, SMPL.rest_height - 0.025, 0.0], (frames, 1))
    clip = Clip(local, root, np.ones((frames, 4), dtype=bool), 20.0, SMPL)
    pose = replace(clip, local=local[[middle]], root=root[[middle]], contacts=clip.contacts[[middle]])
    assert below_floor(pose) < 5.0 < below_floor(clip)
    assert below_floor(lock_feet(clip, [middle])) < 5.0


@pytest.mark.parametrize("frames, given", [(60, ()), (120, (0, 119)), (200, ()), (200, (0, 100, 199))])
def test_a_foot_that_its_leg_cannot_keep_on_the_floor_takes_steps(frames, given):
    """Somebody who glides over the floor with both feet said to touch it walks instead, however far."""
    local = np.tile(rotations.IDENTITY, (frames, len(SMPL), 1))
    root = np.array([0.0, SMPL.rest_height, 0.0]) + np.arange(frames)[:, None] * [0.0, 0.0, 0.03]
    gliding = Clip(local, root, np.ones((frames, 4), dtype=bool), 20.0, SMPL)
    locked = lock_feet(gliding, given)
    assert slide(locked) < 1.0 < slide(gliding)
    assert below_floor(locked) < 5.0
    assert (gliding.root[:, 1] - locked.root[:, 1]).max() < 0.2
    left, right = (locked.contacts[:, columns].any(axis=1) for columns in ((0, 1), (2, 3)))
    assert left.any() and right.any() and not left.all() and not right.all()
    lifted = locked.joints[:, SMPL.index("left_ankle"), 1] - SMPL.rest_heights[SMPL.index("left_ankle")]
    assert lifted[~left].max() > 0.03


def test_a_foot_that_is_too_far_aside_for_its_leg_is_no_contact():
    """Hips as low as the feet are: there is no going down to reach what is far away over the floor, only letting go of it."""
    local = np.tile(rotations.IDENTITY, (60, len(SMPL), 1))
    for side in ("left", "right"):
        local[:, SMPL.index(f"{side}_hip")] = rotations.about(np.array([1.0, 0.0, 0.0]), np.radians(-60.0))
    root = np.array([0.0, 0.1, 0.0]) + np.arange(60)[:, None] * [0.0, 0.0, 0.03]
    sitting = Clip(local, root, np.ones((60, 4), dtype=bool), 20.0, SMPL)
    assert slide(lock_feet(sitting)) < 1.0 < slide(sitting)


def test_a_step_does_not_reach_across_a_given_pose():
    """A wide stride that is given while the body glides on: the foot does not rise beside it only to stand on the floor in it."""
    frames, pose = 60, 30
    local = np.tile(rotations.IDENTITY, (frames, len(SMPL), 1))
    for side, sign in (("left", 1.0), ("right", -1.0)):
        local[:, SMPL.index(f"{side}_hip")] = rotations.about(np.array([1.0, 0.0, 0.0]), np.array(sign * 0.45))
    root = np.array([0.0, SMPL.rest_height, 0.0]) + np.arange(frames)[:, None] * [0.0, 0.0, 0.045]
    locked = lock_feet(Clip(local, root, np.ones((frames, 4), dtype=bool), 20.0, SMPL), [pose])
    for side in ("left", "right"):
        heights = locked.joints[:, SMPL.index(f"{side}_ankle"), 1]
        assert np.abs(np.diff(heights, axis=0))[pose - 1 : pose + 1].max() < 0.02


def test_between_two_poses_that_stand_apart_a_foot_takes_a_step():
    """Both feet planted all the time, and two given poses half a step apart: each foot is lifted once, and stands otherwise."""
    local = np.tile(rotations.IDENTITY, (60, len(SMPL), 1))
    root = np.tile([0.0, SMPL.rest_height, 0.0], (60, 1))
    standing = Clip(local, root, np.ones((60, 4), dtype=bool), 20.0, SMPL)
    goal = Constraint(50, local[0], root[0] + [0.0, 0.0, 0.2])
    locked = lock_feet(fit(standing, [Constraint(5, local[0], root[0]), goal]), [5, 50])
    assert slides(locked).max() < 1.0
    heights = locked.joints[:, SMPL.index("left_ankle"), 1] - SMPL.rest_heights[SMPL.index("left_ankle")]
    assert 0.03 < heights.max() < 0.08
    assert not locked.contacts[27].any()
    assert locked.contacts[[0, 10, 45, 59]].all()


@pytest.mark.parametrize("contact", [False, True])
def test_a_clip_of_one_touch_or_none_is_taken(clips, contact):
    clip = replace(clips[0], contacts=np.zeros_like(clips[0].contacts))
    clip.contacts[10, 0] = contact
    assert len(lock_feet(clip)) == len(clip)
