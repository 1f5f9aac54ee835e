"""Sampling of motion codes: legal rows only, with a key-value cache, as many codes as asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from .vocabulary import Position, Vocabulary, ids_of


@dataclass(frozen=True)
class Sampling:
    """How rows are chosen. `temperature` 0 takes the likeliest always; `top_k` 0 keeps all; `guidance` 1 is the plain model."""

    temperature: float = 0.8
    top_k: int = 200
    seed: int = 0
    guidance: float = 1.0


class Sequences(Protocol):
    """Token sequences that grow together; `last (B, width)` are the hidden states at their ends."""

    last: Tensor

    def repeat(self, times: int) -> None:
        """Each sequence `times` times, one beside the other."""
        ...

    def feed(self, ids: Tensor) -> None:
        """Go on with ids (B, n, levels)."""
        ...


class Model(Protocol):
    """What makes codes: output rows over some backbone."""

    vocabulary: Vocabulary

    def begin(self, prompts: list[Tensor], room: int) -> Sequences:
        """Sequences that begin with prompts (L, levels) and have room for `room` tokens more."""
        ...

    def logits(self, hidden: Tensor) -> Tensor: ...

    def finer_logits(self, hidden: Tensor, chosen: Tensor) -> Tensor: ...


class Cancelled(Exception):
    """Decoding was told to stop."""


def noise_of(seed: int, samples: int) -> list[torch.Generator]:
    """The random numbers of each sample: the first one's are those that it would have alone."""
    return [torch.Generator().manual_seed((seed + 0x9E3779B97F4A7C15 * i) % 2**63) for i in range(samples)]


@torch.inference_mode()
def sample_codes(
    model: Model,
    prompt: Tensor,
    length: int,
    sampling: Sampling,
    samples: int = 1,
    without: Tensor | None = None,
    given: Sequence[Sequence[Position]] = (),
    noise: Sequence[torch.Generator] = (),
    on_token: Callable[[list[list[Position]]], None] | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Tensor:
    """`samples` answers of exactly `length` positions each to a prompt (L, levels): codes (samples, length, levels).

    `without` is the prompt with its caption left out: scores are moved away from what it gives, `guidance` times as far as
    the caption moves them by itself (classifier-free guidance, Ho and Salimans 2022). `given` are the codes that each answer
    begins with, as many for all. `noise` goes on with the random numbers of an earlier answer; without it they start from the
    seed. `on_token` is given the codes so far after every step; `cancelled` is asked before every step, and Cancelled raised.
    The same seed gives the same codes on the same device.
    """
    noise = noise or noise_of(sampling.seed, samples)
    vocabulary = model.vocabulary
    guided = without is not None and sampling.guidance != 1.0
    begun = [vocabulary.begin(codes) for codes in given] or [[] for _ in range(samples)]
    prompts = [prompt, without] if without is not None and guided else [prompt]
    sequences = model.begin(prompts, room=vocabulary.longest_answer(length))
    if samples > 1:
        sequences.repeat(samples)
    if begun[0]:
        sequences.feed(_for_each_prompt(torch.stack([ids_of(vocabulary, rows) for rows in begun]), len(sequences.last)))
    answers = _grow(model, sequences, begun, [length] * samples, sampling, guided, noise, on_token, cancelled)
    return torch.tensor([codes[:length] for codes in answers])


@torch.inference_mode()
def sample_each(
    model: Model, prompts: Sequence[Tensor], lengths: Sequence[int], sampling: Sampling, without: Sequence[Tensor] = ()
) -> list[Tensor]:
    """An answer to each of several prompts (L, levels), all in one pass: codes (length, levels) of as many positions as asked for each.

    `without` are the prompts without their captions, as `sample_codes` takes one.
    """
    guided = bool(without) and sampling.guidance != 1.0
    sequences = model.begin([*prompts, *without] if guided else list(prompts), room=model.vocabulary.longest_answer(max(lengths)))
    answers = _grow(model, sequences, [[] for _ in prompts], lengths, sampling, guided, noise_of(sampling.seed, len(prompts)))
    return [torch.tensor(codes[:length]) for codes, length in zip(answers, lengths, strict=True)]


def _grow(
    model: Model,
    sequences: Sequences,
    begun: Sequence[Sequence[Position]],
    lengths: Sequence[int],
    sampling: Sampling,
    guided: bool,
    noise: Sequence[torch.Generator],
    on_token: Callable[[list[list[Position]]], None] | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> list[list[Position]]:
    """Codes of answers that are begun with rows and have `lengths` positions in the end; where `guided`, `sequences` are twice as many."""
    vocabulary = model.vocabulary
    chosen = [list(rows) for rows in begun]
    anything = torch.ones(len(vocabulary.rows), dtype=torch.bool)  # an answer that is complete waits for the others
    legal = [vocabulary.legal(rows, length) for rows, length in zip(chosen, lengths, strict=True)]
    while any(rows is not None for rows in legal):
        if cancelled():
            raise Cancelled
        hidden = sequences.last
        allowed = torch.stack([anything if rows is None else rows for rows in legal])
        picked = choose_rows(_guide(model.logits(hidden), sampling, guided), allowed, sampling, noise)[:, None]
        for _ in range(vocabulary.levels - 1):
            logits = _guide(model.finer_logits(hidden, _for_each_prompt(picked.to(hidden.device), len(hidden))), sampling, guided)
            finer = choose_rows(logits, torch.ones_like(logits, dtype=torch.bool), sampling, noise)
            picked = torch.cat([picked, finer[:, None]], dim=-1)
        positions = [tuple(position) for position in picked.tolist()]
        for rows, position, mine in zip(chosen, positions, legal, strict=True):
            if mine is not None:
                rows.append(position)
        if on_token:
            on_token([vocabulary.codes(rows) for rows in chosen])
        legal = [vocabulary.legal(rows, length) for rows, length in zip(chosen, lengths, strict=True)]
        if any(rows is not None for rows in legal):
            sequences.feed(_for_each_prompt(ids_of(vocabulary, positions), len(hidden))[:, None])
    return [vocabulary.codes(rows) for rows in chosen]


def _guide(logits: Tensor, sampling: Sampling, guided: bool) -> Tensor:
    """The scores to choose by, on the CPU; where `guided`, `logits` are those with the caption and below them those without."""
    if not guided:
        return logits.cpu()
    asked, unasked = logits.cpu().log_softmax(-1).chunk(2)
    return unasked + sampling.guidance * (asked - unasked)


def _for_each_prompt(values: Tensor, rows: int) -> Tensor:
    """Values (samples, ...) once for each prompt: (rows, ...)."""
    return values.repeat(rows // len(values), *[1] * (values.ndim - 1))


def choose_rows(logits: Tensor, legal: Tensor, sampling: Sampling, noise: Sequence[torch.Generator]) -> Tensor:
    """One row index (B,) of each of `logits (B, R)`, only where `legal (B, R)` is true, drawn with a noise of its own each."""
    logits = logits.masked_fill(~legal, -torch.inf)
    if sampling.temperature == 0:
        return logits.argmax(-1)
    if 0 < sampling.top_k < logits.shape[-1]:
        floor = logits.topk(sampling.top_k).values[:, -1:]
        logits = logits.masked_fill(logits < floor, -torch.inf)
    # The row whose exponential clock rings first is a draw from the distribution.
    clocks = torch.stack([torch.empty(logits.shape[-1]).exponential_(generator=source) for source in noise])
    return ((logits / sampling.temperature).softmax(-1) / clocks).argmax(-1)
