"""Sampling of motion codes: legal rows only, with a key-value cache, as many codes as asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from ..tokenizer.quantizer import latents_of
from .course import on_course
from .engine import one_thread
from .prompts import Instruction
from .vocabulary import Position, Vocabulary, ids_of


@dataclass(frozen=True)
class Sampling:
    """How rows are chosen. `temperature` 0 takes the likeliest always; `top_k` 0 keeps all; `guidance` 1 is the plain model.

    Guidance above 1 ends after so many positions as are `guided`. What a caption says shows in the first of them, and later ones go on
    from there: with the default bundle it moves the first one's distribution by 0.98 nats, the third one's by 0.06, the tenth one's by
    0.02. Below 1 it does not end: an answer that began without its caption would hear it then.
    """

    temperature: float = 0.8
    top_k: int = 200
    seed: int = 0
    guidance: float = 1.0
    guided: int = 10


@dataclass(frozen=True)
class Pull:
    """Draws answers to given poses: the codes of a position at which one is due towards those of that pose held still.

    `codebooks (levels, codes, dim)` are the tokenizer's, in any measure in which poses are to be compared. A code loses `weight` nats
    for being as far from what it should be as codes of the first level are from their middle (in the mean of squares), so that the
    model still chooses among those near it.
    At the two positions `beside` it loses so many: what a pose looks like is decoded from them as well.
    """

    codebooks: Tensor
    weight: float
    beside: float = 0.0

    def along(self, course: Tensor) -> tuple[Tensor, Tensor]:
        """How strongly an answer is drawn at each position of its course (n, 2 + levels), weights (n,), and to which codes (n, levels)."""
        due, next_ = course[:, 1] == 0, course[:, 1] == 1
        before = course.roll(1, dims=0)
        after = (before[:, 1] == 0) & (torch.arange(len(course)) > 0)
        weights = self.beside * (after | next_)
        weights[due] = self.weight
        return weights, torch.where((after & ~next_ & ~due)[:, None], before, course)[:, 2:]

    def __call__(self, scores: Tensor, chosen: Tensor | None, drawn: tuple[Tensor, Tensor]) -> Tensor:
        """Scores (B, R) of the next level, after the codes `chosen (B, n)`, `drawn` by weights (B,) to codes (B, levels)."""
        weights, codes = drawn
        level = 0 if chosen is None else chosen.shape[-1]
        missing = self._latents(codes)
        if chosen is not None:
            missing = missing - self._latents(chosen)
        first = self.codebooks[0]
        far = torch.cdist(missing, self.codebooks[level]).square() / (first - first.mean(0)).square().sum(-1).mean()
        scores = scores.clone()
        scores[:, : far.shape[-1]] -= weights[:, None] * far
        return scores

    def _latents(self, codes: Tensor) -> Tensor:
        """The latents (B, dim) that codes (B, n) of the first n levels stand for; of a row that is none of them, any."""
        return latents_of(self.codebooks, codes.clamp(0, self.codebooks.shape[1] - 1))


@dataclass
class Agreement:
    """How well prompts go with answers, as decoding sees it.

    `nats (B,)`: how much likelier the caption made each answer's first codes; of several answers the caption explains that best
    which has most. `prompts (B or 1, width)`: what the model made of what was asked, its hidden states at the prompts' ends; None
    until decoding has begun.
    """

    nats: Tensor
    prompts: Tensor | None = None

    def of(self, rows: slice) -> "Agreement":
        """That of some of the answers."""
        prompts = self.prompts if self.prompts is None or len(self.prompts) == 1 else self.prompts[rows]
        return Agreement(self.nats[rows], prompts)


class Sequences(Protocol):
    """Token sequences that grow together; `last (B, width)` are the hidden states at their ends."""

    last: Tensor

    def repeat(self, times: int) -> None:
        """Each sequence `times` times, one beside the other."""
        ...

    def keep(self, count: int) -> None:
        """Go on with the first `count` sequences alone."""
        ...

    def feed(self, ids: Tensor) -> None:
        """Go on with ids (B, n, levels); of several times as many sequences every B-th with the same."""
        ...


class Model(Protocol):
    """What makes codes: output rows over some backbone."""

    vocabulary: Vocabulary

    def course_for(self, instruction: Instruction, length: int, seconds_per_position: float) -> Tensor | None:
        """What an answer of `length` positions to an instruction is told at every position; None if nothing."""
        ...

    def sums(self, codes: Tensor) -> Tensor | None:
        """What answers of codes (..., n, levels) have turned, before and after each (..., n + 1, columns); None if not told."""
        ...

    def begin(self, prompts: list[Tensor], room: int) -> Sequences:
        """Sequences that begin with prompts (L, levels), a course's rows beside them or not, and have room for `room` tokens more."""
        ...

    def logits(self, hidden: Tensor) -> Tensor: ...

    def finer_logits(self, hidden: Tensor, chosen: Tensor) -> Tensor: ...

    def choose_finer(self, hidden: Tensor, rows: Tensor, sampling: Sampling, guided: bool, dice: Tensor) -> Tensor | None:
        """A position's codes (B, levels) after the `rows (B,)` chosen first, as `dice (levels, B)` fall, all in one go.

        None if the model does not do that; then `finer_logits` are asked for level after level.
        """
        ...


