"""Sampling of motion codes: legal rows only, with a key-value cache, as many codes as asked for."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache

from .model import MotionLanguageModel


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
    prompt: list[int],
    length: int,
    sampling: Sampling,
    samples: int = 1,
    without: list[int] | None = None,
    on_token: Callable[[list[list[int]]], None] | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Tensor:
    """`samples` answers of exactly `length` codes each, (samples, length).

    `without` is the prompt with its caption left out: scores are moved away from what it gives, `guidance` times as far as
    the caption moves them by itself (classifier-free guidance, Ho and Salimans 2022). `on_token` is given the codes so far
    after every step; `cancelled` is asked before every step, and Cancelled raised. The same seed gives the same codes on
    the same device.
    """
    device = model.rows().device
    noise = torch.Generator().manual_seed(sampling.seed)
    vocabulary, text_ids = model.vocabulary, torch.tensor(model.vocabulary.rows, device=device)
    guided = without is not None and sampling.guidance != 1.0
    ids, mask = _pad_left([prompt, without] if without is not None and guided else [prompt], device)
    cache = DynamicCache()
    hidden = model.hidden(ids, cache, mask)[:, -1]
    if samples > 1:
        cache.batch_repeat_interleave(samples)
        hidden, mask = hidden.repeat_interleave(samples, dim=0), mask.repeat_interleave(samples, dim=0)
    chosen: list[list[int]] = [[] for _ in range(samples)]
    while True:
        if cancelled():
            raise Cancelled
        legal = [vocabulary.legal(rows, length) for rows in chosen]
        if all(rows is None for rows in legal):
            return torch.tensor([vocabulary.codes(rows)[:length] for rows in chosen])
        anything = torch.ones(len(vocabulary.rows), dtype=torch.bool)  # an answer that is complete waits for the others
        logits = model.logits(hidden).cpu()
        if guided:
            asked, unasked = logits.log_softmax(-1).chunk(2)
            logits = unasked + sampling.guidance * (asked - unasked)
        picked = choose_rows(logits, torch.stack([anything if rows is None else rows for rows in legal]), sampling, noise)
        for rows, row, mine in zip(chosen, picked.tolist(), legal, strict=True):
            if mine is not None:
                rows.append(row)
        if on_token:
            on_token([vocabulary.codes(rows) for rows in chosen])
        mask = torch.nn.functional.pad(mask, (0, 1), value=True)
        hidden = model.hidden(text_ids[picked.to(device)].repeat(len(mask) // samples)[:, None], cache, mask)[:, -1]


def _pad_left(prompts: list[list[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Ids (B, L) and which of them are not padding (B, L)."""
    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(p)) + p for p in prompts], device=device)
    mask = torch.tensor([[False] * (longest - len(p)) + [True] * len(p) for p in prompts], device=device)
    return ids, mask


def choose_rows(logits: Tensor, legal: Tensor, sampling: Sampling, noise: torch.Generator) -> Tensor:
    """One row index (B,) of each of `logits (B, R)`, only where `legal (B, R)` is true."""
    logits = logits.masked_fill(~legal, -torch.inf)
    if sampling.temperature == 0:
        return logits.argmax(-1)
    if 0 < sampling.top_k < logits.shape[-1]:
        floor = logits.topk(sampling.top_k).values[:, -1:]
        logits = logits.masked_fill(logits < floor, -torch.inf)
    return torch.multinomial((logits / sampling.temperature).softmax(-1), 1, generator=noise)[:, 0]
