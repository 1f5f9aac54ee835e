"""Training of the language model's adapter: instructions drawn from a built data set, answers in codes of a tokenizer."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from peft.helpers import disable_input_dtype_casting
from torch import Tensor

from ..data.dataset import Clip, Dataset
from ..data.sources import Caption
from ..language.course import on_course
from ..language.heads import LORA, AdapterConfig
from ..language.model import MotionLanguageModel, load_causal
from ..language.odometry import blurred
from ..language.prompts import Instruction, PoseCode, build_prompt, load_template, mirrored
from ..language.vocabulary import NONE, Position, ids_of
from ..models.base import SMOLLM2, BaseModel, find_base
from ..models.bundle import Bundle
from ..models.devices import autocast, dtype_for
from ..motion.features import hold, retime
from ..tokenizer.vqvae import VQVAE
from .loop import train
from .scenes import Scenes
from .tokenizer import codes_of, load_trained
from .turns import fit_turns

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


_DEALT = 4  # steps whose examples are drawn together


@dataclass(frozen=True)
class LanguageTraining:
    """All settings of a run.

    `described_share` of the examples are actions found in the motion, all kinds drawn as often as the power `evenness` of their
    number makes them (0: equally often). What happens at a moment is shown with up to `around` seconds of the clip before it and
    as much after it. `crop_share` of the other clips are cut to a shorter length; `timed_share` of the prompts state it.
    `retimed_share` of the examples are faster or slower by the factor `retimed`. In each example up to `corrupted_most` of the
    codes that the model reads, though not those that it must answer, are those of other places, as its own will be that it goes on from.
    What an answer has turned so far is told off by about `blur` radians and such a share of it, as sums over codes are estimates.
    `only` names one task to train instead of all. `contrast_share` of the examples that have a caption which contradicts theirs
    (`contradicted`) are read once more with that, which must make their answers less likely; that counts `contrast_weight`.
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
    around: float = 1.5
    crop_share: float = 0.3
    timed_share: float = 0.9
    retimed_share: float = 0.5
    retimed: float = 1.08
    corrupted_most: float = 0.3
    blur: float = 0.12
    only: str = ""
    most_keys: int = 3
    finer_weight: float = 0.25
    contrast_share: float = 0.6
    contrast_weight: float = 0.1
    evaluate_every: int = 100
    seed: int = 123


@dataclass(frozen=True)
class Cut:
    """Positions `begin` to `end` of a clip made `stretch` times as long as it was captured, the first of them at its frame `phase`."""

    clip: Clip
    stretch: float
    phase: int
    begin: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.begin


@dataclass(frozen=True)
class Example:
    """An instruction before its poses are encoded. `poses`: place, seconds, and the row of the data set that shows the pose.

    `other` says another way or turn of what the caption says, or nothing.
    """

    caption: str
    other: str
    seconds: float | None
    poses: tuple[tuple[str, float, int], ...]
    cut: Cut


