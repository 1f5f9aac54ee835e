"""Given poses: met exactly, from far away too, without a jolt; the path leads from one to the next."""

import numpy as np
import pytest

from backend.motion import rotations
from backend.motion.features import facing
from backend.motion.feet import lock_feet
from backend.motion.fit import Constraint, _arch, _bend, errors, fit
from backend.motion.limbs import LIMBS
from backend.motion.path import heading
from backend.motion.skeleton import SMPL

UP = np.array([0.0, 1.0, 0.0])


def acceleration(clip):
    return np.linalg.norm(np.diff(clip.joints, 2, axis=0), axis=-1)


@pytest.mark.parametrize("frames", [[0], [-1], [0, -1], [10, 25, 40]])
@pytest.mark.parametrize("keep_path", [False, True])
def test_constraints_are_met_exactly(clips, frames, keep_path):
    """Poses of other clips, twisted beyond anything captured, lifted and moved, are met within a micrometre."""
    rng = np.random.default_rng(1)
    for clip, other in zip(clips, clips[1:], strict=False):
        at = [f % len(clip) for f in frames]
        strange = rotations.from_vector(rng.normal(0, 0.5, (len(at), len(SMPL), 3)))
        poses = rotations.multiply(other.local[np.arange(len(at))], strange)
        constraints = [Constraint(f, pose, clip.root[f] + [0.2, 0.1, -0.3 * i]) for i, (f, pose) in enumerate(zip(at, poses, strict=True))]
        fitted = fit(clip, constraints, keep_path)
        for result in (fitted, lock_feet(fitted, at)):
            millimetres, degrees = errors(result, constraints)
            assert millimetres < 1e-3
            assert degrees < 1e-3


def test_a_fit_leaves_what_is_far_away(clips):
    clip = max(clips, key=len)
    fitted = fit(clip, [Constraint(0, clip.local[30], clip.root[0])])
    np.testing.assert_allclose(rotations.angle_between(fitted.local[25:, 1:], clip.local[25:, 1:]), 0.0, atol=1e-6)


def test_a_fit_is_no_jolt(clips):
    """The accelerations around a pose from elsewhere stay in the range that the clip has anyway."""
    worst = []
    for clip, other in zip(clips, clips[1:], strict=False):
        middle = len(clip) // 2
        placed = other.placed(5, clip.joints[middle])
        fitted = fit(clip, [Constraint(middle, placed.local[5], placed.root[5])])
        worst.append(acceleration(fitted).max() / acceleration(clip).max())
    assert np.median(worst) < 1.2
    assert max(worst) < 3.0


def test_no_limb_bends_backwards_on_the_way_to_a_pose(clips):
    """A clip goes through poses of others, with limbs bent when its own are straight and straight when its own are bent."""
    for clip, other in zip(clips, [*clips[1:], clips[0]], strict=True):
        for frame in range(20, len(clip) - 5, 15):
            pose = other.local[frame % len(other)]
            fitted = fit(clip, [Constraint(frame, pose, clip.root[frame])])
            for limb in LIMBS.values():
                own = np.concatenate([bent_forwards(clip.local, limb), bent_forwards(pose[None], limb)])
                assert bent_forwards(fitted.local, limb).min() > min(0.0, own.min()) - 0.1


def bent_forwards(local, limb):
    """How far (T) the lower bone of a limb points to where limbs bend, per its length."""
    assert SMPL.offsets is not None
    middle, end = SMPL.index(limb.middle), SMPL.index(limb.end)
    return -rotations.rotate(local[:, middle], rotations.normalise(SMPL.offsets[end])) @ np.array(limb.bends)


def test_opposite_offsets_of_near_poses_go_the_short_way(clips):
    """Arms turned by 170 degrees one way at one frame and the other way soon after meet behind, not in front."""
    clip = clips[0]
    constraints = []
    for frame, sign in ((20, 1), (30, -1)):
        local = clip.local[frame].copy()
        local[16] = rotations.multiply(local[16], rotations.about(UP, np.radians(170.0) * np.array(sign)))
        constraints.append(Constraint(frame, local, clip.root[frame]))
    fitted = fit(clip, constraints)
    offset = rotations.angle_between(clip.local[20:31, 16], fitted.local[20:31, 16])
    assert np.degrees(offset.min()) > 160.0


