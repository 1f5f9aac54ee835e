"""Sampling of motion codes: legal rows only, with a key-value cache, as many codes as asked for."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache

from .model import MotionLanguageModel


@dataclass(frozen=True)
class Sampling:
    """`temperature` 0 takes the likeliest row always; `top_k` 0 keeps all."""

    temperature: float = 0.8
    top_k: int = 200
    seed: int = 0


class Cancelled(Exception):
    """Decoding was told to stop."""


@torch.inference_mode()
def sample_codes(
    model: MotionLanguageModel,
    prompt: list[int],
    length: int,
    sampling: Sampling,
    samples: int = 1,
    on_token: Callable[[list[list[int]]], None] | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Tensor:
    """`samples` answers of exactly `length` codes each, (samples, length).

    `on_token` is given the codes so far after every step; `cancelled` is asked before every step, and Cancelled raised.
    The same seed gives the same codes on the same device.
    """
    device = model.rows().device
    noise = torch.Generator().manual_seed(sampling.seed)
    vocabulary, text_ids = model.vocabulary, torch.tensor(model.vocabulary.rows, device=device)
    cache = DynamicCache()
    hidden = model.hidden(torch.tensor([prompt], device=device), cache)[:, -1]
    if samples > 1:
        cache.batch_repeat_interleave(samples)
        hidden = hidden.expand(samples, -1)
    chosen: list[list[int]] = [[] for _ in range(samples)]
    while True:
        if cancelled():
            raise Cancelled
        masks = [vocabulary.legal(rows, length) for rows in chosen]
        if all(mask is None for mask in masks):
            return torch.tensor([vocabulary.codes(rows)[:length] for rows in chosen])
        legal = torch.stack([mask if mask is not None else torch.ones(len(vocabulary.rows), dtype=torch.bool) for mask in masks])
        picked = choose_rows(model.logits(hidden).cpu(), legal, sampling, noise)
        for rows, row, mask in zip(chosen, picked.tolist(), masks, strict=True):
            if mask is not None:
                rows.append(row)
        if on_token:
            on_token([vocabulary.codes(rows) for rows in chosen])
        hidden = model.hidden(text_ids[picked.to(device)][:, None], cache)[:, -1]


def choose_rows(logits: Tensor, legal: Tensor, sampling: Sampling, noise: torch.Generator) -> Tensor:
    """One row index (B,) of each of `logits (B, R)`, only where `legal (B, R)` is true."""
    logits = logits.masked_fill(~legal, -torch.inf)
    if sampling.temperature == 0:
        return logits.argmax(-1)
    if 0 < sampling.top_k < logits.shape[-1]:
        floor = logits.topk(sampling.top_k).values[:, -1:]
        logits = logits.masked_fill(logits < floor, -torch.inf)
    return torch.multinomial((logits / sampling.temperature).softmax(-1), 1, generator=noise)[:, 0]