class Examples:
    """Instructions and answers drawn from clips; codes are made when they are first needed and kept."""

    def __init__(self, dataset: Dataset, tokenizer: VQVAE, config: LanguageTraining, device: str) -> None:
        self.dataset, self.tokenizer, self.config, self.device = dataset, tokenizer.to(device), config, device
        self.template = load_template(config.template)
        self._codes: dict[tuple[int, float, int], list[Position]] = {}

    def draw(self, rng: np.random.Generator, scenes: Scenes, task: str = "") -> Example:
        """One example. The clip, its caption, where it is cut and which poses are given are all random, as is the task if none is named."""
        config, fps = self.config, self.dataset.skeleton.fps
        clip, caption = scenes.draw(rng, config.described_share)
        cut = self._cut(rng, clip, caption)
        frames = cut.length * self.tokenizer.config.frames_per_code
        drawn = str(rng.choice(list(TASKS), p=list(TASKS.values())))
        given = (task or config.only or drawn).split()
        keys = sorted(rng.choice(np.arange(1, frames - 1), size=rng.integers(1, config.most_keys + 1), replace=False).tolist())
        frames_of = {"text": (), "first": (0,), "last": (frames - 1,), "keys": keys}
        return Example(
            caption=caption.text if "text" in given else "",
            other=scenes.contradicting(rng, caption) if "text" in given else "",
            seconds=frames / fps if rng.random() < config.timed_share else None,
            poses=tuple((part.removesuffix("s"), at / fps, self._row(cut, at)) for part in given for at in frames_of[part]),
            cut=cut,
        )

    def _cut(self, rng: np.random.Generator, clip: Clip, caption: Caption) -> Cut:
        """The part of a clip that a caption is shown with: at least as long as the shortest answer, at most as the longest."""
        config, per_code = self.config, self.tokenizer.config.frames_per_code
        begin, end = self._part(rng, clip, caption)
        stretch, phase = 1.0, int(rng.integers(per_code))
        if rng.random() < config.retimed_share:
            stretch = config.retimed if rng.random() < 0.5 else 1.0 / config.retimed
        positions = (_stretched(clip, stretch) - phase) // per_code
        if positions < config.shortest:
            stretch, phase, positions = 1.0, 0, clip.frames // per_code
        first = max(0, min(round((begin * stretch - phase) / per_code), positions - config.shortest))
        last = min(positions, max(round((end * stretch - phase) / per_code), first + config.shortest))
        length = min(last - first, config.longest)
        if not caption.action and length > config.shortest and rng.random() < config.crop_share:
            length = int(rng.integers(config.shortest, length + 1))
        first += int(rng.integers(last - first - length + 1))
        return Cut(clip, stretch, phase, first, first + length)

    def _part(self, rng: np.random.Generator, clip: Clip, caption: Caption) -> tuple[float, float]:
        """From which to which frame of the clip the caption is shown."""
        fps = self.dataset.skeleton.fps
        if caption.end <= caption.start:
            return 0, clip.frames
        before, after = rng.uniform(0.0, self.config.around, 2) if caption.moment else (0.0, 0.0)
        return max(0.0, (caption.start - before) * fps), min(clip.frames, (caption.end + after) * fps)

    def _row(self, cut: Cut, at: int) -> int:
        """The row of the data set that shows frame `at` of a cut."""
        frame = cut.phase + cut.begin * self.tokenizer.config.frames_per_code + at
        return cut.clip.start + min(round(frame * (cut.clip.frames - 1) / (_stretched(cut.clip, cut.stretch) - 1)), cut.clip.frames - 1)

    def codes(self, cut: Cut) -> list[Position]:
        """The codes of a cut, as they are with all of the clip around them."""
        key = (cut.clip.start, cut.stretch, cut.phase)
        if key not in self._codes:
            features = retime(self.dataset.of(cut.clip), self.dataset.layout, _stretched(cut.clip, cut.stretch))[cut.phase :]
            codes = codes_of(self.tokenizer, features, self.dataset.mean, self.dataset.std, self.device)
            self._codes[key] = [tuple(position) for position in codes.tolist()]
        return self._codes[key][cut.begin : cut.end]

    def instructions(self, examples: Sequence[Example]) -> list[Instruction]:
        """The examples' instructions, all their poses encoded in one pass."""
        rows = [row for example in examples for _, _, row in example.poses]
        codes = iter(self._encode_held(rows))
        return [
            Instruction(e.caption, [PoseCode(place, tuple(next(codes)), seconds) for place, seconds, _ in e.poses], e.seconds)
            for e in examples
        ]

    def _encode_held(self, rows: list[int]) -> list[list[int]]:
        if not rows:
            return []
        held = np.stack([hold(self.dataset.features[row], self.dataset.layout) for row in rows])
        return self.tokenizer.encode_held(torch.from_numpy((held - self.dataset.mean) / self.dataset.std).to(self.device)).tolist()


def _stretched(clip: Clip, stretch: float) -> int:
    """How many frames a clip has that is `stretch` times as long."""
    return round(clip.frames * stretch)