@pytest.mark.parametrize("turn", [-1.2, 0.0, 1.2])
@pytest.mark.parametrize("stretch", [0.8, 1.3])
def test_the_path_bends_and_stretches_to_the_goal(clips, turn, stretch):
    """A walk whose goal lies elsewhere goes there with longer steps and turned body, instead of sliding sideways."""
    clip = max(clips, key=lambda c: np.linalg.norm(c.root[-1] - c.root[0]))
    way = (clip.root[-1] - clip.root[0]) * [1.0, 0.0, 1.0]
    goal = clip.root[0] + rotations.rotate(rotations.about(UP, np.array(turn)), way) * stretch
    goal[1] = clip.root[-1, 1]
    constraints = [Constraint(f, clip.local[f], r) for f, r in ((0, clip.root[0]), (len(clip) - 1, goal))]
    fitted = fit(clip, constraints)
    aside = []
    for c in (clip, fitted):
        steps = np.diff(c.root[:, [0, 2]], axis=0)
        faced = heading(c)[:-1]
        aside.append(np.abs(steps[:, 0] * np.cos(faced) - steps[:, 1] * np.sin(faced)).mean())
    assert aside[1] < aside[0] + 0.012
    assert errors(fitted, constraints)[0] < 1e-3


def test_a_clip_in_place_is_moved_not_bent(clips):
    clip = min(clips, key=lambda c: np.ptp(c.root[:, [0, 2]], axis=0).max())
    constraints = [Constraint(0, clip.local[0], clip.root[0]), Constraint(len(clip) - 1, clip.local[-1], clip.root[-1] + [0.5, 0.0, 0.0])]
    fitted = fit(clip, constraints)
    assert np.degrees(np.abs(heading(fitted) - heading(clip)).max()) < 60.0
    assert np.isfinite(fitted.root).all()


def test_one_pose_turns_the_whole_clip(clips):
    clip = max(clips, key=lambda c: np.linalg.norm(c.root[-1] - c.root[0]))
    moved = clip.moved(rotations.about(UP, np.array(2.0)), np.array([3.0, 0.0, 1.0]))
    fitted = fit(clip, [Constraint(0, moved.local[0], moved.root[0])])
    np.testing.assert_allclose(fitted.joints, moved.joints, atol=1e-6)
    assert facing(fitted.joints[-1], SMPL) @ facing(moved.joints[-1], SMPL) > 0.999


def test_a_bend_is_no_worse_than_none_and_no_whirl():
    """A short path that circles on the spot and a goal far to the side: nothing that bends it comes near."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        frames = int(rng.integers(8, 24))
        steps = rng.normal(0.0, 0.03, (frames, 2)) + rng.normal(0.0, 0.05, 2)
        turn, share, goal = rng.normal(0.0, 0.3, frames + 1).cumsum(), np.linspace(0.0, 1.0, frames + 1), rng.normal(0.0, 1.0, 2)
        seconds = frames / 20.0
        found = _bend(steps, turn, share, goal, seconds)
        costs = []
        for bend, growth in (found, (0.0, 0.0)):
            arch = _arch((share[1:] + share[:-1]) / 2)
            angle, scale = (turn[1:] + turn[:-1]) / 2 + bend * arch, np.exp(growth * arch)
            way = np.array([np.sum(scale * (steps[:, 0] * np.cos(angle) + steps[:, 1] * np.sin(angle))), 0.0])
            way[1] = np.sum(scale * (steps[:, 1] * np.cos(angle) - steps[:, 0] * np.sin(angle)))
            costs.append(np.sum((goal - way) ** 2) + (bend * 0.1 / 0.7) ** 2 + (growth * 0.1 / 0.4) ** 2)
        assert costs[0] <= costs[1] + 1e-9
        assert np.abs(np.diff(found[0] * _arch(share))).max() * 20.0 <= np.pi * 1.01
