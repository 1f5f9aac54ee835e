"""Training of the language model's adapter: instructions drawn from a built data set, answers in codes of a tokenizer."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.dataset import Clip, Dataset
from ..data.sources import Caption
from ..language.heads import AdapterConfig
from ..language.model import MotionLanguageModel, load_causal
from ..language.prompts import Instruction, PoseCode, build_prompt, load_template
from ..language.vocabulary import NONE, Position, ids_of
from ..models.base import SMOLLM2, BaseModel, find_base
from ..models.bundle import Bundle
from ..models.devices import dtype_for
from ..motion.features import hold
from ..tokenizer.vqvae import VQVAE
from .loop import train
from .tokenizer import load_trained

# How often each task is drawn. The last has neither text nor poses: what guidance moves away from.
TASKS = {
    "text": 0.3,
    "text first": 0.2,
    "text last": 0.1,
    "text first last": 0.1,
    "text keys": 0.1,
    "first": 0.05,
    "first last": 0.05,
    "keys": 0.05,
    "": 0.05,
}


@dataclass(frozen=True)
class LanguageTraining:
    """All settings of a run.

    `described_share` of the examples are actions found in the motion, all kinds drawn as often as the power `evenness` of their
    number makes them (0: equally often). `crop_share` of the other clips are cut to a shorter length; `timed_share` of the
    prompts state it.
    """

    base: BaseModel = SMOLLM2
    adapter: AdapterConfig = field(default_factory=AdapterConfig)
    template: str = "timed"
    steps: int = 4000
    batch: int = 16
    rate: float = 1e-3
    warmup: int = 50
    weight_decay: float = 0.01
    shortest: int = 8
    longest: int = 49
    described_share: float = 0.5
    evenness: float = 0.4
    crop_share: float = 0.3
    timed_share: float = 0.9
    most_keys: int = 3
    finer_weight: float = 0.25
    evaluate_every: int = 100
    seed: int = 123


@dataclass(frozen=True)
class Example:
    """An instruction before its poses are encoded. `poses`: place, seconds, and the row of the data set that shows the pose."""

    caption: str
    seconds: float | None
    poses: tuple[tuple[str, float, int], ...]
    codes: tuple[Position, ...]


class Scenes:
    """The clips of a split, with their captions: those that came with them, and the actions found in them by kind."""

    def __init__(self, clips: Sequence[Clip], evenness: float) -> None:
        self.clips = [clip for clip in clips if any(not c.action for c in clip.captions)]
        self.actions: dict[str, list[tuple[Clip, Caption]]] = {}
        for clip in clips:
            for caption in clip.captions:
                if caption.action:
                    self.actions.setdefault(caption.action, []).append((clip, caption))
        odds = np.array([len(found) for found in self.actions.values()], dtype=float) ** evenness
        self.odds = odds / odds.sum()

    def draw(self, rng: np.random.Generator, described_share: float) -> tuple[Clip, Caption]:
        """A clip and one of its captions."""
        if self.actions and rng.random() < described_share:
            found = self.actions[str(rng.choice(list(self.actions), p=self.odds))]
            return found[int(rng.integers(len(found)))]
        clip = self.clips[int(rng.integers(len(self.clips)))]
        captions = [c for c in clip.captions if not c.action]
        return clip, captions[int(rng.integers(len(captions)))]


class Examples:
    """Instructions and answers drawn from clips; codes are made when they are first needed and kept."""

    def __init__(self, dataset: Dataset, tokenizer: VQVAE, config: LanguageTraining, device: str) -> None:
        self.dataset, self.tokenizer, self.config, self.device = dataset, tokenizer.to(device), config, device
        self.template = load_template(config.template)
        self._codes: dict[tuple[int, int], list[Position]] = {}

    def draw(self, rng: np.random.Generator, scenes: Scenes) -> Example:
        """One example. The clip, its caption, where it is cut and which poses are given are all random."""
        config, per_code, fps = self.config, self.tokenizer.config.frames_per_code, self.dataset.skeleton.fps
        clip, caption = scenes.draw(rng, config.described_share)
        begin, end = self._part(rng, clip, caption)
        codes = self._encode(clip.start + begin, clip.start + end)
        length = min(len(codes), config.longest)
        if not caption.action and length > config.shortest and rng.random() < config.crop_share:
            length = int(rng.integers(config.shortest, length + 1))
        cut = int(rng.integers(len(codes) - length + 1))
        row, frames = clip.start + begin + cut * per_code, length * per_code
        task = str(rng.choice(list(TASKS), p=list(TASKS.values()))).split()
        keys = sorted(rng.choice(np.arange(1, frames - 1), size=rng.integers(1, config.most_keys + 1), replace=False).tolist())
        frames_of = {"text": (), "first": (0,), "last": (frames - 1,), "keys": keys}
        return Example(
            caption=caption.text if "text" in task else "",
            seconds=frames / fps if rng.random() < config.timed_share else None,
            poses=tuple((part.removesuffix("s"), at / fps, row + at) for part in task for at in frames_of[part]),
            codes=tuple(codes[cut : cut + length]),
        )

    def _part(self, rng: np.random.Generator, clip: Clip, caption: Caption) -> tuple[int, int]:
        """From which to which frame of the clip the caption is shown: at least as long as the shortest answer where there is room."""
        fps, per_code = self.dataset.skeleton.fps, self.tokenizer.config.frames_per_code
        if caption.end <= caption.start:
            slack = clip.frames > (self.config.shortest + 1) * per_code
            return (int(rng.integers(per_code)) if slack else 0), clip.frames
        begin, end = round(caption.start * fps), min(round(caption.end * fps), clip.frames)
        missing = max(0, self.config.shortest * per_code - (end - begin))
        begin = max(0, min(begin - int(rng.integers(missing + per_code)), clip.frames - self.config.shortest * per_code))
        return begin, min(clip.frames, max(end, begin + self.config.shortest * per_code) + int(rng.integers(per_code)))

    def instructions(self, examples: Sequence[Example]) -> list[Instruction]:
        """The examples' instructions, all their poses encoded in one pass."""
        rows = [row for example in examples for _, _, row in example.poses]
        codes = iter(self._encode_held(rows))
        return [
            Instruction(e.caption, [PoseCode(place, tuple(next(codes)), seconds) for place, seconds, _ in e.poses], e.seconds)
            for e in examples
        ]

    def _encode(self, begin: int, end: int) -> list[Position]:
        end -= (end - begin) % self.tokenizer.config.frames_per_code
        if (begin, end) not in self._codes:
            features = (self.dataset.features[begin:end] - self.dataset.mean) / self.dataset.std
            codes = self.tokenizer.encode(torch.from_numpy(features)[None].to(self.device))[0].tolist()
            self._codes[begin, end] = [tuple(position) for position in codes]
        return self._codes[begin, end]

    def _encode_held(self, rows: list[int]) -> list[list[int]]:
        if not rows:
            return []
        held = np.stack([hold(self.dataset.features[row], self.dataset.layout) for row in rows])
        return self.tokenizer.encode_held(torch.from_numpy((held - self.dataset.mean) / self.dataset.std).to(self.device)).tolist()