class Cancelled(Exception):
    """Decoding was told to stop."""


def noise_of(seed: int, samples: int) -> list[torch.Generator]:
    """The random numbers of each sample: the first one's are those that it would have alone."""
    return [torch.Generator().manual_seed((seed + 0x9E3779B97F4A7C15 * i) % 2**63) for i in range(samples)]


def sample_codes(
    model: Model,
    prompt: Tensor,
    length: int,
    sampling: Sampling,
    samples: int = 1,
    without: Tensor | None = None,
    course: Tensor | None = None,
    **options: Any,
) -> Tensor:
    """`samples` answers of exactly `length` positions each to a prompt (L, levels): codes (samples, length, levels).

    What is asked, and the `options`, are those of `Asked` and `sample_all`.
    """
    return sample_all(model, [Asked(prompt, without, course)], length, sampling, samples, **options)


@dataclass(frozen=True)
class Asked:
    """A prompt (L, levels), and what the model is told at every position of its answers.

    `without` is the prompt with its caption left out: scores are moved away from what it gives, `guidance` times as far as
    the caption moves them by itself (classifier-free guidance, Ho and Salimans 2022), in the beginning of an answer alone (as in
    Kynkäänniemi et al. 2024, where it spares half of the work as well).
    """

    prompt: Tensor
    without: Tensor | None = None
    course: Tensor | None = None


