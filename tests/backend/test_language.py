import random
import sys
from pathlib import Path

import pytest
import torch

from backend.language.decoding import Agreement, Asked, Cancelled, Sampling, choose_rows, sample_codes, sample_each
from backend.language.heads import AdapterConfig
from backend.language.model import MotionLanguageModel, load_causal
from backend.language.prompts import Instruction, PoseCode, build_prompt, load_template
from backend.language.vocabulary import Position, ids_of
from backend.training.language import TASKS

sys.path.insert(0, str(Path(__file__).parent))
from tiny import write_base

FORMS = (("items", 1), ("items", 3), ("digits", 1))  # vocabulary, levels


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module", params=FORMS)
def model(request, base):
    causal, tokenizer = load_causal(base, torch.float32)
    torch.manual_seed(0)
    form, levels = request.param
    made = MotionLanguageModel(causal, tokenizer, AdapterConfig(rank=4, vocabulary=form), 64, levels)
    for parameter in made.parameters():
        if parameter.requires_grad:  # an untrained adapter is zero and would hide mistakes
            parameter.data += 0.1 * torch.randn_like(parameter)
    return made.eval()


def text(pieces) -> str:
    return "".join(piece if isinstance(piece, str) else f"<{','.join(map(str, piece))}>" for piece in pieces)


def test_the_papers_four_tasks_word_for_word():
    """The prompt that the released adapters were trained with."""
    opening = (
        "Below is an instruction that describes a task, paired with an input that provides further context. "
        "Write a response that appropriately completes the request.\n\n### Instruction:\n"
        "Generate a sequence of motion tokens matching the following human motion description"
    )
    template = load_template("paper")
    expected = {
        (): ".\n\n### Input:\na man waves\n\n### Response:",
        ("first",): " given the initial token.\n\n### Input:\na man waves<Motion Token><7></Motion Token>\n\n### Response:",
        ("last",): " given the last token.\n\n### Input:\na man waves<Motion Token><7></Motion Token>\n\n### Response:",
        ("key", "key"): " given several key tokens.\n\n### Input:\na man waves<Motion Token><7>,<7></Motion Token>\n\n### Response:",
    }
    for places, ending in expected.items():
        instruction = Instruction("a man waves", [PoseCode(place, (7,), 1.0) for place in places], seconds=4.0)
        assert text(build_prompt(instruction, template)) == opening + ending


@pytest.mark.parametrize("name", ["paper", "timed"])
def test_every_task_has_a_prompt_that_holds_all_its_codes(name):
    seen = set()
    for task in TASKS:
        parts = task.split()
        poses = [PoseCode(p.removesuffix("s"), (10 + i,), 0.5 * i) for i, p in enumerate(parts) if p != "text"]
        instruction = Instruction("a man waves" if "text" in parts else "", poses, 3.0)
        assert instruction.task == task
        pieces = build_prompt(instruction, load_template(name))
        assert sorted(p for p in pieces if isinstance(p, tuple)) == sorted(p.codes for p in poses)
        seen.add(text(pieces))
    assert len(seen) == len(TASKS)


@pytest.mark.parametrize("name", ["paper", "timed"])
def test_a_prompt_can_leave_its_caption_out(name):
    """What guidance moves away from."""
    assert "{" not in text(build_prompt(Instruction("", [], 3.0), load_template(name)))


def test_times_and_lengths_are_told():
    instruction = Instruction("a man waves", [PoseCode("key", (5, 7), 1.25), PoseCode("last", (6, 0), 3.9), PoseCode("first", (4, 1))], 4.0)
    assert text(build_prompt(instruction, load_template("timed"))) == "a man waves\n4.0 s, first <4,1>, 1.2 s <5,7>, last <6,0>\nmotion:"


def test_any_legal_walk_spells_codes_and_every_answer_is_legal(model):
    vocabulary, rng = model.vocabulary, random.Random(0)
    for length in (1, 2, 9):
        for _ in range(50):
            chosen: list[Position] = []
            while (mask := vocabulary.legal(chosen, length)) is not None:
                chosen.append((rng.choice(mask.nonzero().flatten().tolist()), *(0,) * (vocabulary.levels - 1)))
            codes = vocabulary.codes(chosen)
            assert len(codes) == length
            assert all(0 <= code < 64 for position in codes for code in position)
            assert vocabulary.answer(codes)[: len(chosen)] == chosen


