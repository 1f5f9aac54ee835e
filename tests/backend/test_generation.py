"""The default bundle, for real: what comes out of the chain between request and reply."""

from dataclasses import replace

import numpy as np
import pytest

from backend.generation import Generator, best_of, mirrored_attempts
from backend.language.decoding import Sampling, sample_codes
from backend.language.prompts import Instruction, build_prompt
from backend.motion import rotations
from backend.motion.features import facing, mirrored
from backend.motion.fit import Constraint
from backend.motion.path import angles, heading
from backend.motion.skeleton import SMPL
from backend.protocol.errors import Code, MotionGPTError
from backend.protocol.messages import ATTEMPTS, Generate, Load, MadeClip, Pose, Segment
from backend.windows import plan

WALK = "a person walks forward."


@pytest.fixture(scope="module")
def generator():
    return Generator.load()


def test_what_a_first_clip_with_a_pose_needs_is_made_ready_at_the_start(generator, monkeypatch):
    """Finer codes are read out one by one there, by a kernel that takes long to compile."""
    asked = []
    monkeypatch.setattr(generator.model, "finer_logits", lambda hidden, chosen: asked.append((hidden.shape, chosen.shape)))
    generator.warm_up()
    assert [chosen for _, chosen in asked] == [(1, 1)]


def test_half_of_the_attempts_at_a_side_are_made_in_a_mirror(generator, monkeypatch):
    """They are what the other side is answered with, left and right exchanged."""
    made = []
    monkeypatch.setattr(generator, "_made", lambda request, poses, candidates, features, *others: made.append(features) or ())
    for side, candidates in (("left", 4), ("right", 8)):
        request = Generate((Segment(f"a person raises the {side} arm.", 24),), 20.0, 3, candidates=candidates)
        generator.generate(request, lambda done, total: None, lambda: False)
    left, right = made
    assert (len(left), len(right)) == (4, 8)
    np.testing.assert_allclose(left[2:], mirrored(right[2:4], generator.skeleton), atol=1e-4)  # each attempt has its own random numbers


@pytest.mark.parametrize(
    ("prompts", "attempts", "turned"),
    [(["walks", "turns Left"], 4, 2), (["walks"], 4, 0), (["turns left"], 1, 0), (["turns left"], 3, 0), (["left and right"], 2, 1)],
)
def test_attempts_are_mirrored_where_a_side_is_named(prompts, attempts, turned):
    assert mirrored_attempts(prompts, attempts).tolist() == [False] * (attempts - turned) + [True] * turned


def crouch(frame: int, height: float = 0.8, turn: float = 0.0, place=(0.0, 0.0)) -> Pose:
    """A bent pose that no clip of the data holds exactly, turned about the vertical."""
    local = np.tile(rotations.IDENTITY, (len(SMPL), 1))
    for joint, axis, degrees in (
        ("left_hip", (1, 0, 0), -50),
        ("right_hip", (1, 0, 0), -30),
        ("left_knee", (1, 0, 0), 70),
        ("right_knee", (1, 0, 0), 60),
        ("left_shoulder", (0, 0, 1), -60),
        ("right_shoulder", (0, 0, 1), 75),
        ("head", (0, 1, 0), 25),
    ):
        local[SMPL.index(joint)] = rotations.about(np.array(axis, dtype=float), np.radians(degrees))
    local[0] = rotations.about(np.array([0.0, 1.0, 0.0]), np.array(turn))
    return Pose(frame, local, np.array([place[0], height, place[1]]))


def make(generator: Generator, prompt: str = WALK, frames: int = 48, **request) -> MadeClip:
    fields = {"segments": (Segment(prompt, frames),), "fps": 24.0, "seed": 3} | request
    return generator.generate(Generate(**fields), lambda done, total: None, lambda: False).clips[0]


def test_the_clip_has_the_length_and_rate_asked_for(generator):
    for frames, fps in ((48, 24.0), (60, 29.97), (20, 20.0), (235, 24.0)):
        reply = make(generator, frames=frames, fps=fps)
        assert reply.joints.shape == (frames, 22, 3)
        assert reply.rotations.shape == (frames, 22, 4)
        assert reply.root_translation.shape == (frames, 3)
        assert reply.contacts.shape == (frames, 4)


