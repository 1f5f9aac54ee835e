import numpy as np
import pytest

from backend.motion import rotations
from backend.motion.features import (
    Layout,
    facing,
    features_to_joints,
    features_to_local,
    hold,
    joints_to_features,
    mirrored,
    pose_to_features,
    retime,
    to_origin,
)
from backend.motion.skeleton import KIT, SMPL


def test_sizes_are_those_of_the_data_sets():
    assert Layout(len(SMPL)).size == 263
    assert Layout(len(KIT)).size == 251


def test_joints_of_the_reference_features(sample):
    joints = features_to_joints(sample["features"], SMPL)
    assert np.abs(joints - sample["joints"]).max() < 1e-4


def test_features_of_the_reference_joints(sample):
    """The clip lost its last frame when it became features, so what looks at neighbours differs close to the end."""
    made = joints_to_features(sample["joints"], SMPL)
    given = sample["features"][: len(made)]
    settled = len(made) - 80  # the heading's filter sees 80 frames ahead
    assert np.abs(made[:settled] - given[:settled]).max() < 1e-3
    layout = Layout(len(SMPL))
    assert np.array_equal(made[:, layout.contacts], given[:, layout.contacts])
    assert np.abs(made[:, layout.height] - given[:, layout.height]).max() < 1e-6


def test_captured_clips_come_back(captured):
    for clip in captured:
        local = SMPL.to_local(clip["turned"])
        features = joints_to_features(clip["joints"], SMPL, local)
        recovered = features_to_joints(features, SMPL)
        turn = rotations.between(facing(clip["joints"][0], SMPL), facing(recovered[0], SMPL))
        moved = rotations.rotate(turn, clip["joints"])
        moved += recovered[0, 0] - moved[0, 0]
        assert np.abs(recovered - moved[:-1]).max() < 1e-4
        assert np.degrees(rotations.angle_between(features_to_local(features, SMPL), local[:-1, 1:])).max() < 0.01


def test_the_data_sets_form_keeps_positions_too(captured):
    for clip in captured:
        recovered = features_to_joints(joints_to_features(clip["joints"], SMPL), SMPL)
        placed = to_origin(clip["joints"], facing(clip["joints"][0], SMPL))
        assert np.abs(recovered - placed[:-1]).max() < 1e-4


def test_kit_features_keep_positions():
    """KIT-ML's skeleton is a tree of its own in millimetres: a clip of random walks of every joint comes back."""
    rng = np.random.default_rng(0)
    rest = np.zeros((len(KIT), 3))
    for joint, parent in enumerate(KIT.parents[1:], start=1):
        rest[joint] = rest[parent] + KIT.directions[joint] * 100.0
    joints = rest + np.cumsum(rng.standard_normal((60, len(KIT), 3)), axis=0)
    features = joints_to_features(joints, KIT)
    assert features.shape == (59, 251)
    placed = to_origin(joints, facing(joints[0], KIT))
    assert np.abs(features_to_joints(features, KIT) - placed[:-1]).max() < 0.1  # a tenth of a millimetre


def test_crossing_half_a_turn_does_not_bend_the_path(captured):
    """The heading as a quaternion changes sign when it passes ±180°; the path after it must not."""
    clip = captured[0]
    for angle in np.linspace(0.0, 2 * np.pi, 8):
        turn = rotations.about(np.array([0.0, 1.0, 0.0]), np.array(angle))
        turned = rotations.rotate(turn, clip["joints"])
        features = joints_to_features(turned, SMPL, SMPL.to_local(clip["turned"]))
        path = features_to_joints(features, SMPL)[:, 0]
        length = np.linalg.norm(path[-1] - path[0])
        assert length == pytest.approx(np.linalg.norm(clip["joints"][-2, 0] - clip["joints"][0, 0]), abs=1e-3)


def test_a_held_pose_looks_the_same_from_a_clip_and_from_a_pose(captured):
    clip = captured[1]
    local = SMPL.to_local(clip["turned"])[:1]
    joints = SMPL.forward(local, np.array([[0.0, 0.9, 0.0]]))
    joints[..., 1] -= joints[..., 1].min()
    still = joints_to_features(np.repeat(joints, 10, axis=0), SMPL, np.repeat(local, 10, axis=0))
    layout = Layout(len(SMPL))
    np.testing.assert_allclose(hold(still[5], layout), pose_to_features(joints[0], local[0], SMPL), atol=1e-5)
    theirs = joints_to_features(np.repeat(joints, 10, axis=0), SMPL)[0]  # in the data sets' own form, without rotations
    np.testing.assert_allclose(hold(theirs, layout), pose_to_features(joints[0], None, SMPL), atol=1e-5)


def test_features_of_a_mirrored_motion(captured):
    """Left and right exchanged in the features, and in the motion that they are of."""
    clip = captured[1]
    local, root = SMPL.to_local(clip["turned"]), clip["joints"][:, 0]
    joints = SMPL.forward(local, root)
    swap = list(SMPL.mirrored)
    other = local[:, swap] * [1, 1, -1, -1]
    seen = SMPL.forward(other, root * [-1, 1, 1])
    np.testing.assert_allclose(seen, joints[:, swap] * [-1, 1, 1], atol=2e-3)  # the body is nearly symmetric
    expected = joints_to_features(joints[:, swap] * [-1, 1, 1], SMPL, other)
    found = mirrored(joints_to_features(joints, SMPL, local), SMPL)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    np.testing.assert_array_equal(mirrored(found, SMPL), joints_to_features(joints, SMPL, local))


def test_one_frame_has_no_features():
    with pytest.raises(ValueError, match="two frames"):
        joints_to_features(np.zeros((1, 22, 3)), SMPL)


@pytest.mark.parametrize("frames", [150, 60])
def test_a_retimed_clip_goes_the_same_way_in_another_time(captured, frames):
    clip = captured[0]
    features = joints_to_features(clip["joints"], SMPL, SMPL.to_local(clip["turned"]))[:100]
    layout = Layout(len(SMPL))
    changed = retime(features, layout, frames)
    before, after = features_to_joints(features, SMPL), features_to_joints(changed, SMPL)
    assert len(after) == frames
    assert np.linalg.norm(after[-1] - before[-1], axis=-1).max() < 0.05
    middle = np.linalg.norm(after[frames // 2, 0] - before[50, 0])
    assert middle < 0.1
    assert set(np.unique(changed[:, layout.contacts])) <= {0.0, 1.0}


def test_a_clip_retimed_to_its_own_length_is_itself(captured):
    clip = captured[0]
    features = joints_to_features(clip["joints"], SMPL, SMPL.to_local(clip["turned"]))
    np.testing.assert_allclose(retime(features, Layout(len(SMPL)), len(features)), features, atol=1e-6)
