"""Sampling of motion codes: legal rows only, with a key-value cache, as many codes as asked for."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import DynamicCache

from .model import MotionLanguageModel
from .vocabulary import Position, ids_of


@dataclass(frozen=True)
class Sampling:
    """How rows are chosen. `temperature` 0 takes the likeliest always; `top_k` 0 keeps all; `guidance` 1 is the plain model."""

    temperature: float = 0.8
    top_k: int = 200
    seed: int = 0
    guidance: float = 1.0


class Cancelled(Exception):
    """Decoding was told to stop."""


@torch.inference_mode()
def sample_codes(
    model: MotionLanguageModel,
    prompt: Tensor,
    length: int,
    sampling: Sampling,
    samples: int = 1,
    without: Tensor | None = None,
    on_token: Callable[[list[list[Position]]], None] | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Tensor:
    """`samples` answers of exactly `length` positions each to a prompt (L, levels): codes (samples, length, levels).

    `without` is the prompt with its caption left out: scores are moved away from what it gives, `guidance` times as far as
    the caption moves them by itself (classifier-free guidance, Ho and Salimans 2022). `on_token` is given the codes so far
    after every step; `cancelled` is asked before every step, and Cancelled raised. The same seed gives the same codes on
    the same device.
    """
    device = model.rows().device
    noise = torch.Generator().manual_seed(sampling.seed)
    vocabulary = model.vocabulary
    guided = without is not None and sampling.guidance != 1.0
    ids, mask = _pad_left([prompt, without] if without is not None and guided else [prompt], device)
    cache = DynamicCache()
    hidden = model.hidden(ids, cache, mask)[:, -1]
    if samples > 1:
        cache.batch_repeat_interleave(samples)
        hidden, mask = hidden.repeat_interleave(samples, dim=0), mask.repeat_interleave(samples, dim=0)
    chosen: list[list[Position]] = [[] for _ in range(samples)]
    while True:
        if cancelled():
            raise Cancelled
        legal = [vocabulary.legal(rows, length) for rows in chosen]
        if all(rows is None for rows in legal):
            return torch.tensor([vocabulary.codes(rows)[:length] for rows in chosen])
        anything = torch.ones(len(vocabulary.rows), dtype=torch.bool)  # an answer that is complete waits for the others
        allowed = torch.stack([anything if rows is None else rows for rows in legal])
        picked = choose_rows(_guide(model.logits(hidden), sampling, guided), allowed, sampling, noise)[:, None]
        for _ in range(vocabulary.levels - 1):
            logits = _guide(model.finer_logits(hidden, _for_each_prompt(picked.to(device), len(hidden))), sampling, guided)
            finer = choose_rows(logits, torch.ones_like(logits, dtype=torch.bool), sampling, noise)
            picked = torch.cat([picked, finer[:, None]], dim=-1)
        positions = [tuple(position) for position in picked.tolist()]
        for rows, position, mine in zip(chosen, positions, legal, strict=True):
            if mine is not None:
                rows.append(position)
        if on_token:
            on_token([vocabulary.codes(rows) for rows in chosen])
        mask = torch.nn.functional.pad(mask, (0, 1), value=True)
        hidden = model.hidden(_for_each_prompt(ids_of(vocabulary, positions).to(device), len(mask))[:, None], cache, mask)[:, -1]


def _guide(logits: Tensor, sampling: Sampling, guided: bool) -> Tensor:
    """The scores to choose by, on the CPU; where `guided`, `logits` are those with the caption and below them those without."""
    if not guided:
        return logits.cpu()
    asked, unasked = logits.cpu().log_softmax(-1).chunk(2)
    return unasked + sampling.guidance * (asked - unasked)


def _for_each_prompt(values: Tensor, rows: int) -> Tensor:
    """Values (samples, ...) once for each prompt: (rows, ...)."""
    return values.repeat(rows // len(values), *[1] * (values.ndim - 1))


def _pad_left(prompts: list[Tensor], device: torch.device) -> tuple[Tensor, Tensor]:
    """Ids (B, L, levels) and which of them are not padding (B, L)."""
    ids = pad_sequence(prompts, batch_first=True, padding_side="left").to(device)
    mask = pad_sequence([torch.ones(len(p), dtype=torch.bool) for p in prompts], batch_first=True, padding_side="left")
    return ids, mask.to(device)


def choose_rows(logits: Tensor, legal: Tensor, sampling: Sampling, noise: torch.Generator) -> Tensor:
    """One row index (B,) of each of `logits (B, R)`, only where `legal (B, R)` is true."""
    logits = logits.masked_fill(~legal, -torch.inf)
    if sampling.temperature == 0:
        return logits.argmax(-1)
    if 0 < sampling.top_k < logits.shape[-1]:
        floor = logits.topk(sampling.top_k).values[:, -1:]
        logits = logits.masked_fill(logits < floor, -torch.inf)
    return torch.multinomial((logits / sampling.temperature).softmax(-1), 1, generator=noise)[:, 0]