def test_decoding_gives_exactly_the_length_asked_for(model):
    prompt = prompt_of(model, "a man waves")
    for length in (1, 7, 20):
        codes = sample_codes(model, prompt, length, Sampling(seed=1), samples=3)
        assert codes.shape == (3, length, model.vocabulary.levels)
        assert codes.max() < 64


def test_prompts_decoded_side_by_side_are_answered_as_they_are_alone(model):
    prompts = [prompt_of(model, "a man waves"), prompt_of(model, "somebody walks on and on")]
    together = sample_each(model, [Asked(prompt) for prompt in prompts], (4, 6), Sampling(temperature=0))
    for codes, prompt, length in zip(together, prompts, (4, 6), strict=True):
        torch.testing.assert_close(codes, sample_codes(model, prompt, length, Sampling(temperature=0))[0])


def prompt_of(model, caption: str) -> torch.Tensor:
    return model.vocabulary.prompt([caption, (3, 2, 1)[: model.vocabulary.levels], " motion:"])


def greedy(model, prompts: list[torch.Tensor], length: int, combine) -> list[Position]:
    """The likeliest codes, each prompt alone and the whole sequence anew for every token; `combine` makes one score of theirs."""
    vocabulary, chosen = model.vocabulary, []
    with torch.inference_mode():
        while (legal := vocabulary.legal(chosen, length)) is not None:
            hidden = [model.hidden(torch.cat([p, ids_of(vocabulary, chosen)])[None])[:, -1] for p in prompts]
            scores = combine([model.logits(h) for h in hidden]).masked_fill(~legal, -torch.inf)
            picked = scores.argmax(-1, keepdim=True)
            for _ in range(vocabulary.levels - 1):
                finer = combine([model.finer_logits(h, picked) for h in hidden]).argmax(-1, keepdim=True)
                picked = torch.cat([picked, finer], dim=-1)
            chosen.append(tuple(picked[0].tolist()))
    return vocabulary.codes(chosen)


def test_the_cache_changes_nothing(model):
    prompt = prompt_of(model, "a man waves")
    codes = sample_codes(model, prompt, 6, Sampling(temperature=0))
    assert [tuple(c) for c in codes[0].tolist()] == greedy(model, [prompt], 6, lambda scores: scores[0])


def test_guidance_is_the_weighted_difference_of_two_prompts(model):
    """One batch with padding against each prompt alone, every token anew."""
    asked, unasked = prompt_of(model, "a man waves with the left hand"), prompt_of(model, "so")

    def combine(scores: list[torch.Tensor]) -> torch.Tensor:
        a, b = (s.log_softmax(-1) for s in scores)
        return b + 3.0 * (a - b)

    guided = sample_codes(model, asked, 6, Sampling(temperature=0, guidance=3.0), samples=2, without=unasked)
    assert [[tuple(c) for c in codes] for codes in guided.tolist()] == [greedy(model, [asked, unasked], 6, combine)] * 2


@pytest.mark.parametrize("guided", [1, 4])
def test_guidance_ends_where_it_was_asked_to(model, guided):
    """The rest of an answer is what the model by itself goes on with, and says nothing more about the caption."""
    asked, unasked = prompt_of(model, "a man waves with the left hand"), prompt_of(model, "so")
    first, all_of_it = Agreement(torch.zeros(1)), Agreement(torch.zeros(2))
    sampling = Sampling(temperature=0, guidance=10.0, guided=guided)
    begun = sample_codes(model, asked, guided, Sampling(temperature=0, guidance=10.0), without=unasked, agreement=first)
    whole = sample_codes(model, asked, 12, sampling, samples=2, without=unasked, agreement=all_of_it)
    given = [[tuple(position) for position in begun[0].tolist()]]
    assert torch.equal(whole, sample_codes(model, asked, 12, Sampling(temperature=0), given=given).expand(2, -1, -1))
    if model.vocabulary.longest_answer(2) == 3:  # where nothing stands between two codes
        torch.testing.assert_close(all_of_it.nats, first.nats.expand(2))


