import numpy as np
import pytest

from backend.motion import rotations
from backend.motion.clip import Clip, clip_from_features
from backend.motion.features import facing, joints_to_features
from backend.motion.feet import lock_feet, slide
from backend.motion.fit import Constraint, errors, fit
from backend.motion.skeleton import SMPL
from backend.motion.solve import solve_rotations


@pytest.fixture(scope="module")
def clips(captured):
    """Captured clips on the common skeleton, from features and back."""
    made = []
    for clip in captured:
        local = SMPL.to_local(clip["turned"])
        made.append(clip_from_features(joints_to_features(SMPL.forward(local, clip["joints"][:, 0]), SMPL, local), SMPL, "local"))
    return made


def test_rotations_and_path_of_features_rebuild_the_positions(captured):
    for clip in captured:
        local = SMPL.to_local(clip["turned"])
        joints = SMPL.forward(local, clip["joints"][:, 0])
        made = clip_from_features(joints_to_features(joints, SMPL, local), SMPL, "local")
        turn = rotations.between(facing(joints[0], SMPL), facing(made.joints[0], SMPL))
        expected = rotations.rotate(turn, joints[:-1])
        expected += made.root[0] - expected[0, 0]
        assert np.abs(made.joints - expected).max() < 1e-3


def test_rotations_solved_from_positions_rebuild_them(clips):
    for clip in clips:
        solved = solve_rotations(clip.joints, SMPL)
        assert np.abs(SMPL.forward(solved, clip.root) - clip.joints).max() < 0.005


def test_solved_rotations_do_not_flip(clips):
    for clip in clips:
        step = np.degrees(rotations.angle_between(*(lambda q: (q[1:], q[:-1]))(solve_rotations(clip.joints, SMPL))))
        real = np.degrees(rotations.angle_between(clip.local[1:], clip.local[:-1]))
        assert step.max() < max(60.0, 2.0 * real.max())


@pytest.mark.parametrize("frames", [[0], [-1], [0, -1], [10, 25, 40]])
def test_constraints_are_met_exactly(clips, frames):
    """Poses of other clips, lifted and moved, are met within a micrometre."""
    for clip, other in zip(clips, clips[1:], strict=False):
        at = [f % len(clip) for f in frames]
        constraints = [Constraint(f, other.local[i], clip.root[f] + [0.2, 0.1, -0.3 * i]) for i, f in enumerate(at)]
        for result in (fit(clip, constraints), lock_feet(fit(clip, constraints), at)):
            millimetres, degrees = errors(result, constraints)
            assert millimetres < 1e-3
            assert degrees < 1e-3


def test_a_fit_leaves_what_is_far_away(clips):
    clip = max(clips, key=len)
    constraint = Constraint(0, clip.local[30], clip.root[0])
    fitted = fit(clip, [constraint])
    np.testing.assert_allclose(rotations.angle_between(fitted.local[25:], clip.local[25:]), 0.0, atol=1e-6)


def test_locked_feet_are_still_and_above_the_floor(clips):
    rng = np.random.default_rng(3)
    for clip in clips:
        shaken = Clip(clip.local, clip.root + rng.normal(0, 0.004, clip.root.shape).cumsum(axis=0), clip.contacts, clip.fps, SMPL)
        locked = lock_feet(shaken)
        assert slide(locked) < 0.35 * slide(shaken)
        heights = locked.joints[:, [SMPL.index("left_foot"), SMPL.index("right_foot")], 1]
        assert heights.min() > min(-0.005, shaken.joints[:, [10, 11], 1].min() * 0.25)


def test_resampling_keeps_both_ends(clips):
    clip = clips[0]
    longer = clip.resampled(97, 24.0)
    assert len(longer) == 97
    np.testing.assert_allclose(longer.joints[[0, -1]], clip.joints[[0, -1]], atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(longer.local, axis=-1), 1.0, atol=1e-9)


def test_placing_turns_and_moves_on_the_floor_only(clips):
    clip, other = clips[0], clips[1]
    target = other.joints[7] + [2.0, 0.0, -1.0]
    placed = clip.placed(3, target)
    np.testing.assert_allclose(placed.root[3, [0, 2]], target[0, [0, 2]], atol=1e-9)
    np.testing.assert_allclose(placed.root[:, 1], clip.root[:, 1], atol=1e-9)
    np.testing.assert_allclose(facing(placed.joints[3], SMPL), facing(target, SMPL), atol=1e-6)


def test_placing_half_a_turn_away_keeps_the_person_upright(clips):
    """Where the two directions are exactly opposite, only a turn about the vertical will do."""
    for angle in np.linspace(0.0, np.pi, 7):
        clip = clips[0].moved(rotations.about(np.array([0.0, 1.0, 0.0]), np.array(angle)), np.zeros(3))
        away = rotations.rotate(np.array([0.0, 0.0, 1.0, 0.0]), clip.joints[0])
        placed = clip.placed(0, away)
        np.testing.assert_allclose(placed.joints[0, :, 1], clip.joints[0, :, 1], atol=1e-9)
        np.testing.assert_allclose(placed.joints[0], away, atol=1e-6)
