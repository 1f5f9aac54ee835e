"""Fewer keys than frames, and clips that stay in place."""
# pyright: reportMissingImports=false
# (the package `motiongpt` is made by `tests/conftest.py`)

import numpy as np
import pytest
from motiongpt.backend.motion import rotations
from motiongpt.backend.motion.clip import Clip
from motiongpt.backend.motion.skeleton import SMPL
from motiongpt.motiongpt_blender.animation.cycle import closed
from motiongpt.motiongpt_blender.animation.in_place import in_place
from motiongpt.motiongpt_blender.animation.keys import choose_keys, interpolate
from motiongpt.motiongpt_blender.orders import Keys


def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.linalg.norm(a - b, axis=-1)


@pytest.fixture
def wave() -> np.ndarray:
    time = np.linspace(0, 12, 196)
    return np.stack([np.sin(time), np.cos(1.7 * time), 0.1 * time], axis=-1)


@pytest.mark.parametrize("tolerance", [0.001, 0.01, 0.1])
def test_reduced_keys_stay_within_the_tolerance(wave, tolerance):
    keyed = choose_keys(wave, Keys("REDUCED"), [], distance, tolerance)
    assert distance(interpolate(keyed), wave).max() <= tolerance
    assert len(keyed.frames) < 80


def test_looser_tolerance_takes_fewer_keys(wave):
    counts = [len(choose_keys(wave, Keys("REDUCED"), [], distance, tolerance).frames) for tolerance in (0.001, 0.01, 0.1)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[2]


def test_motion_at_constant_speed_takes_two_keys():
    keyed = choose_keys(np.linspace([0, 1], [3, -2], 100), Keys("REDUCED"), [], distance, 1e-6)
    assert keyed.frames.tolist() == [0, 99]


@pytest.mark.parametrize("way", ["STEP", "REDUCED"])
def test_pinned_frames_have_keys_with_their_values(wave, way):
    keyed = choose_keys(wave, Keys(way, step=10), [33, 101], distance, 0.5)
    assert {0, 33, 101, 195} <= set(keyed.frames.tolist())
    assert keyed.values == pytest.approx(wave[keyed.frames])


def test_every_frame_has_its_key(wave):
    keyed = choose_keys(wave, Keys("EVERY"), [5], distance, 1.0)
    assert keyed.frames.tolist() == list(range(196))
    assert keyed.slopes is None


@pytest.mark.parametrize("count", [1, 2])
def test_shortest_clips_keep_their_keys(count):
    assert len(choose_keys(np.zeros((count, 3)), Keys("REDUCED"), [], distance, 1.0).frames) == count


def test_nothing_moves_across_a_jump(wave):
    wave[100:] *= -1  # as a quaternion says the same rotation
    keyed = choose_keys(wave, Keys("REDUCED"), [], distance, 0.01, [100])
    assert {99, 100} <= set(keyed.frames.tolist())
    assert distance(interpolate(keyed), wave).max() <= 0.01


def walk(frames: int = 96) -> Clip:
    """Straight ahead at 1.2 m/s, swaying sideways by 3 cm with every pair of steps."""
    time = np.arange(frames) / 24
    root = np.stack([0.03 * np.sin(2 * np.pi * time), 0.9 + 0.02 * np.cos(4 * np.pi * time), 1.2 * time], axis=-1)
    local = np.tile(rotations.IDENTITY, (frames, 22, 1))
    return Clip(local, root, np.zeros((frames, 4), dtype=bool), 24.0, SMPL)


@pytest.mark.parametrize("loop", [False, True])
def test_travel_is_gone_and_sway_stays(loop):
    clip = walk()
    if loop:
        clip = closed(clip, rotations.IDENTITY, np.array([0.0, 0.0, 4.8]))
    still = in_place(clip, 0, loop)
    assert np.ptp(still.root[:, 2]) < 1e-6
    assert np.ptp(still.root[:, 0]) == pytest.approx(0.06, rel=0.25)
    assert still.root[:, 1] == pytest.approx(clip.root[:, 1])


def test_closed_loop_ends_as_it_begins_a_cycle_further_on():
    clip = walk(48)  # two whole cycles
    turn = rotations.about(np.array([0.0, 1.0, 0.0]), np.array(np.pi / 2))
    travel = np.array([0.0, 0.0, 2.4])
    cycle = closed(clip, turn, travel)
    assert len(cycle) == 49
    assert cycle.root[-1] == pytest.approx(rotations.rotate(turn, clip.root[0]) + travel)
    assert rotations.angle_between(cycle.local[-1, 0], clip.local[0, 0]) == pytest.approx(np.pi / 2, abs=1e-6)
    assert cycle.local[-1, 1:] == pytest.approx(clip.local[0, 1:])


@pytest.mark.parametrize("anchor", [0, 40, 95])
def test_character_stays_where_it_is_at_the_anchor(anchor):
    clip = walk()
    assert in_place(clip, anchor, False).root[anchor] == pytest.approx(clip.root[anchor])
