"""Training of a bundle's ranker, on what its language model makes of prompts and on the codes of the clips that they belong to."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..data.dataset import Dataset
from ..generation import Generator
from ..language.decoding import begin_answer
from ..language.prompts import build_prompt
from ..language.ranker import Ranker
from ..models.bundle import add_ranker
from ..protocol.messages import Load
from .language import Examples, LanguageTraining
from .loop import train
from .scenes import Scenes

_TOGETHER = 32  # prompts that the language model reads in one pass
_HELD_OUT = 128  # pairs of each other split, all of them told apart at once
_TASKS = ("text", "text", "text first", "text keys")  # those that are ranked by words


@dataclass(frozen=True)
class RankerTraining:
    """All settings of a run. `examples` prompts are read once by the language model; batches are drawn from them.

    Latents are off by `noise` of their spread, and up to `corrupted_most` of an answer's are those of others: what a model
    makes is not quite what was captured.
    """

    examples: int = 4000
    steps: int = 300
    batch: int = 128
    rate: float = 1e-3
    warmup: int = 30
    weight_decay: float = 0.05
    noise: float = 0.1
    corrupted_most: float = 0.15
    evaluate_every: int = 100
    seed: int = 123


class _Pairs:
    """Examples of a split: prompts as hidden states (N, width), their answers' codes (n, levels), their captions (N)."""

    def __init__(self, generator: Generator, dataset: Dataset, split: str, count: int, seed: int) -> None:
        bundle, model = generator.bundle, generator.model
        rules = LanguageTraining(template=bundle.template, longest=bundle.longest, described_share=0.6)
        examples = Examples(dataset, generator.tokenizer, rules, generator.device)
        shortest = rules.shortest * bundle.network.frames_per_code
        scenes = Scenes([clip for clip in dataset.split(split) if clip.frames >= shortest], rules.evenness)
        rng = np.random.default_rng(seed)
        drawn = [examples.draw(rng, scenes, str(rng.choice(_TASKS))) for _ in range(count)]
        self.codes = [torch.tensor(examples.codes(example.cut)) for example in drawn]
        self.captions = np.array([example.caption for example in drawn])
        prompts = []
        for first in tqdm(range(0, count, _TOGETHER), desc=f"read {split} prompts"):
            instructions = examples.instructions(drawn[first : first + _TOGETHER])
            lengths = [len(codes) for codes in self.codes[first : first + _TOGETHER]]
            courses = [model.course_for(i, length, bundle.seconds_per_position) for i, length in zip(instructions, lengths, strict=True)]
            ids = [model.vocabulary.prompt(build_prompt(instruction, examples.template)) for instruction in instructions]
            ids = [begin_answer(model, prompt, course) for prompt, course in zip(ids, courses, strict=True)]
            prompts.append(model.begin(ids, room=0).last.float().cpu())
        self.prompts = torch.cat(prompts)


class RankerTrainee:
    """The ranker, its optimizer, and batches drawn by the number of the step."""

    def __init__(self, generator: Generator, dataset: Dataset, config: RankerTraining) -> None:
        self.config = config
        counts = {"train": config.examples} | {split: _HELD_OUT for split in ("val", "test") if dataset.split(split)}
        self.pairs = {
            split: _Pairs(generator, dataset, split, count, config.seed + number) for number, (split, count) in enumerate(counts.items())
        }
        torch.manual_seed(config.seed)
        self.model = Ranker(generator.pull.codebooks, self.pairs["train"].prompts.shape[1])
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=config.rate, weight_decay=config.weight_decay)

    def tensors(self) -> dict[str, Tensor]:
        return dict(self.model.state_dict())

    def loss(self, step: int) -> Tensor:
        self.model.train()
        config, pairs = self.config, self.pairs["train"]
        rng = np.random.default_rng((config.seed, step))
        torch.manual_seed(int(rng.integers(2**31)))  # of what is dropped, so that a training goes on as it would have
        chosen = rng.choice(len(pairs.codes), min(config.batch, len(pairs.codes)), replace=False)
        latents = [self.model.latents(pairs.codes[i]) for i in chosen]
        anything = torch.cat(latents)
        spread = anything.std()
        for number, latent in enumerate(latents):
            wrong = torch.from_numpy(rng.random(len(latent)) < rng.uniform(0.0, config.corrupted_most))
            others = torch.from_numpy(rng.integers(len(anything), size=len(latent)))
            mixed = torch.where(wrong[:, None], anything[others], latent)
            latents[number] = mixed + config.noise * spread * torch.randn_like(mixed)
        return self._loss(pairs, chosen, latents)[0]

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Loss, and share of prompts that find their answer among 128, on examples of held-out clips."""
        self.model.eval()
        figures = {}
        for split, pairs in self.pairs.items():
            chosen = np.arange(min(_HELD_OUT, len(pairs.codes)))
            loss, right = self._loss(pairs, chosen, [self.model.latents(pairs.codes[i]) for i in chosen])
            figures |= {f"{split}_loss": round(float(loss), 4), f"{split}_found": round(float(right), 4)}
        return figures

    def _loss(self, pairs: _Pairs, chosen: np.ndarray, latents: list[Tensor]) -> tuple[Tensor, Tensor]:
        captions = pairs.captions[chosen]
        return self.model.loss(pairs.prompts[chosen], latents, torch.from_numpy(captions[:, None] == captions))


def run(data: Path, bundle: Path, folder: Path, config: RankerTraining, device: str, minutes: float | None = None) -> None:
    """Train, or go on training, in `folder`, for at most so many minutes, and put the ranker into the bundle in the folder `bundle`."""
    generator, dataset = Generator.load(Load(bundle=str(bundle), device=device)), Dataset(data)
    dataset.mean, dataset.std = generator.bundle.mean, generator.bundle.std
    trainee = RankerTrainee(generator, dataset, config)
    settings = {**json.loads(json.dumps(asdict(config))), "data": dataset.facts["sources"], "bundle": generator.bundle.name}
    train(trainee, folder, settings, steps=config.steps, warmup=config.warmup, evaluate_every=config.evaluate_every, minutes=minutes)
    add_ranker(bundle, trainee.tensors())