def test_an_answer_is_guided_as_it_is_alone(model):
    """Whatever others are decoded with it, which in digits are ahead of it or behind."""
    asked, unasked = prompt_of(model, "a man waves with the left hand"), prompt_of(model, "so")
    for seed in range(4):
        sampling = Sampling(seed=seed, guidance=30.0, guided=4)
        several, alone = (sample_codes(model, asked, 12, sampling, samples, without=unasked) for samples in (4, 1))
        assert torch.equal(several[:1], alone)


def test_a_caption_that_is_left_out_is_so_all_through(model):
    asked, unasked = prompt_of(model, "a man waves with the left hand"), prompt_of(model, "so")
    answer = sample_codes(model, asked, 12, Sampling(temperature=0, guidance=0.0, guided=4), without=unasked)
    assert torch.equal(answer, sample_codes(model, unasked, 12, Sampling(temperature=0)))


def test_one_seed_one_answer(model):
    prompt = model.vocabulary.prompt(["a man waves"])
    once, again, other = (sample_codes(model, prompt, 12, Sampling(seed=seed)) for seed in (5, 5, 6))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)


def test_cancel_is_asked_before_every_token(model):
    told: list[int] = []
    with pytest.raises(Cancelled):
        sample_codes(
            model,
            model.vocabulary.prompt(["x"]),
            20,
            Sampling(),
            on_token=lambda codes: told.append(len(codes[0])),
            cancelled=lambda: len(told) >= 3,
        )
    assert len(told) == 3


def test_rows_are_drawn_as_often_as_they_are_likely():
    logits = torch.tensor([0.5, 1.5, 0.0, 2.0, 3.0]).log()
    legal = torch.tensor([True, True, True, True, False])
    dice = (torch.arange(4000) + 0.5) / 4000
    many = (logits.expand(4000, -1), legal.expand(4000, -1).contiguous())
    for sampling, expected in (
        (Sampling(1.0, 0), [0.125, 0.375, 0.0, 0.5, 0.0]),
        (Sampling(0.5, 0), [0.25 / 6.5, 2.25 / 6.5, 0.0, 4.0 / 6.5, 0.0]),
        (Sampling(1.0, 2), [0.0, 1.5 / 3.5, 0.0, 2.0 / 3.5, 0.0]),
        (Sampling(0.0, 0), [0.0, 0.0, 0.0, 1.0, 0.0]),
    ):
        shares = choose_rows(*many, sampling, dice).bincount(minlength=5) / 4000
        torch.testing.assert_close(shares, torch.tensor(expected), atol=1e-3, rtol=0)


@pytest.mark.parametrize("tied", [False, True])
def test_only_the_best_rows_are_drawn(tied):
    """So many as `top_k` says, and those as likely as the last of them; of fewer that are legal, all."""
    logits = torch.randn(40, 300, generator=torch.Generator().manual_seed(1)) * 2 - 1
    logits = logits.round() if tied else logits
    legal, dice = torch.rand(40, 300) < 0.5, torch.linspace(0, 0.9999, 4000)
    legal[0, 20:] = False
    for scores, may in zip(logits, legal, strict=True):
        drawn = choose_rows(scores.expand(4000, -1), may.expand(4000, -1), Sampling(top_k=40, temperature=1e6), dice)
        least = scores[may].topk(min(40, int(may.sum()))).values[-1]
        assert drawn.unique().tolist() == torch.nonzero(may & (scores >= least))[:, 0].tolist()


def test_merging_the_adapter_keeps_the_scores(base):
    causal, tokenizer = load_causal(base, torch.float32)
    model = MotionLanguageModel(causal, tokenizer, AdapterConfig(rank=4), codes=16).eval()
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(std=0.1)
    ids = torch.tensor([[5, 6, model.text_size + 3, 7]])[..., None]
    with torch.inference_mode():
        before = model.hidden(ids)
        model.merge()
        torch.testing.assert_close(model.hidden(ids), before, rtol=1e-4, atol=1e-4)


def test_an_adapter_of_another_size_is_refused(base):
    def fresh(rank: int, targets=("q_proj", "v_proj")) -> MotionLanguageModel:
        return MotionLanguageModel(*load_causal(base, torch.float32), AdapterConfig(rank=rank, targets=targets), codes=16)

    with pytest.raises(ValueError, match="does not fit"):
        fresh(4).load_adapter(fresh(4, ("q_proj",)).adapter_tensors())
