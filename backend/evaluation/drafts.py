"""Clips as the model makes them, many at once, before anything is fitted or held still."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..generation import Generator, best_of, mirrored_attempts
from ..language.decoding import Sampling
from ..language.prompts import Instruction, PoseCode, mirrored
from ..motion.clip import Clip, clip_from_features
from ..motion.fit import Constraint
from ..protocol.messages import GUIDANCE

_ROWS = 64  # answers decoded in one pass


@dataclass(frozen=True)
class Wish:
    """One clip to be made: a caption, poses, and how many codes long."""

    caption: str
    length: int
    constraints: tuple[Constraint, ...] = ()


def make_drafts(
    generator: Generator,
    wishes: Sequence[Wish],
    seed: int,
    guidance: float = GUIDANCE,
    guided: int = Sampling.guided,
    attempts: int = 1,
) -> list[Clip]:
    """A clip for each wish, at the bundle's own rate, at the origin: of several attempts the one that its caption explains best.

    Those of about one length are decoded together.
    """
    order = sorted(range(len(wishes)), key=lambda i: wishes[i].length)
    together = max(1, _ROWS // attempts)
    drafts: dict[int, Clip] = {}
    for number, first in enumerate(range(0, len(order), together)):
        rows = order[first : first + together]
        sampling = Sampling(seed=seed * 1000 + number, guidance=guidance, guided=guided)
        in_mirror = np.concatenate([mirrored_attempts([wishes[i].caption], attempts) for i in rows])
        instructions = list(_instructions(generator, [wishes[i] for i in rows for _ in range(attempts)], in_mirror))
        lengths = [wishes[i].length for i in rows for _ in range(attempts)]
        answers, agreement = generator.answer_each(instructions, lengths, sampling)
        for index, row in enumerate(rows):
            mine = slice(index * attempts, (index + 1) * attempts)
            features = generator.features(torch.stack(answers[mine]), in_mirror[mine])
            told = agreement.of(mine)
            told.prompts = told.prompts if told.prompts is None else told.prompts[:1]  # which is never that of the mirror
            led = len(wishes[row].constraints) > 1  # elsewhere than where the caption says
            features, bent = generator.turned(features, [] if led else [(wishes[row].caption, slice(None))])
            best = best_of(-generator.agreed(told, features).numpy(), bent) if attempts > 1 else 0
            drafts[row] = clip_from_features(features[best], generator.skeleton, generator.bundle.rotations)
    return [drafts[i] for i in range(len(wishes))]


def _instructions(generator: Generator, wishes: Sequence[Wish], in_mirror: np.ndarray) -> Iterator[Instruction]:
    """The instructions of wishes, some of them `in_mirror`, the poses of all of a side encoded in one pass."""
    bundle = generator.bundle
    held = []
    for side in (False, True):
        those = [wish for wish, other in zip(wishes, in_mirror, strict=True) if other == side]
        held.append(iter(generator.held_codes([pose for wish in those for pose in wish.constraints], side)))
    for wish, side in zip(wishes, in_mirror, strict=True):
        frames = wish.length * bundle.network.frames_per_code
        places = [(c.frame / bundle.fps, "first" if c.frame == 0 else "last" if c.frame == frames - 1 else "key") for c in wish.constraints]
        caption = mirrored(wish.caption) if side else wish.caption
        yield Instruction(caption, [PoseCode(place, tuple(next(held[int(side)])), at) for at, place in places], frames / bundle.fps)
