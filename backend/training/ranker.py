"""Training of a bundle's ranker, on what its language model makes of prompts and on measures of the clips that they belong to."""

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
from ..language.ranker import Ranker
from ..models.bundle import add_ranker, file_hash
from ..motion.measures import in_numbers
from ..protocol.messages import Load
from .language import Examples, LanguageTraining
from .loop import train
from .scenes import Scenes

_TOGETHER = 32  # prompts that the language model reads in one pass
_HELD_OUT = 128  # pairs of each other split, all of them told apart at once
_DESCRIBED_SHARE = 0.6
_LEAST_SPREAD = 0.05  # of what hardly changes
_TASKS = ("text", "text", "text first", "text keys")  # those that are ranked by words


@dataclass(frozen=True)
class RankerTraining:
    """All settings of a run. `examples` prompts are read once by the language model; batches are drawn from them.

    What is measured is off by `noise` of its spread: what a model makes is not quite what was captured.
    """

    examples: int = 3000
    steps: int = 300
    batch: int = 128
    rate: float = 1e-3
    warmup: int = 30
    weight_decay: float = 0.05
    noise: float = 0.2
    evaluate_every: int = 100
    seed: int = 123


class _Pairs:
    """Examples of a split: prompts as hidden states (N, width), their clips in numbers (N, numbers), their captions (N)."""

    def __init__(self, generator: Generator, dataset: Dataset, split: str, count: int, seed: int) -> None:
        bundle, model = generator.bundle, generator.model
        rules = LanguageTraining(template=bundle.template, longest=bundle.longest, described_share=_DESCRIBED_SHARE)
        examples = Examples(dataset, generator.tokenizer, rules, generator.device)
        scenes = Scenes.of(dataset, split, rules.shortest * bundle.network.frames_per_code, rules.evenness)
        rng = np.random.default_rng(seed)
        drawn = [examples.draw(rng, scenes, str(rng.choice(_TASKS))) for _ in range(count)]
        self.captions = np.array([example.caption for example in drawn])
        prompts, clips = [], []
        for first in tqdm(range(0, count, _TOGETHER), desc=f"read {split} prompts"):
            those = drawn[first : first + _TOGETHER]
            told = [
                (generator.prompt(instruction), generator.course(instruction, example.cut.length))
                for instruction, example in zip(examples.instructions(those), those, strict=True)
            ]
            prompts.append(model.begin([begin_answer(model, ids, course) for ids, course in told], room=0).last.float().cpu())
            # As the tokenizer keeps them, because what is to be ranked is what it makes.
            made = [generator.features(torch.tensor(examples.codes(example.cut))[None])[0] for example in those]
            clips += [torch.from_numpy(in_numbers(features, generator.skeleton)) for features in made]
        self.prompts, self.clips = torch.cat(prompts), torch.stack(clips)


class RankerTrainee:
    """The ranker, its optimizer, and batches drawn by the number of the step."""

    def __init__(self, generator: Generator, dataset: Dataset, config: RankerTraining) -> None:
        self.config = config
        counts = {"train": config.examples} | {split: _HELD_OUT for split in ("val", "test") if dataset.split(split)}
        self.pairs = {
            split: _Pairs(generator, dataset, split, count, config.seed + number) for number, (split, count) in enumerate(counts.items())
        }
        torch.manual_seed(config.seed)
        clips = self.pairs["train"].clips
        self.model = Ranker(self.pairs["train"].prompts.shape[1], clips.shape[1])
        self.model.mean.copy_(clips.mean(0))
        self.model.spread.copy_(clips.std(0) + _LEAST_SPREAD)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=config.rate, weight_decay=config.weight_decay)

    def tensors(self) -> dict[str, Tensor]:
        return dict(self.model.state_dict())

    def loss(self, step: int) -> Tensor:
        self.model.train()
        config, pairs = self.config, self.pairs["train"]
        rng = np.random.default_rng((config.seed, step))
        torch.manual_seed(int(rng.integers(2**31)))  # of what is dropped, so that a training goes on as it would have
        chosen = rng.choice(len(pairs.captions), min(config.batch, len(pairs.captions)), replace=False)
        clips = self.model.standardised(pairs.clips[chosen])
        return self._loss(pairs, chosen, clips + config.noise * torch.randn_like(clips))[0]

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Loss, and share of prompts that find their answer among 128, on examples of held-out clips."""
        self.model.eval()
        figures = {}
        for split, pairs in self.pairs.items():
            chosen = np.arange(min(_HELD_OUT, len(pairs.captions)))
            loss, right = self._loss(pairs, chosen, self.model.standardised(pairs.clips[chosen]))
            figures |= {f"{split}_loss": round(float(loss), 4), f"{split}_found": round(float(right), 4)}
        return figures

    def _loss(self, pairs: _Pairs, chosen: np.ndarray, standardised: Tensor) -> tuple[Tensor, Tensor]:
        captions = pairs.captions[chosen]
        return self.model.loss(pairs.prompts[chosen], standardised, torch.from_numpy(captions[:, None] == captions))


def run(data: Path, bundle: Path, folder: Path, config: RankerTraining, device: str, minutes: float | None = None) -> None:
    """Train, or go on training, in `folder`, for at most so many minutes, and put the ranker into the bundle in the folder `bundle`."""
    generator, dataset = Generator.load(Load(bundle=str(bundle), device=device)), Dataset(data)
    dataset.mean, dataset.std = generator.bundle.mean, generator.bundle.std
    trainee = RankerTrainee(generator, dataset, config)
    # Of another language model hidden states mean something else, so that what was begun with it is not gone on with.
    built_on = file_hash(bundle / "adapter.safetensors")
    settings = {**json.loads(json.dumps(asdict(config))), "data": dataset.facts["sources"], "bundle": built_on}
    train(trainee, folder, settings, steps=config.steps, warmup=config.warmup, evaluate_every=config.evaluate_every, minutes=minutes)
    add_ranker(bundle, trainee.tensors())
