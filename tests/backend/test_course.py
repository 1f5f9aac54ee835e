"""What a model is told at every position of an answer, and that it is told the same however the answer is made."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from backend.language.course import course_of, on_course
from backend.language.decoding import Agreement, Asked, Pull, Sampling, sample_codes, sample_each
from backend.language.heads import AdapterConfig
from backend.language.model import MotionLanguageModel, load_causal
from backend.language.odometry import Odometry, blurred
from backend.language.prompts import Instruction, PoseCode
from backend.language.runtime import EngineModel
from backend.language.vocabulary import ids_of

sys.path.insert(0, str(Path(__file__).parent))
from tiny import write_base

SECONDS = 0.2  # a position
INSTRUCTION = Instruction("a man waves", [PoseCode("first", (3, 4)), PoseCode("key", (5, 6), 0.45), PoseCode("last", (7, 8), 0.8)], 1.0)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def model(base):
    causal, tokenizer = load_causal(base, torch.float32)
    torch.manual_seed(0)
    made = MotionLanguageModel(causal, tokenizer, AdapterConfig(rank=4), 64, 2)
    for parameter in made.parameters():
        if parameter.requires_grad:
            parameter.data += 0.1 * torch.randn_like(parameter)
    assert made.odometry is not None
    made.odometry.turns.normal_()
    return made.eval()


def test_every_position_is_told_what_is_left_and_which_pose_is_next():
    course = course_of(INSTRUCTION, 5, SECONDS, levels=2)
    assert course.tolist() == [
        [5, 0, 3, 4],
        [4, 1, 5, 6],
        [3, 0, 5, 6],
        [2, 1, 7, 8],
        [1, 0, 7, 8],
        [0, -1, -1, -1],
    ]


@pytest.mark.parametrize("position", range(1, 49))
def test_a_time_belongs_to_the_position_that_it_begins(position):
    frame = 4 * position
    course = course_of(Instruction("", [PoseCode("key", (1,), frame / 20.0)], 9.8), 49, 4 / 20.0, levels=1)
    assert course[position, 1] == 0


def test_an_open_length_and_no_poses_are_told_as_nothing():
    assert (course_of(Instruction("a man waves"), 3, SECONDS, levels=2) == -1).all()


def test_the_end_of_a_prompt_is_told_of_the_first_position():
    ids = torch.arange(6).reshape(3, 2)
    told = on_course(ids, course_of(INSTRUCTION, 5, SECONDS, levels=2)[:1])
    assert told.tolist() == [[0, 1, -1, -1, -1, -1], [2, 3, -1, -1, -1, -1], [4, 5, 5, 0, 3, 4]]


def test_what_codes_turn_is_added_up():
    """A quarter turn to the left and two to the right; of two levels, each gives half."""
    odometry = Odometry(2, 3, 8)
    odometry.turns[:, 1], odometry.turns[:, 2] = math.pi / 4, -math.pi / 4
    codes = torch.tensor([1, 0, 2, 2])[:, None].expand(-1, 2)
    rows = odometry.sums(torch.stack([codes, codes]))
    quarter = 157  # hundredths of a radian
    assert rows[0].tolist() == [[0, 0], [1, quarter], [2, quarter], [3, 0], [4, -quarter]]
    assert torch.equal(rows[0], rows[1])
    assert odometry.sums(codes[:0]).tolist() == [[0, 0]]


def test_sums_are_blurred_about_what_they_are():
    rows = Odometry(1, 3, 8).sums(torch.zeros(49, 1, dtype=torch.long))
    rows[1:, 1] = 300
    told = [blurred(rows, np.random.default_rng(seed), 0.1) for seed in range(200)]
    assert all(torch.equal(each[:, 0], rows[:, 0]) and each[0, 1] == 0 for each in told)
    off = torch.stack(told)[:, 1:, 1].double() / 100.0 - 3.0
    assert abs(float(off.mean())) < 0.1
    assert float(off.std()) == pytest.approx(math.hypot(0.1, 0.3), rel=0.2)


def test_what_is_added_up_counts_only_within_an_answer():
    odometry = Odometry(1, 3, 8)
    torch.nn.init.normal_(odometry.outer.weight)
    told = odometry(torch.tensor([[-1, -1], [0, 0], [3, 150], [3, 0]]))
    assert (told[0] == 0).all()
    assert len({tuple(row.tolist()) for row in told}) == 4


def prompt_of(model, caption: str) -> torch.Tensor:
    return model.vocabulary.prompt([caption, (3, 2), " motion:"])


def greedy(model, prompt: torch.Tensor, course: torch.Tensor, length: int) -> list[list[int]]:
    """The likeliest codes, the whole sequence anew for every position, as training sees it."""
    chosen: list[tuple[int, ...]] = []
    with torch.inference_mode():
        while (legal := model.vocabulary.legal(chosen, length)) is not None:
            sums = model.sums(torch.tensor(chosen, dtype=torch.long).reshape(-1, 2))
            ids = on_course(torch.cat([prompt, ids_of(model.vocabulary, chosen)]), course[: len(chosen) + 1], sums)
            hidden = model.hidden(ids[None])[:, -1]
            picked = model.logits(hidden).masked_fill(~legal, -torch.inf).argmax(-1, keepdim=True)
            picked = torch.cat([picked, model.finer_logits(hidden, picked).argmax(-1, keepdim=True)], dim=-1)
            chosen.append(tuple(picked[0].tolist()))
    return [list(position) for position in chosen]


def test_decoding_tells_what_training_tells(model, base):
    """Token by token, side by side with another answer, from codes that are given, and on the engine."""
    course = course_of(INSTRUCTION, 5, SECONDS, levels=2)
    prompt, sampling = prompt_of(model, "a man waves"), Sampling(temperature=0)
    expected = greedy(model, prompt, course, 5)
    assert expected != greedy(model, prompt, torch.full_like(course, -1), 5)
    fast = EngineModel(base, model.adapter_tensors(), model.config, 64, 2, "cpu", "float32")
    other = course_of(Instruction("", [], 1.4), 7, SECONDS, levels=2)
    for way in (model, fast):
        assert sample_codes(way, prompt, 5, sampling, samples=2, course=course).tolist() == [expected] * 2
        given = [[tuple(position) for position in expected[:2]]]
        assert sample_codes(way, prompt, 5, sampling, course=course, given=given)[0].tolist() == expected
        asked = [Asked(prompt, course=course), Asked(prompt_of(model, "so"), course=other)]
        both = sample_each(way, asked, (5, 7), sampling)
        assert both[0].tolist() == expected
        assert both[1].tolist() == greedy(model, prompt_of(model, "so"), other, 7)


def test_a_pull_brings_answers_to_the_poses_that_are_due_and_leaves_the_rest(model):
    torch.manual_seed(0)
    codebooks = torch.randn(2, 64, 8) * torch.tensor([1.0, 0.1])[:, None, None]
    course = course_of(INSTRUCTION, 5, SECONDS, levels=2)
    prompt = prompt_of(model, "a man waves")
    for samples, guidance in ((1, 1.0), (3, 2.0)):
        sampling = Sampling(seed=3, guidance=guidance)
        options = {"samples": samples, "without": prompt_of(model, "so"), "course": course}
        free, drawn, barely = (
            sample_codes(model, prompt, 5, sampling, **options, pull=pull) for pull in (None, Pull(codebooks, 1e4), Pull(codebooks, 1e-9))
        )
        assert drawn[:, [0, 2, 4]].tolist() == [[[3, 4], [5, 6], [7, 8]]] * samples
        assert not torch.equal(free[:, [0, 2, 4]], drawn[:, [0, 2, 4]])
        assert torch.equal(free, barely)
        beside = sample_codes(model, prompt, 5, sampling, **options, pull=Pull(codebooks, 1e4, beside=1e4))
        assert beside.tolist() == [[[3, 4], [5, 6], [5, 6], [7, 8], [7, 8]]] * samples


def test_a_pull_reaches_one_position_to_both_sides_of_a_pose():
    poses = [PoseCode("first", (3, 4), 0.0), PoseCode("key", (5, 6), 4 * SECONDS)]
    weights, codes = Pull(torch.zeros(2, 64, 8), 9.0, beside=2.0).along(course_of(Instruction("", poses), 7, SECONDS, levels=2))
    assert weights.tolist() == [9, 2, 0, 2, 9, 2, 0, 0]
    assert codes[weights > 0].tolist() == [[3, 4]] * 2 + [[5, 6]] * 3


def test_what_is_made_in_more_probable_words_agrees_more(model):
    """The agreement is the difference of what both prompts say of the answer, added up over its positions."""
    asked, unasked = prompt_of(model, "a man waves with the left hand"), prompt_of(model, "so")
    agreement = Agreement(torch.zeros(2))
    codes = sample_codes(model, asked, 4, Sampling(seed=1, guidance=2.0), samples=2, without=unasked, agreement=agreement)
    for answer, found in zip(codes, agreement.nats, strict=True):
        chosen = [tuple(position) for position in answer.tolist()]
        expected = 0.0
        for prompt, sign in ((asked, 1.0), (unasked, -1.0)):
            ids = torch.cat([prompt, ids_of(model.vocabulary, chosen[:-1])])
            with torch.inference_mode():
                scores = model.logits(model.hidden(ids[None])[0, len(prompt) - 1 :]).log_softmax(-1)
            expected += sign * float(scores[torch.arange(4), answer[:, 0]].sum())
        assert float(found) == pytest.approx(expected, abs=1e-3)


def test_digits_are_told_nothing(base):
    digits = MotionLanguageModel(*load_causal(base, torch.float32), AdapterConfig(rank=4, vocabulary="digits"), 64)
    assert digits.course_for(INSTRUCTION, 5, SECONDS) is None
    assert digits.sums(torch.zeros(5, 1, dtype=torch.long)) is None