def test_rotations_and_path_are_the_joints(generator):
    reply = make(generator)
    joints = SMPL.forward(reply.rotations.astype(np.float64), reply.root_translation.astype(np.float64))
    np.testing.assert_allclose(joints, reply.joints, atol=1e-5)
    steps = np.sum(reply.rotations[1:] * reply.rotations[:-1], axis=-1)
    assert steps.min() > 0  # no flips of sign


def test_a_person_stays_upright_and_on_the_floor(generator):
    for seed in range(3):
        reply = make(generator, seed=seed, frames=96)
        head, feet = reply.joints[:, SMPL.index("head"), 1], reply.joints[..., 1].min(axis=1)
        assert np.median(head) > 1.2
        assert feet.min() > -0.05
        assert feet.max() < 0.5


def test_one_seed_one_clip(generator):
    once, again, other = make(generator), make(generator), make(generator, seed=4)
    np.testing.assert_array_equal(once.rotations, again.rotations)
    assert np.abs(once.joints - other.joints).max() > 0.01


@pytest.mark.parametrize("frames", [[0], [47], [0, 47], [12, 24, 36], [0, 20, 47]])
def test_poses_are_met_within_a_millimetre_and_a_tenth_of_a_degree(generator, frames):
    poses = tuple(crouch(f, 0.75 + 0.002 * f, turn=0.02 * f, place=(0.01 * f, 0.02 * f)) for f in frames)
    reply = make(generator, poses=poses)
    for pose in poses:
        wanted = SMPL.forward(pose.rotations, pose.root_translation)
        assert np.linalg.norm(reply.joints[pose.frame] - wanted, axis=-1).max() < 1e-3
        assert np.degrees(rotations.angle_between(reply.rotations[pose.frame], pose.rotations)).max() < 0.1
    assert reply.constraint_error_mm < 1.0
    assert reply.constraint_error_deg < 0.1


def test_hands_and_feet_alone_are_met_while_the_rest_goes_its_own_way(generator):
    free = make(generator, poses=(crouch(0),))
    reached = replace(crouch(24, 0.9, turn=0.3, place=(0.1, 0.2)), only=("left_hand", "right_hand"))
    reply = make(generator, poses=(crouch(0), reached))
    wanted, wrists = SMPL.forward(reached.rotations, reached.root_translation), [SMPL.index(f"{side}_wrist") for side in ("left", "right")]
    assert np.linalg.norm(reply.joints[24, wrists] - wanted[wrists], axis=-1).max() < 1e-3
    turned = SMPL.to_global(np.stack([reply.rotations[24].astype(float), reached.rotations]))[:, wrists]
    assert np.degrees(rotations.angle_between(*turned)).max() < 0.1
    knees = [SMPL.index(f"{side}_knee") for side in ("left", "right")]
    assert rotations.angle_between(reply.rotations[24, knees], reached.rotations[knees]).max() > 0.2
    assert reply.constraint_error_mm < 1.0
    assert reply.constraint_error_deg < 0.1
    np.testing.assert_allclose(reply.joints[0], free.joints[0], atol=1e-4)


def test_the_clip_goes_on_from_where_the_pose_stands_and_faces(generator):
    pose = crouch(0, turn=2.0, place=(3.0, -5.0))
    reply = make(generator, poses=(pose,))
    assert np.linalg.norm(reply.root_translation[:, [0, 2]] - [3.0, -5.0], axis=-1).max() < 6.0
    early = facing(reply.joints[2].astype(np.float64), SMPL)
    assert early @ facing(SMPL.forward(pose.rotations, pose.root_translation), SMPL) > 0.8


def test_a_pose_needs_no_prompt(generator):
    assert make(generator, prompt="", poses=(crouch(0),)).constraint_error_mm < 1.0


def test_the_model_is_told_about_how_far_the_clip_turns(generator):
    """What is added up over the codes, which the model is told, against the clips that the tokenizer makes of them."""
    instruction, length = Instruction("a person walks in a circle.", [], 8.0), 40
    prompt = generator.model.vocabulary.prompt(build_prompt(instruction, generator.template))
    course = generator.model.course_for(instruction, length, generator.bundle.seconds_per_position)
    codes = sample_codes(generator.model, prompt, length, Sampling(seed=1), 6, course=course)
    told = generator.model.sums(codes)[:, -1, 1] / 100.0
    turned = np.array([heading(clip)[-1] - heading(clip)[0] for clip in generator.decode(codes)])
    assert np.degrees(np.abs(told.numpy() - turned)).max() < 40.0
    assert np.degrees(np.abs(turned)).max() > 120.0


