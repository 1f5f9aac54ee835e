import numpy as np

from backend.motion import rotations
from backend.motion.clip import clip_from_features
from backend.motion.features import facing, joints_to_features
from backend.motion.skeleton import SMPL
from backend.motion.solve import solve_rotations


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
