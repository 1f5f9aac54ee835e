"""Training of the project's own evaluator on a built data set."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..data.dataset import Clip, Dataset
from ..evaluation.matching import Matcher, TextEmbeddings, write_evaluator
from .loop import train


@dataclass(frozen=True)
class EvaluatorTraining:
    """All settings of a run. `shortest` and `longest` are frames of a clip, as in the published protocol."""

    steps: int = 600
    batch: int = 64
    rate: float = 1e-3
    warmup: int = 20
    weight_decay: float = 0.01
    shortest: int = 40
    longest: int = 196
    evaluate_every: int = 100
    seed: int = 123


class EvaluatorTrainee:
    """The matcher, its optimizer, and batches drawn by the number of the step."""

    def __init__(self, dataset: Dataset, config: EvaluatorTraining, device: str) -> None:
        torch.manual_seed(config.seed)
        self.dataset, self.config, self.device = dataset, config, device
        self.embed = TextEmbeddings()
        self.model = Matcher(dataset.layout.size, self.embed.table.shape[1]).to(device)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=config.rate, weight_decay=config.weight_decay)
        self.clips = {s: [c for c in dataset.split(s) if c.frames >= config.shortest and c.captions] for s in ("train", "val")}

    def tensors(self) -> dict[str, Tensor]:
        return dict(self.model.state_dict())

    def loss(self, step: int) -> Tensor:
        self.model.train()
        return self._loss("train", np.random.default_rng((self.config.seed, step)))

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        self.model.eval()
        if not self.clips["val"]:
            return {}
        losses = [float(self._loss("val", np.random.default_rng((self.config.seed, 1, i)))) for i in range(4)]
        return {"val_loss": round(float(np.mean(losses)), 4)}

    def _loss(self, split: str, rng: np.random.Generator) -> Tensor:
        clips = [self.clips[split][i] for i in rng.permutation(len(self.clips[split]))[: self.config.batch]]
        features, texts = zip(*(self._draw(clip, rng) for clip in clips), strict=True)
        return self.model.loss(features, texts)

    def _draw(self, clip: Clip, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        caption = clip.captions[int(rng.integers(len(clip.captions)))]
        length = min(clip.frames, self.config.longest)
        begin = int(rng.integers(clip.frames - length + 1))
        features = (self.dataset.of(clip)[begin : begin + length] - self.dataset.mean) / self.dataset.std
        return torch.from_numpy(features.astype(np.float32)).to(self.device), self.embed(caption.text).to(self.device)


def run(dataset: Dataset, folder: Path, config: EvaluatorTraining, device: str, minutes: float | None = None) -> None:
    """Train, or go on training, in `folder`; writes `evaluator.safetensors` at the end, or after so many minutes."""
    trainee = EvaluatorTrainee(dataset, config, device)
    settings = {**json.loads(json.dumps(asdict(config))), "data": dataset.facts["sources"]}
    train(trainee, folder, settings, steps=config.steps, warmup=config.warmup, evaluate_every=config.evaluate_every, minutes=minutes)
    write_evaluator(folder, trainee.model.cpu(), dataset.mean, dataset.std)