def turn(clip: MadeClip, begin: int = 0, end: int = -1) -> float:
    """How many degrees a clip turns to the left from one frame to another."""
    faced = angles(facing(clip.joints.astype(float), SMPL)[:, [0, 2]])
    return float(np.degrees(faced[end] - faced[begin]))


@pytest.mark.parametrize(("prompt", "degrees"), [("walks forward and turns left by 90 degrees", 90), ("turns right by 180 degrees", -180)])
def test_an_angle_in_a_prompt_is_turned_by(generator, prompt, degrees):
    for seed in range(3):
        assert turn(make(generator, f"a person {prompt}.", 80, seed=seed)) == pytest.approx(degrees, abs=20)  # and sway


def test_each_of_a_sequence_turns_as_far_as_its_own_prompt_says(generator):
    request = Generate(tuple(Segment(f"a person walks and turns {side} by 60 degrees.", 60) for side in ("left", "right")), 20.0, seed=2)
    clip = generator.generate(request, lambda done, total: None, lambda: False).clips[0]
    assert turn(clip, 0, 60) == pytest.approx(60, abs=20)
    assert turn(clip, 60, 119) == pytest.approx(-60, abs=20)


def test_poses_and_paths_lead_elsewhere_than_an_angle_says(generator):
    prompt, poses = "a person walks and turns left by 90 degrees.", (crouch(0), crouch(79, place=(0.0, 3.0)))
    assert turn(make(generator, prompt, 80, poses=poses)) == pytest.approx(0, abs=0.2)
    assert abs(turn(make(generator, prompt, 80, path=np.array([[0.0, 0.0], [0.0, 4.0]])))) < 45


def test_another_prompt_is_another_clip(generator):
    assert np.abs(make(generator).joints - make(generator, prompt="a person sits down.").joints).max() > 0.05


def test_feet_are_locked_only_if_asked(generator):
    loose, locked = make(generator, lock_feet=False, frames=96), make(generator, frames=96)
    assert locked.foot_slide_mm_per_frame < loose.foot_slide_mm_per_frame


def test_a_loop_goes_on_where_it_ends(generator):
    made = make(generator, loop=True, frames=60)
    assert made.joints.shape == (60, 22, 3)
    assert made.cycle_turn is not None and made.cycle_travel is not None
    after = rotations.rotate(made.cycle_turn, made.joints[0].astype(np.float64)) + made.cycle_travel
    step = np.linalg.norm(after - made.joints[-1], axis=-1).max()
    assert step < 1.5 * np.linalg.norm(np.diff(made.joints, axis=0), axis=-1).max()
    assert np.linalg.norm(made.cycle_travel) > 0.5
    assert make(generator).cycle_turn is None


def test_a_clip_follows_a_path_through_a_pose(generator):
    path = np.array([[0.0, 0.0], [0.0, 2.0], [1.5, 2.0]])
    made = make(generator, frames=72, path=path, poses=(crouch(0),))
    assert made.constraint_error_mm < 1.0
    np.testing.assert_allclose(made.root_translation[-1, [0, 2]], path[-1], atol=1e-3)


def test_every_token_is_told_and_cancel_comes_before_the_next(generator):
    told: list[tuple[int, int]] = []
    with pytest.raises(MotionGPTError) as error:
        generator.generate(Generate((Segment(WALK, 96),), 24.0), lambda done, total: told.append((done, total)), lambda: len(told) == 5)
    assert error.value.code == Code.CANCELLED
    assert told == [(i, 20) for i in range(1, 6)]