class LanguageTrainee:
    """The adapted model, its optimizer, and batches drawn by the number of the step."""

    def __init__(self, dataset: Dataset, tokenizer: VQVAE, config: LanguageTraining, device: str, begin: Bundle | None = None) -> None:
        """With `begin` training starts from that bundle, as far as its codes are those of the tokenizer."""
        torch.manual_seed(config.seed)
        self.config, self.device = config, device
        self.examples = Examples(dataset, tokenizer, config, device)
        self.seconds_per_position = tokenizer.config.frames_per_code / dataset.skeleton.fps
        shortest = config.shortest * tokenizer.config.frames_per_code
        self.scenes = {split: Scenes.of(dataset, split, shortest, config.evenness) for split in ("train", "val", "test")}
        causal, text_tokenizer = load_causal(find_base(config.base), dtype_for(device))
        if device == "cpu":
            causal.set_attn_implementation("eager")  # the fused one takes a fifth longer to go back through, for answers so short
        codes, levels = tokenizer.config.codes, tokenizer.config.levels
        self.model = MotionLanguageModel(causal, text_tokenizer, config.adapter, codes, levels).to(device)
        self.model.start_rows_from(tokenizer.codebooks)
        if begin is not None:
            self._start_from(begin)
        if self.model.odometry is not None:
            self.model.odometry.turns.copy_(fit_turns(tokenizer, dataset, device))
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(parameters, lr=config.rate, weight_decay=config.weight_decay)

    def _start_from(self, begin: Bundle) -> None:
        """Take a bundle's adapter, and its motion rows if the tokenizer is the same but for levels of codes that it has further.

        Of another tokenizer with as many codes, the first codes take over what those meant that stood in their places; the finer
        ones, which tell what first codes leave over, have nothing in common.
        """
        tokenizer, old = self.examples.tokenizer, begin.tokenizer()
        levels, network = begin.network.levels, tokenizer.config
        same = replace(network, levels=levels) == begin.network and all(
            torch.equal(one.half().cpu(), other.half().cpu())  # bundles hold half floats
            for one, other in zip(old.codebooks, tokenizer.codebooks, strict=False)
        )
        alike = begin.network.codes == network.codes and begin.network.frames_per_code == network.frames_per_code
        rows, finer = ("motion.", "course.", "odometry.") if alike else (), ("finer.",) if same else ()
        tensors = begin.adapter_tensors()
        if same and self.model.finer is not None and (embeddings := tensors.get("finer.embeddings")) is not None:
            tensors["finer.embeddings"] = torch.cat([embeddings, self.model.finer.embeddings.data.cpu()[len(embeddings) :]])
        self.model.start_from(tensors, (LORA, *rows, *finer))
        if alike and not same:
            self.model.carry_over(self._stood_for(begin, old.to(self.device)))

    @torch.inference_mode()
    def _stood_for(self, begin: Bundle, old: VQVAE, clips: int = 400) -> Tensor:
        """Shares (codes, codes) of the first codes of the tokenizer `old` for each one of the own, where both write training clips."""
        dataset, own = self.examples.dataset, self.examples.tokenizer
        counts = torch.eye(own.config.codes) * 1e-3  # a code that is seen nowhere stays what it was
        train = dataset.split("train")
        for clip in train[:: max(1, len(train) // clips)]:
            features = dataset.of(clip)
            was = codes_of(old, features, begin.mean, begin.std, self.device)[:, 0].cpu()
            now = codes_of(own, features, dataset.mean, dataset.std, self.device)[:, 0].cpu()
            counts.index_put_((now, was), torch.ones(len(now)), accumulate=True)
        return counts / counts.sum(-1, keepdim=True)

    def tensors(self) -> dict[str, Tensor]:
        return self.model.adapter_tensors()

    def loss(self, step: int) -> Tensor:
        self.model.train()
        rng = np.random.default_rng((self.config.seed, step))
        corrupted_most = self.config.corrupted_most if self.model.motion is not None else 0.0  # digits have no place of their own
        drawn = self._batch(step)
        wrong = contradicted(drawn, rng, self.config.contrast_share)
        losses, _, margins = self._loss(drawn, rng, corrupted_most, wrong)
        loss = losses[0] + self.config.finer_weight * losses[1:].sum()
        return loss + self.config.contrast_weight * F.softplus(-margins).mean() if wrong else loss

    def evaluate(self) -> dict[str, float]:
        """Losses of first and finer codes, share of first codes guessed right and of captions told apart, on 64 examples of each split."""
        figures = {}
        for split in ("val", "test"):
            if self.scenes[split].clips:
                losses, right, apart = self.held_out(split, 64)
                figures |= {f"{split}_loss": round(losses[0], 4), f"{split}_accuracy": round(right, 4)}
                if not np.isnan(apart):
                    figures[f"{split}_told_apart"] = round(apart, 4)
                if len(losses) > 1:
                    figures[f"{split}_finer_loss"] = round(float(np.mean(losses[1:])), 4)
        return figures

    @torch.no_grad()
    def held_out(self, split: str, examples: int, task: str = "") -> tuple[list[float], float, float]:
        """Figures on examples of a split, always the same, of one task or all.

        The losses of each level, the share of first codes guessed right, and of the answers that have a contradicting caption the
        share that is likelier with their own.
        """
        self.model.eval()
        parts, margins = [], []
        for i in range(max(1, examples // self.config.batch)):
            rng = np.random.default_rng((self.config.seed, 1, i))
            drawn = [self.examples.draw(rng, self.scenes[split], task) for _ in range(self.config.batch)]
            losses, right, differences = self._loss(drawn, rng, 0.0, contradicted(drawn, rng, 1.0))
            parts.append((losses, right))
            margins.append(differences)
        losses, right = (torch.stack(values).mean(0) for values in zip(*parts, strict=True))
        return losses.tolist(), float(right), float((torch.cat(margins) > 0).float().mean())  # not a number where none has one

    def _batch(self, step: int) -> list[Example]:
        """The examples of a step. Those of a few steps are drawn together and dealt out by length, so that little is padded."""
        batch, round_, turn = self.config.batch, *divmod(step, _DEALT)
        rng = np.random.default_rng((self.config.seed, 0, round_))
        drawn = [self.examples.draw(rng, self.scenes["train"]) for _ in range(_DEALT * batch)]
        drawn.sort(key=lambda example: example.cut.length)
        first = int(rng.permutation(_DEALT)[turn]) * batch
        return drawn[first : first + batch]

    def _loss(
        self, drawn: Sequence[Example], rng: np.random.Generator, corrupted_most: float, wrong: dict[int, str]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Cross-entropy (levels,) over the answers' rows and finer codes, and the share of rows that are the likeliest.

        `wrong` are wrong captions for some of the examples; the third are the nats (len(wrong),) by which the true one makes the
        answer's rows likelier.
        """
        vocabulary = self.model.vocabulary
        answers = [self.examples.codes(example.cut) for example in drawn]
        anything = [code for codes in answers for code in codes]
        instructions = self.examples.instructions(drawn)
        read = []
        for codes in answers:
            corrupted = rng.random(len(codes)) < rng.uniform(0.0, corrupted_most)
            others = rng.integers(len(anything), size=len(codes))
            read.append([anything[i] if other else code for i, other, code in zip(others, corrupted, codes, strict=True)])
        # What an answer has turned is that of its true codes, though those that it goes on from are corrupted.
        sums = [self.model.sums(torch.tensor(codes)) for codes in answers]
        if self.model.training:
            sums = [rows if rows is None else blurred(rows, rng, self.config.blur) for rows in sums]
        ids, targets = [], []
        for row, caption in [*enumerate(e.caption for e in drawn), *wrong.items()]:
            instruction, codes = replace(instructions[row], caption=caption), answers[row]
            prompt = vocabulary.prompt(build_prompt(instruction, self.examples.template))
            course = self.model.course_for(instruction, len(codes), self.seconds_per_position)
            told = torch.cat([prompt, ids_of(vocabulary, vocabulary.answer(read[row])[:-1])])
            ids.append(on_course(told, course, sums[row]))
            targets.append(F.pad(torch.tensor(vocabulary.answer(codes)), (0, 0, len(prompt) - 1, 0), value=NONE))
        # Padding stands on the right, where causal attention never looks.
        padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True).to(self.device)
        target = torch.nn.utils.rnn.pad_sequence(targets, batch_first=True, padding_value=NONE).to(self.device)
        # Autocast multiplies in bf16 anyway; the adapter need not turn its inputs into float32 for it.
        mixed = dtype_for(self.device) is torch.bfloat16
        with autocast(self.device), disable_input_dtype_casting(self.model.adapted, active=mixed):
            hidden = self.model.hidden(padded)
        margins = self._likelihood(hidden[list(wrong)], target[list(wrong)]) - self._likelihood(hidden[len(drawn) :], target[len(drawn) :])
        hidden, target = hidden[: len(drawn)], target[: len(drawn)]
        wanted = target[..., 0] >= 0
        hidden, target = hidden[wanted].float(), target[wanted]
        logits = self.model.logits(hidden)
        right = (logits.argmax(-1) == target[:, 0]).float().mean()
        losses = [F.cross_entropy(logits, target[:, 0])]
        inside = target.min(-1).values >= 0  # the end of an answer has no finer codes
        hidden, target = hidden[inside], target[inside]
        losses += [F.cross_entropy(self.model.finer_logits(hidden, target[:, :n]), target[:, n]) for n in range(1, target.shape[-1])]
        return torch.stack(losses), right, margins

    def _likelihood(self, hidden: Tensor, target: Tensor) -> Tensor:
        """Log-likelihood (B,) of the rows of answers, from hidden states (B, L, width) and targets (B, L, levels)."""
        rows = target[..., 0]
        logits = self.model.logits(hidden.float())
        return -F.cross_entropy(logits.transpose(1, 2), rows, ignore_index=NONE, reduction="none").sum(-1)


def contradicted(drawn: Sequence[Example], rng: np.random.Generator, share: float) -> dict[int, str]:
    """Captions that are wrong for a share of the examples, by the examples' numbers.

    They name the other side, or another way or turn. Examples that have neither are left out.
    """
    wrong = {}
    for row, e in enumerate(drawn):
        others = [other for other in (mirrored(e.caption), e.other) if other not in ("", e.caption)]
        if others and rng.random() < share:
            wrong[row] = others[int(rng.integers(len(others)))]
    return wrong


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