@torch.inference_mode()
def sample_all(
    model: Model,
    asked: Sequence[Asked],
    length: int,
    sampling: Sampling,
    samples: int = 1,
    given: Sequence[Sequence[Position]] = (),
    noise: Sequence[torch.Generator] = (),
    pull: Pull | None = None,
    agreement: Agreement | None = None,
    on_token: Callable[[list[list[Position]]], None] | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Tensor:
    """`samples` answers to each prompt, one after the other, decoded in one pass: codes (len(asked) * samples, length, levels).

    Either all or none have a prompt without its caption, and a course. `given` are the codes that each answer begins with, as many
    for all. `noise` goes on with the random numbers of an earlier answer; without it they start from the seed. `pull` draws answers to
    the poses of the course. `agreement` takes up how well the prompt goes with each answer, its nats where decoding is guided, and
    what the model made of the first prompt. `on_token` is given the codes so far after every step; `cancelled` is asked before every
    step, and Cancelled raised.
    The same seed gives the same codes on the same device.
    """
    count = len(asked) * samples
    noise = noise or noise_of(sampling.seed, count)
    vocabulary = model.vocabulary
    begun = [vocabulary.begin(codes) for codes in given] or [[] for _ in range(count)]
    prompts, guided = _prompts(model, asked, sampling)
    courses = [one.course for one in asked for _ in range(samples) if one.course is not None]
    room = vocabulary.longest_answer(length)
    if len({len(rows) for rows in begun}) > 1:  # in digits, as many codes need not be as many tokens
        told = [torch.cat([ids, ids_of(vocabulary, rows)]) for i, ids in enumerate(prompts) for rows in _of(begun, i, samples)]
        sequences = model.begin(told, room)
    else:
        sequences = model.begin(prompts, room)
        if agreement is not None:
            agreement.prompts = sequences.last[:1].clone()
        if samples > 1:
            sequences.repeat(samples)
        if begun[0]:
            sequences.feed(answer_ids(model, _as_tensor(model, begun), len(begun[0]), courses))
    answers = _grow(model, sequences, begun, [length] * count, sampling, guided, noise, courses, pull, agreement, on_token, cancelled)
    return torch.tensor([codes[:length] for codes in answers])


def _of(rows: Sequence[list[Position]], number: int, samples: int) -> Sequence[list[Position]]:
    """Those of the answers of the `number`-th prompt, of which there may be several times as many as of those who ask."""
    first = number * samples % len(rows)
    return rows[first : first + samples]


@torch.inference_mode()
def sample_each(
    model: Model,
    asked: Sequence[Asked],
    lengths: Sequence[int],
    sampling: Sampling,
    pull: Pull | None = None,
    agreement: Agreement | None = None,
) -> list[Tensor]:
    """An answer to each of several prompts, all in one pass: codes (length, levels) of as many positions as asked for each.

    Of what is asked, and of `pull` and `agreement`, goes what `sample_all` says; `agreement` takes up every prompt.
    """
    prompts, guided = _prompts(model, asked, sampling)
    sequences = model.begin(prompts, room=model.vocabulary.longest_answer(max(lengths)))
    if agreement is not None:
        agreement.prompts = sequences.last[: len(asked)].clone()
    noise, begun = noise_of(sampling.seed, len(asked)), [[] for _ in asked]
    courses = [one.course for one in asked if one.course is not None]
    answers = _grow(model, sequences, begun, lengths, sampling, guided, noise, courses, pull, agreement)
    return [torch.tensor(codes[:length]) for codes, length in zip(answers, lengths, strict=True)]


def _prompts(model: Model, asked: Sequence[Asked], sampling: Sampling) -> tuple[list[Tensor], bool]:
    """The prompts that answers begin after; where decoding is guided, which is said too, those without their captions after them."""
    prompts = [begin_answer(model, one.prompt, one.course) for one in asked]
    without = [begin_answer(model, one.without, one.course) for one in asked if one.without is not None]
    guided = bool(without) and sampling.guidance != 1.0
    return prompts + without if guided else prompts, guided


def _grow(
    model: Model,
    sequences: Sequences,
    begun: Sequence[Sequence[Position]],
    lengths: Sequence[int],
    sampling: Sampling,
    guided: bool,
    noise: Sequence[torch.Generator],
    courses: Sequence[Tensor] = (),
    pull: Pull | None = None,
    agreement: Agreement | None = None,
    on_token: Callable[[list[list[Position]]], None] | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> list[list[Position]]:
    """Codes of answers that are begun with rows and have `lengths` positions in the end; where `guided`, `sequences` are twice as many."""
    vocabulary = model.vocabulary
    chosen = [list(rows) for rows in begun]
    made = _as_tensor(model, begun) if courses else torch.empty(len(begun), 0, vocabulary.levels, dtype=torch.long)
    pulls = [pull.along(course) for course in courses] if pull else []
    anything = torch.ones(len(vocabulary.rows), dtype=torch.bool)  # an answer that is complete waits for the others
    legal = [vocabulary.legal(rows, length) for rows, length in zip(chosen, lengths, strict=True)]
    span = sampling.guided if sampling.guidance > 1.0 else max(lengths)
    until, led = [vocabulary.complete(rows) + span for rows in begun], torch.zeros(len(begun), dtype=torch.bool)
    while any(rows is not None for rows in legal):
        if cancelled():
            raise Cancelled
        if guided:  # in digits some answers are ahead of others, and each is guided as it would be alone
            led = torch.tensor([m is not None and vocabulary.complete(c) < end for m, c, end in zip(legal, chosen, until, strict=True)])
            if not led.any():
                guided = False
                sequences.keep(len(chosen))
        hidden = sequences.last
        logits = model.logits(hidden).cpu()
        drawn = _drawn(pulls, chosen)
        dice = torch.stack([torch.rand(vocabulary.levels, generator=source) for source in noise], dim=-1)
        scores = _guide(logits, sampling, guided)
        scores = scores.where(led[:, None], logits[: len(chosen)]) if guided else scores
        scores = scores if pull is None or drawn is None else pull(scores, None, drawn)
        picked = choose_rows(scores, torch.stack([anything if rows is None else rows for rows in legal]), sampling, dice[0])[:, None]
        if guided and agreement is not None:
            with one_thread():
                asked, unasked = logits.log_softmax(-1).chunk(2)
            agreement.nats += (asked - unasked).gather(-1, picked)[:, 0] * led
        at_once = model.choose_finer(hidden, picked[:, 0], sampling, guided, dice) if drawn is None else None
        picked = _finer(model, hidden, picked, sampling, guided, dice, pull, drawn) if at_once is None else at_once
        positions = [tuple(position) for position in picked.tolist()]
        for rows, position, mine in zip(chosen, positions, legal, strict=True):
            if mine is not None:
                rows.append(position)
        if on_token:
            on_token([vocabulary.codes(rows) for rows in chosen])
        legal = [vocabulary.legal(rows, length) for rows, length in zip(chosen, lengths, strict=True)]
        if any(rows is not None for rows in legal):
            made = torch.cat([made, picked[:, None]], dim=1)  # what is complete goes on as the others do, and counts for nothing
            sequences.feed(answer_ids(model, made, 1, courses))
    return [vocabulary.codes(rows) for rows in chosen]


def _finer(
    model: Model,
    hidden: Tensor,
    picked: Tensor,
    sampling: Sampling,
    guided: bool,
    dice: Tensor,
    pull: Pull | None,
    drawn: tuple[Tensor, Tensor] | None,
) -> Tensor:
    """A position's codes (B, levels) after the rows `picked (B, 1)`, level after level."""
    for level in range(1, model.vocabulary.levels):
        finer = model.finer_logits(hidden, _for_each_prompt(picked.to(hidden.device), len(hidden))).cpu()
        scores = _guide(finer, sampling, guided)
        scores = scores if pull is None or drawn is None else pull(scores, picked, drawn)
        code = choose_rows(scores, torch.ones_like(scores, dtype=torch.bool), sampling, dice[level])
        picked = torch.cat([picked, code[:, None]], dim=-1)
    return picked


def _drawn(pulls: Sequence[tuple[Tensor, Tensor]], chosen: Sequence[Sequence[Position]]) -> tuple[Tensor, Tensor] | None:
    """How strongly (B,), and to which codes (B, levels), the next position of each answer is drawn; None if nowhere."""
    now = [(min(len(positions), len(weights) - 1), weights, codes) for (weights, codes), positions in zip(pulls, chosen, strict=False)]
    if not any(weights[at] for at, weights, _ in now):
        return None
    return torch.stack([weights[at] for at, weights, _ in now]), torch.stack([codes[at] for at, _, codes in now])


def begin_answer(model: Model, prompt: Tensor, course: Tensor | None) -> Tensor:
    """A prompt whose last token is told of the answer's first position."""
    if course is None:
        return prompt
    return on_course(prompt, course[:1], model.sums(torch.empty(0, model.vocabulary.levels, dtype=torch.long)))


def _as_tensor(model: Model, begun: Sequence[Sequence[Position]]) -> Tensor:
    """Answers of equally many positions (B, n, levels)."""
    return torch.tensor(begun, dtype=torch.long).reshape(len(begun), -1, model.vocabulary.levels)


def answer_ids(model: Model, made: Tensor, last: int, courses: Sequence[Tensor]) -> Tensor:
    """Ids (B, last, ...) of the last of the rows `made (B, n, levels)`, with what is told of the positions that follow them."""
    ids = made[:, -last:].clone()
    rows = [model.vocabulary.rows[row] for row in ids[..., 0].flatten().tolist()]
    ids[..., 0] = torch.tensor(rows).view(ids.shape[:-1])
    if not courses:
        return ids
    at = torch.arange(made.shape[1] - last + 1, made.shape[1] + 1)
    course = torch.stack([told[at.clamp(max=len(told) - 1)] for told in courses])
    with one_thread():
        sums = model.sums(made)
    return on_course(ids, course, sums if sums is None else sums[:, -last:])


def _guide(logits: Tensor, sampling: Sampling, guided: bool) -> Tensor:
    """The scores to choose by; where `guided`, `logits` are those with the caption and below them those without.

    Logits are log-probabilities but for a constant, and what is added to all scores of a row changes no choice.
    """
    if not guided:
        return logits
    asked, unasked = logits.chunk(2)
    return unasked.lerp(asked, sampling.guidance)


def _for_each_prompt(values: Tensor, rows: int) -> Tensor:
    """Values (samples, ...) once for each prompt: (rows, ...)."""
    return values.repeat(rows // len(values), *[1] * (values.ndim - 1))


def choose_rows(logits: Tensor, legal: Tensor, sampling: Sampling, dice: Tensor) -> Tensor:
    """One row index (B,) of each of `logits (B, R)`, only where `legal (B, R)` is true, as `dice (B,)` fall, from 0 to 1."""
    from .cpu import load_kernels  # here, because compiled kernels take a moment to import

    drawn = load_kernels().draw(logits.contiguous().numpy(), legal.numpy(), float(sampling.temperature), sampling.top_k, dice.numpy())
    return torch.from_numpy(drawn)