class LanguageTrainee:
    """The adapted model, its optimizer, and batches drawn by the number of the step."""

    def __init__(self, dataset: Dataset, tokenizer: VQVAE, config: LanguageTraining, device: str, begin: Bundle | None = None) -> None:
        """With `begin` training starts from the adapter of that bundle, and from its motion rows if its tokenizer is of the same kind."""
        torch.manual_seed(config.seed)
        self.config, self.device = config, device
        self.examples = Examples(dataset, tokenizer, config, device)
        shortest = config.shortest * tokenizer.config.frames_per_code
        self.scenes = {
            split: Scenes([c for c in dataset.split(split) if c.frames >= shortest], config.evenness) for split in ("train", "val", "test")
        }
        causal, text_tokenizer = load_causal(find_base(config.base), dtype_for(device))
        codes, levels = tokenizer.config.codes, tokenizer.config.levels
        self.model = MotionLanguageModel(causal, text_tokenizer, config.adapter, codes, levels).to(device)
        self.model.start_rows_from([quantizer.codebook for quantizer in tokenizer.quantizers])
        if begin is not None:
            self.model.start_from(begin.adapter_tensors(), rows=begin.network == tokenizer.config)
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(parameters, lr=config.rate, weight_decay=config.weight_decay)

    def tensors(self) -> dict[str, Tensor]:
        return self.model.adapter_tensors()

    def loss(self, step: int) -> Tensor:
        self.model.train()
        losses, _ = self._loss("train", np.random.default_rng((self.config.seed, step)))
        return losses[0] + self.config.finer_weight * losses[1:].sum()

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Loss per first code and per finer one, share of first codes guessed right, on the same 64 examples of each split."""
        self.model.eval()
        figures = {}
        for split in ("val", "test"):
            if not self.scenes[split].clips:
                continue
            parts = [self._loss(split, np.random.default_rng((self.config.seed, 1, i))) for i in range(max(1, 64 // self.config.batch))]
            losses, right = (torch.stack(values).mean(0) for values in zip(*parts, strict=True))
            figures |= {f"{split}_loss": round(float(losses[0]), 4), f"{split}_accuracy": round(float(right), 4)}
            if len(losses) > 1:
                figures[f"{split}_finer_loss"] = round(float(losses[1:].mean()), 4)
        return figures

    def _loss(self, split: str, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Cross-entropy (levels,) over the answers' rows and finer codes, and the share of rows that are the likeliest."""
        drawn = [self.examples.draw(rng, self.scenes[split]) for _ in range(self.config.batch)]
        vocabulary = self.model.vocabulary
        ids, targets = [], []
        for example, instruction in zip(drawn, self.examples.instructions(drawn), strict=True):
            prompt = vocabulary.prompt(build_prompt(instruction, self.examples.template))
            answer = vocabulary.answer(example.codes)
            ids.append(torch.cat([prompt, ids_of(vocabulary, answer[:-1])]))
            targets.append(F.pad(torch.tensor(answer), (0, 0, len(prompt) - 1, 0), value=NONE))
        # Padding stands on the right, where causal attention never looks.
        padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True).to(self.device)
        target = torch.nn.utils.rnn.pad_sequence(targets, batch_first=True, padding_value=NONE).to(self.device)
        with torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=dtype_for(self.device) is torch.bfloat16):
            hidden = self.model.hidden(padded)
        wanted = target[..., 0] >= 0
        hidden, target = hidden[wanted].float(), target[wanted]
        logits = self.model.logits(hidden)
        right = (logits.argmax(-1) == target[:, 0]).float().mean()
        losses = [F.cross_entropy(logits, target[:, 0])]
        inside = target.min(-1).values >= 0  # the end of an answer has no finer codes
        hidden, target = hidden[inside], target[inside]
        losses += [F.cross_entropy(self.model.finer_logits(hidden, target[:, :n]), target[:, n]) for n in range(1, target.shape[-1])]
        return torch.stack(losses), right


def run(
    dataset: Dataset,
    tokenizer: Path,
    folder: Path,
    config: LanguageTraining,
    device: str,
    begin: Bundle | None = None,
    minutes: float | None = None,
) -> None:
    """Train, or go on training, in `folder`, for at most so many minutes; a new training may `begin` with a bundle's weights."""
    trainee = LanguageTrainee(dataset, load_trained(tokenizer, dataset), config, device, begin)
    settings = {**json.loads(json.dumps(asdict(config))), "data": dataset.facts["sources"]}
    train(trainee, folder, settings, steps=config.steps, warmup=config.warmup, evaluate_every=config.evaluate_every, minutes=minutes)
