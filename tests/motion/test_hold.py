"""Hands and feet that are to be somewhere: met exactly, the trunk and the path help where limbs are too short, the rest is the clip's."""

import numpy as np
import pytest

from backend.motion import rotations
from backend.motion.feet import below_floor, slides
from backend.motion.finish import finish
from backend.motion.fit import Constraint, errors
from backend.motion.limbs import LIMBS
from backend.motion.skeleton import SMPL

AT = 40


def shifted(clip, names, way, frame=AT):
    """The ends of limbs are to be away from where they are in the clip, and turned by half a radian."""
    turned = SMPL.to_global(clip.local[frame])
    for name in names:
        turned[SMPL.index(LIMBS[name].end)] = rotations.multiply(
            rotations.from_vector(np.array([0.3, -0.4, 0.0])), turned[SMPL.index(LIMBS[name].end)]
        )
    return Constraint(frame, SMPL.to_local(turned), clip.root[frame] + way, tuple(names))


def first(clip):
    return Constraint(0, clip.local[0], clip.root[0])


@pytest.fixture(scope="module")
def long(clips):
    return [clip for clip in clips if len(clip) > AT + 10]


@pytest.mark.parametrize(
    ("names", "way"),
    [
        (["left_hand"], (0.05, 0.1, 0.1)),
        (["right_hand"], (0.0, -0.6, 0.3)),
        (["left_hand", "right_hand"], (0.1, 0.2, 0.2)),
        (["right_hand"], (0.4, 0.1, 1.5)),
        (["left_foot"], (0.0, 0.2, 0.1)),
        (["left_hand"], (0.0, 1.6, 0.0)),
    ],
)
@pytest.mark.parametrize("still_feet", [True, False])
def test_limbs_are_met_exactly_and_so_are_whole_poses(long, names, way, still_feet):
    for clip in long:
        given = [first(clip), shifted(clip, names, np.array(way))]
        made, _ = finish(clip, given, still_feet=still_feet)
        millimetres, degrees = errors(made, given)
        assert millimetres < 0.05
        assert degrees < 0.05
        if still_feet:
            assert slides(made).max(initial=0.0) < 1.0
            assert below_floor(made) < 5.0


def test_the_rest_of_the_body_does_what_the_clip_does(long):
    """What is within an arm's length moves this arm alone, for a second before and after at most."""
    arm = [SMPL.index(f"left_{joint}") for joint in ("shoulder", "elbow", "wrist")]
    for clip in long:
        without, _ = finish(clip, [first(clip)], still_feet=False)
        shoulder, wrist = without.joints[AT, arm[0]], without.joints[AT, arm[2]]
        made, _ = finish(clip, [first(clip), shifted(without, ["left_hand"], 0.3 * (shoulder - wrist))], still_feet=False)
        changed = rotations.angle_between(made.local, without.local) > 1e-6
        assert changed[AT, arm].all()
        assert not np.delete(changed, arm, axis=1).any()
        np.testing.assert_allclose(made.root, without.root, atol=1e-9)


def test_feet_stay_where_a_hand_reaches_for_the_floor(long):
    ankles = [SMPL.index("left_ankle"), SMPL.index("right_ankle")]
    for clip in long:
        without, _ = finish(clip, [first(clip)], still_feet=False)
        hand = without.joints[AT, SMPL.index("right_wrist")]
        made, _ = finish(clip, [first(clip), shifted(without, ["right_hand"], np.array([0.0, 0.15 - hand[1], 0.0]))], still_feet=False)
        np.testing.assert_allclose(made.joints[AT, ankles], without.joints[AT, ankles], atol=1e-4)
        assert made.joints[AT, SMPL.index("right_wrist"), 1] == pytest.approx(0.15, abs=1e-4)


def test_a_path_leads_to_what_is_far_away(long):
    """Whoever walks and is to touch something two metres farther on walks there with longer steps, and does not slide there in a second."""
    walkers = [clip for clip in long if np.linalg.norm((clip.root[-1] - clip.root[0])[[0, 2]]) > 1.0]
    assert len(walkers) > 3
    for clip in walkers:
        made, _ = finish(clip, [first(clip), shifted(clip, ["right_hand"], np.array([0.0, 0.0, 2.0]), len(clip) - 1)])
        steps = np.linalg.norm(np.diff(made.root, axis=0), axis=-1)
        own = np.linalg.norm(np.diff(clip.root, axis=0), axis=-1)
        assert steps.max() < np.e * own.max() + 0.02  # as far as steps may grow


def test_a_loop_holds_what_it_is_to_hold(long):
    for clip in long[:3]:
        given = [first(clip), shifted(clip, ["left_hand"], np.array([0.0, 0.2, 0.1]), 20)]
        made, cycle = finish(clip, given, loop=True)
        assert cycle is not None
        assert errors(made, given)[0] < 0.1


@pytest.mark.parametrize("last", [False, True])
def test_a_loop_goes_on_from_where_its_last_hand_leads_and_to_where_its_first_does(long, last):
    """There is one frame from the last pose to the first of the next cycle: whoever is far away in it goes on from there."""
    for clip in long:
        whole, hand = (0, len(clip) - 1) if last else (len(clip) - 1, 0)
        given = [
            Constraint(whole, clip.local[whole], clip.root[whole]),
            shifted(clip, ["left_hand"], np.array([0.0, 0.1, 0.1]), hand),
        ]
        made, cycle = finish(clip, given, loop=True)
        assert cycle is not None
        assert errors(made, given)[0] < 0.1
        step = cycle.clip.moved(cycle.turn, cycle.travel).root[0] - made.root[-1]
        assert np.linalg.norm(step) < 2.0 * np.linalg.norm(np.diff(clip.root, axis=0), axis=-1).max() + 0.05


def test_a_path_is_kept(long):
    clip = long[0]
    path = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 2.0]])
    along, _ = finish(clip, path=path, still_feet=False)
    given = [shifted(along, ["left_hand"], np.array([0.0, 0.1, 0.1]))]
    made, _ = finish(clip, given, path=path, still_feet=False)
    assert errors(made, given)[0] < 0.05
    np.testing.assert_allclose(made.root, along.root, atol=0.05)
