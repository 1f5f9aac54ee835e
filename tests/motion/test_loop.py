"""Loops: endless without a seam, as long as asked for, going where the clip goes."""

from collections.abc import Sequence

import numpy as np
import pytest

from backend.motion import rotations
from backend.motion.clip import Clip
from backend.motion.feet import slide
from backend.motion.finish import finish
from backend.motion.fit import Constraint, errors
from backend.motion.loop import Cycle, find_loop
from backend.motion.skeleton import SMPL


def walker(frames: int, frames_per_cycle: float, fps: float = 20.0) -> Clip:
    """Legs and arms that swing in a fixed rhythm, on a straight path of a metre a second."""
    phase = 2.0 * np.pi * np.arange(frames) / frames_per_cycle
    local = np.tile(rotations.IDENTITY, (frames, len(SMPL), 1))
    for joint, sign in (("left_hip", 1), ("right_hip", -1), ("left_shoulder", -1), ("right_shoulder", 1)):
        local[:, SMPL.index(joint)] = rotations.about(np.array([1.0, 0.0, 0.0]), 0.5 * sign * np.sin(phase))
    root = np.stack([np.zeros(frames), np.full(frames, SMPL.rest_height), np.arange(frames) / fps], axis=-1)
    return Clip(local, root, np.zeros((frames, 4), dtype=bool), fps, SMPL)


def looped(clip: Clip, given: Sequence[Constraint] = (), still_feet: bool = True) -> Cycle:
    made, cycle = finish(clip, given, loop=True, still_feet=still_feet)
    assert cycle is not None
    assert made is cycle.clip
    return cycle


def test_the_cycle_of_a_rhythm_is_found():
    clip = walker(70, 23.0)
    cycle = find_loop(clip)
    assert len(cycle.clip) == 70
    np.testing.assert_allclose(cycle.turn, rotations.IDENTITY, atol=1e-9)
    np.testing.assert_allclose(cycle.travel, [0.0, 0.0, 69 / 20.0], atol=1e-6)  # three rhythms, slowed from 69 to 70 frames
    swing = 2.0 * np.arcsin(np.clip(cycle.clip.local[:, 1, 1], -1, 1))
    spectrum = np.abs(np.fft.rfft(swing))
    assert spectrum.argmax() == 3
    assert np.delete(spectrum, 3).max() < 0.02 * spectrum[3]


@pytest.mark.parametrize("still_feet", [False, True])
def test_the_seam_is_like_any_other_frame(clips, shaken, still_feet):
    for clip in (*clips, *shaken):
        cycle = looped(clip, still_feet=still_feet)
        assert len(cycle.clip) == len(clip)
        row = cycle.repeated(3)
        steps = np.linalg.norm(np.diff(row.joints, axis=0), axis=-1).max(axis=-1)
        jolts = np.linalg.norm(np.diff(row.joints, 2, axis=0), axis=-1).max(axis=-1)
        seams = [len(clip) - 1, 2 * len(clip) - 1]
        assert steps[seams].max() <= 1.2 * np.delete(steps, seams).max()
        assert jolts[[s + i for s in seams for i in (-1, 0)]].max() <= 1.3 * jolts[len(clip) + 2 : 2 * len(clip) - 3].max()


def test_a_repeated_cycle_is_the_cycle_moved_on(clips):
    for clip in clips[:4]:
        cycle = looped(clip)
        joints = cycle.repeated(2).joints
        later = rotations.rotate(cycle.turn, cycle.clip.joints) + cycle.travel
        np.testing.assert_allclose(joints[len(clip) :], later, atol=1e-9)
        np.testing.assert_allclose(joints[: len(clip)], cycle.clip.joints, atol=1e-9)


def test_a_walk_goes_on_walking(clips):
    clip = max(clips, key=lambda c: np.linalg.norm(c.root[-1] - c.root[0]))
    cycle = looped(clip)
    pace = np.linalg.norm(np.diff(clip.root[:, [0, 2]], axis=0), axis=-1)
    round_ = np.linalg.norm(np.diff(cycle.repeated(2).root[:, [0, 2]], axis=0), axis=-1)
    assert 0.6 * np.percentile(pace, 70) < np.median(round_) < 1.6 * np.percentile(pace, 70)
    assert slide(cycle.clip) < 1.0


def test_a_loop_passes_through_given_poses(clips):
    for clip, other in zip(clips[:5], clips[1:], strict=False):
        given = [Constraint(0, other.local[3], other.root[3]), Constraint(20, clip.local[20], other.root[3] + [0.1, 0.0, 0.2])]
        cycle = looped(clip, given)
        millimetres, degrees = errors(cycle.clip, given)
        assert millimetres < 1e-3
        assert degrees < 1e-3
        assert len(cycle.clip) == len(clip)


def test_a_loop_goes_on_from_the_pose_that_it_ends_with():
    """Who is to be back in the first place with the last frame steps on from there, and is not carried off to where the walk led."""
    clip = walker(60, 20.0)
    given = [Constraint(frame, clip.local[0], clip.root[0]) for frame in (0, 59)]
    cycle = looped(clip, given)
    assert errors(cycle.clip, given)[0] < 1e-6
    steps = np.linalg.norm(np.diff(cycle.repeated(2).root, axis=0), axis=-1)
    assert steps[59] < 0.1 < np.linalg.norm(clip.root[59] - clip.root[0])


def test_a_loop_needs_half_a_second(clips):
    with pytest.raises(ValueError, match="at least"):
        find_loop(clips[0].resampled(9, 20.0))
    assert len(find_loop(clips[0].resampled(10, 20.0)).clip) == 10