@pytest.mark.parametrize(
    ("request_", "what"),
    [
        ({"prompt": "  "}, "neither a prompt nor a pose"),
        ({"prompt": "walk " * 1000}, "5000 characters"),
        ({"frames": 0}, "clip of 0 s"),
        ({"frames": 1, "fps": 30.0}, r"clip of 0\.033 s .* Ask for 0\.2 to 600 s"),
        ({"frames": 1, "fps": 3.0}, r"clip of 0\.333 s .* Ask for 0\.667 to 600 s"),
        ({"frames": 24_000}, "clip of 1000 s"),
        ({"samples": 0}, "variations"),
        ({"samples": 52, "candidates": 5}, "52 variations of 5"),
        ({"segments": ()}, "clip of 0 s"),
        ({"fps": 0.0}, "rate"),
        ({"seed": 10**30}, "seed"),
        ({"frames": 10, "loop": True}, "too short"),
        ({"frames": 3, "fps": 5.7, "loop": True}, r"loop of 0\.526 s is too short\. Ask for at least 0\.702 s"),
        ({"loop": True, "path": np.eye(2)}, "cannot follow"),
        ({"path": np.zeros((3, 2))}, "no length"),
        ({"path": np.eye(2) * 1e-4}, "no length"),
        ({"poses": (crouch(48),)}, "outside"),
        ({"poses": (crouch(3), crouch(3))}, "Two poses"),
        ({"poses": (Pose(0, np.zeros((22, 4)), np.zeros(3)),)}, "unit"),
        ({"poses": (crouch(0), replace(crouch(3), only=("left_hand", "nose")))}, "nose"),
        ({"poses": (replace(crouch(3), only=("left_hand",)),)}, "no pose of the whole body"),
        ({"poses": (Pose(0, np.zeros((21, 4)), np.zeros(3)),)}, "rotations"),
    ],
)
def test_requests_that_cannot_be_met_say_why(generator, request_, what):
    with pytest.raises(MotionGPTError, match=what) as error:
        make(generator, **request_)
    assert error.value.code == Code.INVALID_PARAMS


def test_variations_differ_and_the_first_is_the_clip_alone(generator):
    request = Generate((Segment(WALK, 40),), 20.0, seed=3, samples=3)
    first, *others = generator.generate(request, lambda done, total: None, lambda: False).clips
    alone = generator.generate(replace(request, samples=1), lambda done, total: None, lambda: False).clips[0]
    np.testing.assert_allclose(alone.joints, first.joints, atol=1e-4)
    assert len(others) == 2
    for other in others:
        assert np.abs(other.joints - first.joints).max() > 0.01


def test_of_several_candidates_the_one_nearest_to_the_poses_is_kept(generator):
    poses = (crouch(0), crouch(39, place=(0.0, 1.0)))
    request = {"segments": (Segment("", 40),), "fps": 20.0, "seed": 3, "poses": poses}
    four = generator.generate(Generate(**request, samples=4, candidates=1), lambda done, total: None, lambda: False)
    best = generator.generate(Generate(**request, candidates=4), lambda done, total: None, lambda: False)
    assert len(best.clips) == 1
    assert best.clips[0].model_error_mm == pytest.approx(min(clip.model_error_mm for clip in four.clips), rel=1e-3)


def test_of_several_answers_the_one_is_taken_that_ranks_best_in_both_ways():
    explained, none = np.array([3.0, 9.0, 7.0]), np.zeros(3)
    assert best_of(-explained, none) == 1
    assert best_of(none, np.array([30.0, 20.0, 10.0])) == 2
    assert best_of(-explained, np.array([25.0, 30.0, 10.0])) == 2  # second in words and first in poses, before first and last
    assert best_of(none, none) == 0


def test_of_several_attempts_the_one_is_kept_that_the_prompt_explains_best(generator, monkeypatch):
    agreed: list[np.ndarray] = []
    monkeypatch.setattr("backend.generation.best_of", lambda *costs: agreed.append(-costs[0]) or best_of(*costs))
    request = {"segments": (Segment(WALK, 24),), "fps": 20.0}
    for seed in range(3):
        best = generator.generate(Generate(**request, seed=seed, candidates=4), lambda done, total: None, lambda: False).clips[0]
        attempts = generator.generate(Generate(**request, seed=seed, samples=4, candidates=1), lambda done, total: None, lambda: False)
        np.testing.assert_allclose(best.joints, attempts.clips[int(agreed[seed].argmax())].joints, atol=1e-4)
    assert len({int(agreement.argmax()) for agreement in agreed}) > 1


