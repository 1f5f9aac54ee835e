"""Clips as the model makes them, many at once, before anything is fitted or held still."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache

from ..generation import Generator
from ..language.decoding import Sampling, _guide, _pad_left, choose_rows
from ..language.prompts import Instruction, PoseCode, build_prompt
from ..language.vocabulary import Position, ids_of
from ..motion.clip import Clip
from ..motion.features import pose_to_features
from ..motion.fit import Constraint

_ROWS = 64  # answers decoded in one pass


@dataclass(frozen=True)
class Wish:
    """One clip to be made: a caption, poses, and how many codes long."""

    caption: str
    length: int
    constraints: tuple[Constraint, ...] = ()


def make_drafts(generator: Generator, wishes: Sequence[Wish], seed: int, guidance: float = 2.5) -> list[Clip]:
    """A clip for each wish, at the bundle's own rate, at the origin. Those of about one length are decoded together."""
    order = sorted(range(len(wishes)), key=lambda i: wishes[i].length)
    drafts: dict[int, Clip] = {}
    for number, first in enumerate(range(0, len(order), _ROWS)):
        rows = order[first : first + _ROWS]
        sampling = Sampling(seed=seed * 1000 + number, guidance=guidance)
        for row, codes in zip(rows, _decode(generator, [wishes[i] for i in rows], sampling), strict=True):
            drafts[row] = generator.decode(codes)
    return [drafts[i] for i in range(len(wishes))]


def _decode(generator: Generator, wishes: Sequence[Wish], sampling: Sampling) -> Iterator[Tensor]:
    instructions = list(_instructions(generator, wishes))
    asked, unasked = ([_prompt(generator, i) for i in those] for those in (instructions, [replace(i, caption="") for i in instructions]))
    guided = all(w.caption for w in wishes)
    for codes, wish in zip(_sample(generator, asked + unasked * guided, [w.length for w in wishes], sampling, guided), wishes, strict=True):
        yield torch.tensor(codes[: wish.length])[None]


@torch.inference_mode()
def _sample(generator: Generator, prompts: list[Tensor], lengths: list[int], sampling: Sampling, guided: bool) -> list[list[Position]]:
    """Answers to prompts of different lengths, the unguided prompts (if any) after the others, decoded side by side."""
    model, vocabulary = generator.model, generator.model.vocabulary
    device = model.rows().device
    noise = torch.Generator().manual_seed(sampling.seed)
    ids, mask = _pad_left(prompts, device)
    cache = DynamicCache()
    hidden = model.hidden(ids, cache, mask)[:, -1]
    copies = len(prompts) // len(lengths)
    chosen: list[list[Position]] = [[] for _ in lengths]
    while True:
        legal = [vocabulary.legal(rows, length) for rows, length in zip(chosen, lengths, strict=True)]
        if all(rows is None for rows in legal):
            return [vocabulary.codes(rows) for rows in chosen]
        anything = torch.ones(len(vocabulary.rows), dtype=torch.bool)
        allowed = torch.stack([anything if rows is None else rows for rows in legal])
        picked = choose_rows(_guide(model.logits(hidden), sampling, guided), allowed, sampling, noise)[:, None]
        for _ in range(vocabulary.levels - 1):
            logits = _guide(model.finer_logits(hidden, picked.to(device).repeat(copies, 1)), sampling, guided)
            finer = choose_rows(logits, torch.ones_like(logits, dtype=torch.bool), sampling, noise)
            picked = torch.cat([picked, finer[:, None]], dim=-1)
        positions = [tuple(position) for position in picked.tolist()]
        for rows, position, mine in zip(chosen, positions, legal, strict=True):
            if mine is not None:
                rows.append(position)
        mask = torch.nn.functional.pad(mask, (0, 1), value=True)
        hidden = model.hidden(ids_of(vocabulary, positions).to(device).repeat(copies, 1)[:, None], cache, mask)[:, -1]


def _prompt(generator: Generator, instruction: Instruction) -> Tensor:
    return generator.model.vocabulary.prompt(build_prompt(instruction, generator.template))


def _instructions(generator: Generator, wishes: Sequence[Wish]) -> Iterator[Instruction]:
    """The instructions of wishes, the poses of all of them encoded in one pass."""
    bundle, skeleton = generator.bundle, generator.skeleton
    poses = [c for wish in wishes for c in wish.constraints]
    codes: Iterator[list[int]] = iter([])
    if poses:
        features = np.stack([pose_to_features(skeleton.forward(c.local, c.root), c.local, skeleton) for c in poses])
        normalised = torch.from_numpy(((features - bundle.mean) / bundle.std).astype(np.float32))
        codes = iter(generator.tokenizer.encode_held(normalised.to(generator.device)).tolist())
    for wish in wishes:
        frames = wish.length * bundle.network.frames_per_code
        places = [(c.frame / bundle.fps, "first" if c.frame == 0 else "last" if c.frame == frames - 1 else "key") for c in wish.constraints]
        yield Instruction(wish.caption, [PoseCode(place, tuple(next(codes)), at) for at, place in places], frames / bundle.fps)
