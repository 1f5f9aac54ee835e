import numpy as np
import pytest

from backend.motion.skeleton import KIT, SMPL, load_skeleton


def test_parents_are_those_of_smpl():
    assert SMPL.parents == (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19)
    assert all(parent < joint for skeleton in (SMPL, KIT) for joint, parent in enumerate(skeleton.parents))


def test_the_t_pose_is_symmetric_and_left_is_plus_x():
    assert SMPL.offsets is not None
    np.testing.assert_allclose(SMPL.offsets[list(SMPL.mirrored)] * [-1, 1, 1], SMPL.offsets)
    assert SMPL.offsets[SMPL.index("left_hip"), 0] > 0


def test_world_and_local_rotations_are_inverses():
    local = np.random.default_rng(1).standard_normal((5, 22, 4))
    local /= np.linalg.norm(local, axis=-1, keepdims=True)
    np.testing.assert_allclose(SMPL.to_local(SMPL.to_global(local)), local, atol=1e-12)


def test_forward_kinematics_rebuilds_captured_joints(captured):
    for clip in captured:
        joints = SMPL.forward(SMPL.to_local(clip["turned"]), clip["joints"][:, 0], clip["offsets"])
        assert np.abs(joints - clip["joints"]).max() < 1e-3


def test_an_unknown_skeleton_is_told_with_those_there_are():
    with pytest.raises(KeyError, match="kit21, smpl22"):
        load_skeleton("octopus")