def test_more_attempts_than_are_decoded_at_once_are_made_one_after_another(generator, monkeypatch):
    """The same clips, and progress that goes on over all of them."""
    request, told = Generate((Segment(WALK, 12),), 20.0, seed=4, samples=5, candidates=2), []
    together = generator.generate(request, lambda done, total: None, lambda: False)
    monkeypatch.setattr("backend.generation.MOST_AT_ONCE", 5)
    shown: list[int] = []
    apart = generator.generate(
        replace(request, preview=True),
        lambda done, total: told.append((done, total)),
        lambda: False,
        lambda first, clip: shown.append(first),
    )
    assert told == [(done, 9) for done in range(1, 10)]
    assert shown and len(apart.clips) == 5
    for one, other in zip(together.clips, apart.clips, strict=True):
        np.testing.assert_allclose(one.joints, other.joints, atol=1e-4)


def test_nothing_is_attempted_twice_where_nothing_says_what_is_better(generator):
    batches: list[int] = []
    sample = generator._sample
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generator, "_sample", lambda *args: batches.append(len(args[3])) or sample(*args))
        for ranker, guidance in ((None, 1.0), (None, 2.0), (generator.ranker, 1.0)):
            patch.setattr(generator, "ranker", ranker)
            generator.generate(Generate((Segment(WALK, 12),), 20.0, guidance=guidance), lambda done, total: None, lambda: False)
    assert batches == [1, ATTEMPTS, ATTEMPTS]


def test_a_last_pose_belongs_to_the_last_window(generator):
    request = Generate((Segment(WALK, 300),), 20.0, poses=(crouch(299),))
    poses = [Constraint(p.frame, p.rotations, p.root_translation) for p in request.poses]
    held, windows = generator.held_codes(poses), plan([75], generator.bundle.longest)
    told = [generator._instruction(request, window, poses, held, window is windows[-1]).poses for window in windows]
    assert [len(poses) for poses in told] == [0] * (len(windows) - 1) + [1]


def test_motion_longer_than_the_model_answers_at_once(generator):
    poses = (crouch(0), crouch(150), crouch(299, place=(2.0, 3.0)))
    told: list[tuple[int, int]] = []
    request = Generate((Segment(WALK, 300),), 20.0, seed=3, poses=poses)
    clip = generator.generate(request, lambda done, total: told.append((done, total)), lambda: False).clips[0]
    assert clip.joints.shape == (300, 22, 3)
    assert clip.constraint_error_mm < 1.0 and clip.constraint_error_deg < 0.1
    assert told == [(i, 75) for i in range(1, 76)]


def test_segments_follow_each_other_without_a_seam(generator):
    def joints(second: str) -> np.ndarray:
        request = Generate((Segment("a person runs forward.", 60), Segment(second, 60)), 20.0, seed=3)
        return generator.generate(request, lambda done, total: None, lambda: False).clips[0].joints.astype(np.float64)

    still, running = joints("a person stands still."), joints("a person runs forward.")
    steps = np.linalg.norm(np.diff(still, axis=0), axis=-1).max(axis=-1)
    assert steps[58:62].max() < 1.5 * np.delete(steps, slice(58, 62)).max()
    assert np.abs(still[60:] - running[60:]).max() > 0.3


def test_previews_come_early_and_end_near_the_clip(generator):
    shown: list[tuple[int, int, np.ndarray]] = []
    done = [0]

    def count(now: int, total: int) -> None:
        done[0] = now

    request = Generate((Segment(WALK, 235),), 24.0, seed=3, poses=(crouch(0, place=(1.0, 2.0)),), candidates=1)
    clip = generator.generate(request, count, lambda: False, lambda first, part: shown.append((first, done[0], part.root))).clips[0]
    assert shown[0][0] == 0 and shown[0][1] <= 0.1 * 49
    np.testing.assert_allclose(shown[0][2][0, [0, 2]], [1.0, 2.0], atol=1e-6)
    first, _, root = shown[-1]
    assert np.linalg.norm(root[0] - clip.root_translation[first]) < 0.3


@pytest.mark.parametrize(("precision", "named"), [("auto", False), ("int8", False), ("float32", True)])
def test_more_memory_than_is_allowed_is_refused(precision, named):
    with pytest.raises(MotionGPTError, match=r"needs \d+ MB of memory, and 100 MB are allowed") as error:
        Generator.load(Load(device="cpu", precision=precision, memory_limit_mb=100))
    assert error.value.code == Code.OUT_OF_MEMORY and "Raise the limit" in error.value.remedy
    assert ("precision int8" in error.value.remedy) is named


def test_precisions_that_are_not_there_are_named():
    with pytest.raises(MotionGPTError, match="int3"):
        Generator.load(Load(device="cpu", precision="int3"))
