"""Training of the motion tokenizer on windows of a built data set."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..data.dataset import Clip, Dataset
from ..models.bundle import Bundle, open_bundle
from ..models.devices import autocast
from ..motion.features import features_to_joints, features_to_local, features_to_root, hold, retime
from ..motion.rotations import angle_between, inverse, rotate
from ..protocol.errors import Code, MotionGPTError
from ..tokenizer.losses import LossWeights, tokenizer_loss
from ..tokenizer.vqvae import VQVAE, VQVAEConfig
from .loop import read_model, train
from .scenes import Scenes

_STATISTICS = "statistics.json"  # of the features, as the tokenizer reads them


@dataclass(frozen=True)
class TokenizerTraining:
    """All settings of a run.

    The first `continuous_steps` train encoder and decoder alone; then the codebook is laid over their latents, which uses
    far more of it than starting from an untrained encoder. `long_share` of the steps take half as many windows, each twice as
    long, so that paths are compared for longer. `held_share` of the windows hold one pose still, as pose conditions do;
    `described_share` show actions found in the motion, all kinds drawn as often as the power `evenness` of their number makes them,
    because what is short and rare is lost among walks; `retimed_share` are made slower or faster by up to the factor
    `retimed_most`. Where there are several levels of codes, `all_levels_share` of the windows use all, the others a random number.
    With `keep_codes` the decoder alone is trained, on codes as they are found in use, so that a language model can go on with them.
    """

    network: VQVAEConfig = field(default_factory=VQVAEConfig)
    weights: LossWeights = field(default_factory=LossWeights)
    steps: int = 300_000
    batch: int = 256
    window: int = 64
    rate: float = 2e-4
    warmup: int = 1000
    continuous_steps: int = 0
    long_share: float = 0.0
    held_share: float = 0.1
    described_share: float = 0.0
    evenness: float = 0.4
    retimed_share: float = 0.0
    retimed_most: float = 1.25
    all_levels_share: float = 0.6
    keep_codes: bool = False
    evaluate_every: int = 250
    seed: int = 123


class TokenizerTrainee:
    """The network, its optimizer, and windows drawn by the number of the step."""

    def __init__(self, dataset: Dataset, config: TokenizerTraining, device: str, begin: Bundle | None = None) -> None:
        """With `begin` training starts from that bundle's tokenizer and as many of its levels; ValueError if it is of another kind."""
        self.dataset, self.config, self.device = dataset, config, device
        torch.manual_seed(config.seed)
        self.model = VQVAE(config.network)
        self.laid = 0  # codebooks that are there from the beginning
        if begin is not None:
            self.laid = min(begin.network.levels, config.network.levels)
            if replace(begin.network, levels=config.network.levels) != config.network:
                raise ValueError(f"The tokenizer of {begin.name} is {begin.network}; the settings ask for {config.network}.")
            self.model.load_state_dict(begin.tokenizer().state_dict(), strict=False)
            for quantizer in self.model.quantizers[: self.laid]:
                quantizer.go_on(config.batch * config.window // config.network.frames_per_code)
        self.model.to(device)
        trained = self.model.decoder if config.keep_codes else self.model
        self.optimizer = torch.optim.AdamW(trained.parameters(), lr=config.rate, betas=(0.9, 0.99), weight_decay=0.0)
        self.mean, self.std = (torch.from_numpy(a).to(device) for a in (dataset.mean, dataset.std))
        self.clips = sorted(dataset.split("train"), key=lambda clip: clip.frames)
        self.frames = np.array([clip.frames for clip in self.clips])
        self.scenes = Scenes(self.clips, config.evenness)
        longest = max(self.frames, default=0)
        if longest < config.window * (2 if config.long_share else 1):
            raise ValueError(f"The longest training clip has {longest} frames, fewer than a window has.")

    def tensors(self) -> dict[str, Tensor]:
        return {**self.model.state_dict(), **dict(self.model.named_buffers())}

    def loss(self, step: int) -> Tensor:
        target = torch.from_numpy(self._windows(step)).to(self.device)
        torch.manual_seed(self.config.seed + step)  # dead codes are drawn at random
        self.model.train()
        if step == self.config.continuous_steps and self.laid < self.config.network.levels:
            self._start_codebooks(step)
        with autocast(self.device):
            if step < self.config.continuous_steps:
                output, commitment = self.model.reconstruct(target), target.new_zeros(())
            elif self.config.keep_codes:
                output, commitment = self._decoded(target), target.new_zeros(())
            else:
                output, commitment = self.model(target, self._levels(len(target)))
        return tokenizer_loss(output.float(), target, commitment, self.config.weights, self.dataset.layout, self.mean, self.std)

    def _levels(self, rows: int) -> Tensor:
        """How many levels of codes each of the windows uses, (rows,), drawn at random."""
        every = self.config.network.levels
        some = torch.randint(1, every + 1, (rows,))
        return torch.where(torch.rand(rows) < self.config.all_levels_share, every, some).to(self.device)

    def _decoded(self, target: Tensor) -> Tensor:
        """Windows (B, T, D) out of the codes that are found for them, of as many levels as are drawn for each."""
        with torch.autocast(self.device, enabled=False):
            codes, levels = self.model.encode(target).clone(), self._levels(len(target))
            parts = [book[codes[..., n]] * (levels > n)[:, None, None] for n, book in enumerate(self.model.codebooks)]
        return self.model.decoder(torch.stack(parts).sum(0).transpose(1, 2)).transpose(1, 2)

    @torch.no_grad()
    def _start_codebooks(self, step: int, batches: int = 8) -> None:
        """Lay the codebooks that are not there yet: all of them over windows, further levels over whole clips, as in use."""
        if self.laid:
            features = [f for clip in self.clips for f in self._paces(step, clip)]
        else:
            features = [
                window
                for i in range(batches)
                for window in self._windows(step + i).reshape(-1, self.config.window, self.dataset.layout.size)
            ]
        latents = [self.model.latents(torch.from_numpy(f).to(self.device)[None])[0] for f in features]
        self.model.start_codebooks(torch.cat(latents).float(), self.laid)

    def _paces(self, step: int, clip: Clip) -> Iterator[np.ndarray]:
        """Normalised features (T, D) of a whole clip, as it is and at another pace."""
        rng = np.random.default_rng((self.config.seed, step, clip.start))
        per_code = self.config.network.frames_per_code
        for factor in (1.0, self.config.retimed_most ** rng.uniform(-1.0, 1.0)):
            positions = max(1, round(clip.frames * factor) // per_code)
            yield (retime(self.dataset.of(clip), self.dataset.layout, positions * per_code) - self.dataset.mean) / self.dataset.std

    def _windows(self, step: int) -> np.ndarray:
        """Normalised features (batch, window, D)."""
        config, layout = self.config, self.dataset.layout
        rng = np.random.default_rng((config.seed, step))
        times = 2 if rng.random() < config.long_share else 1
        batch = np.empty((max(1, config.batch // times), config.window * times, layout.size), dtype=np.float32)
        for row in batch:
            window = len(row)
            if rng.random() < config.retimed_share:
                window = round(window * config.retimed_most ** rng.uniform(-1.0, 1.0))
            row[:] = retime(self._cut(rng, window), layout, len(row))
            if rng.random() < config.held_share:
                row[:] = hold(row[rng.integers(len(row))], layout)
        return (batch - self.dataset.mean) / self.dataset.std

    def _cut(self, rng: np.random.Generator, window: int) -> np.ndarray:
        """So many frames (window, D) of a training clip, all places or all actions equally likely; of one that is shorter, all it has."""
        if self.scenes.actions and rng.random() < self.config.described_share:
            clip, caption = self.scenes.draw(rng, 1.0)
            if clip.frames >= window:
                moment = rng.uniform(caption.start, caption.end) * self.dataset.skeleton.fps
                begin = round(np.clip(moment - rng.uniform(0.0, window), 0.0, clip.frames - window))
                return self.dataset.of(clip)[begin : begin + window]
        places = np.cumsum(np.maximum(self.frames - window + 1, 0))
        if not places[-1]:
            return self.dataset.of(self.clips[-1])
        place = rng.integers(places[-1])
        index = int(np.searchsorted(places, place, side="right"))
        clip = self.clips[index]
        begin = clip.start + int(place - (places[index - 1] if index else 0))
        return self.dataset.features[begin : begin + window]

    def evaluate(self) -> dict[str, float]:
        self.model.eval()
        return {f"{split}_{name}": value for split in ("train", "test") for name, value in self._errors(split).items()}

    def _errors(self, split: str, clips: int = 40) -> dict[str, float]:
        chosen = self.dataset.split(split)
        return reconstruction_errors(self.model, self.dataset, chosen[:: max(1, len(chosen) // clips)], self.device)


def codes_of(model: VQVAE, features: np.ndarray, mean: np.ndarray, std: np.ndarray, device: str) -> Tensor:
    """The codes (N, levels) of a clip's features (T, D), as many as it has frames for."""
    per_code = model.config.frames_per_code
    whole = np.array(features[: len(features) // per_code * per_code])
    return model.encode(torch.from_numpy((whole - mean) / std)[None].to(device))[0]


@torch.inference_mode()
def reconstruction_errors(model: VQVAE, dataset: Dataset, clips: list[Clip], device: str) -> dict[str, float]:
    """Mean joint error with root and heading aligned and with the path (mm), rotation error (degrees), codebook use (share).

    With several levels of codes the use is their mean, and `first_level_mm` the aligned error of the first level alone.
    """
    aligned, first, placed, turned = [], [], [], []
    used: list[set[int]] = [set() for _ in range(model.config.levels)]
    skeleton = dataset.skeleton

    def reconstruct(codes: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        decoded = model.decode(codes)[0].float().cpu().numpy() * dataset.std + dataset.mean
        joints = features_to_joints(decoded, skeleton)
        return decoded, joints, _without_root(decoded, joints, skeleton)

    for clip in clips:
        frames = clip.frames // model.config.frames_per_code * model.config.frames_per_code
        true = np.array(dataset.of(clip)[:frames])
        codes = codes_of(model, true, dataset.mean, dataset.std, device)[None]
        for level, seen in enumerate(used):
            seen.update(codes[..., level].flatten().tolist())
        decoded, joints, body = reconstruct(codes)
        true_joints = features_to_joints(true, skeleton)
        true_body = _without_root(true, true_joints, skeleton)
        placed.append(np.linalg.norm(joints - true_joints, axis=-1).mean())
        aligned.append(np.linalg.norm(body - true_body, axis=-1).mean())
        if model.config.levels > 1:
            first.append(np.linalg.norm(reconstruct(codes[..., :1])[2] - true_body, axis=-1).mean())
        if dataset.facts["rotations"] == "local":
            turned.append(np.degrees(angle_between(features_to_local(decoded, skeleton), features_to_local(true, skeleton))).mean())
    unit = 1000.0 * skeleton.metres_per_unit
    use = np.mean([len(seen) for seen in used]) / model.config.codes
    errors = {"aligned_mm": unit * np.mean(aligned), "path_mm": unit * np.mean(placed), "codebook_use": use}
    if first:
        errors["first_level_mm"] = unit * np.mean(first)
    if turned:
        errors["rotation_deg"] = np.mean(turned)
    return {name: round(float(value), 4) for name, value in errors.items()}


def _without_root(features: np.ndarray, joints: np.ndarray, skeleton) -> np.ndarray:
    heading, root = features_to_root(features, skeleton)
    return rotate(inverse(heading)[:, None], joints - root[:, None])


def run(
    dataset: Dataset, folder: Path, config: TokenizerTraining, device: str, begin: Bundle | None = None, minutes: float | None = None
) -> None:
    """Train, or go on training, in `folder`, for at most so many minutes; a new training may `begin` with a bundle's weights."""
    if begin is not None:
        dataset.mean, dataset.std = begin.mean, begin.std
    folder.mkdir(parents=True, exist_ok=True)
    statistics = {"mean": dataset.mean.tolist(), "std": dataset.std.tolist()}
    path = folder / _STATISTICS
    if path.is_file() and json.loads(path.read_text(encoding="utf-8")) != statistics:
        raise MotionGPTError(
            Code.INVALID_PARAMS,
            f"{folder} was begun with other data, or from a bundle.",
            "Go on with that, or choose another folder with --out.",
        )
    path.write_text(json.dumps(statistics), encoding="utf-8")
    trainee = TokenizerTrainee(dataset, config, device, begin)
    settings = {**asdict(config), "data": dataset.facts["sources"]}
    train(trainee, folder, settings, steps=config.steps, warmup=config.warmup, evaluate_every=config.evaluate_every, minutes=minutes)


def load_trained(folder: Path, dataset: Dataset) -> VQVAE:
    """The tokenizer of a training folder or a bundle, ready to encode and decode; `dataset` takes the statistics it was trained with."""
    if (folder / "bundle.json").is_file():
        bundle = open_bundle(folder)
        dataset.mean, dataset.std = bundle.mean, bundle.std
        return bundle.tokenizer()
    statistics = json.loads((folder / _STATISTICS).read_text(encoding="utf-8"))
    dataset.mean, dataset.std = (np.array(statistics[name], dtype=np.float32) for name in ("mean", "std"))
    network = VQVAEConfig(**json.loads((folder / "config.json").read_text(encoding="utf-8"))["network"])
    model = VQVAE(network)
    tensors = read_model(folder / "state.safetensors")
    model.load_state_dict({name: tensors[name] for name in model.state_dict()})
    return model.eval()
