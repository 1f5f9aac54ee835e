"""An evaluator that this project trains: motion and text as points of one space, near where they belong together.

Its figures say how clips of one bundle compare with captured ones and with those of another bundle on the same data. They are
not comparable with published ones, which come from other networks (`official.py`).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from ..models.base import SMOLLM2, BaseModel, find_base

_WIDTH, _POINT = 192, 128
_CONTACTS = 4  # the last features, which other evaluators leave out as well


class Matcher(nn.Module):
    """Two encoders. Motion: normalised features (T, D); text: embeddings of the base model's tokens, kept as they are."""

    def __init__(self, features: int, text_width: int) -> None:
        super().__init__()
        self.movement = nn.Sequential(
            nn.Conv1d(features - _CONTACTS, _WIDTH, 4, 2, 1), nn.LeakyReLU(0.2),
            nn.Conv1d(_WIDTH, _WIDTH, 4, 2, 1), nn.LeakyReLU(0.2),
            nn.Conv1d(_WIDTH, _WIDTH, 3, 1, 1), nn.LeakyReLU(0.2),
        )  # fmt: skip
        self.words = nn.Sequential(nn.Linear(text_width, _WIDTH), nn.LeakyReLU(0.2), nn.Linear(_WIDTH, _WIDTH), nn.LeakyReLU(0.2))
        self.motion_point, self.text_point = nn.Linear(2 * _WIDTH, _POINT), nn.Linear(2 * _WIDTH, _POINT)
        self.sharpness = nn.Parameter(torch.tensor(2.0))

    def motions(self, features: Sequence[Tensor]) -> Tensor:
        """Points (N, 128) of clips (T, D), T at least 4."""
        padded = pad_sequence(list(features), batch_first=True)[..., :-_CONTACTS]
        moved = self.movement(padded.transpose(1, 2)).transpose(1, 2)
        return self.motion_point(_pool(moved, [len(f) // 4 for f in features]))

    def texts(self, embedded: Sequence[Tensor]) -> Tensor:
        """Points (N, 128) of sentences (L, width)."""
        words = self.words(pad_sequence(list(embedded), batch_first=True))
        return self.text_point(_pool(words, [len(e) for e in embedded]))

    def loss(self, features: Sequence[Tensor], embedded: Sequence[Tensor]) -> Tensor:
        """How badly each clip finds its sentence among all of the batch, and each sentence its clip (InfoNCE)."""
        a, b = F.normalize(self.motions(features), dim=-1), F.normalize(self.texts(embedded), dim=-1)
        scores = a @ b.T * self.sharpness.exp()
        own = torch.arange(len(scores), device=scores.device)
        return (F.cross_entropy(scores, own) + F.cross_entropy(scores.T, own)) / 2


def _pool(values: Tensor, lengths: list[int]) -> Tensor:
    """Mean and maximum (N, 2 C) over the first `lengths` of `values (N, L, C)`."""
    count = torch.tensor(lengths, device=values.device)
    inside = torch.arange(values.shape[1], device=values.device) < count[:, None]
    mean = (values * inside[..., None]).sum(1) / count[:, None]
    return torch.cat([mean, values.masked_fill(~inside[..., None], -torch.inf).amax(1)], dim=-1)


class TextEmbeddings:
    """Sentences as rows of a base model's embedding table, read without the model."""

    def __init__(self, base: BaseModel = SMOLLM2) -> None:
        from transformers import AutoTokenizer

        folder = find_base(base)
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        with safe_open(folder / "model.safetensors", "pt") as file:
            self.table = file.get_tensor("model.embed_tokens.weight").float()
        self.table = self.table / self.table.std()

    def __call__(self, text: str) -> Tensor:
        return self.table[self.tokenizer.encode(text.strip().lower() or ".")]


class OwnEvaluator:
    """A trained `Matcher` with what it needs."""

    comparable = False

    def __init__(self, folder: Path) -> None:
        """Read `evaluator.safetensors` as `motiongpt train evaluator` wrote it."""
        tensors = {name: value.clone() for name, value in load_file(folder / "evaluator.safetensors").items()}  # not mapped: it may go
        self.mean, self.std = tensors.pop("mean").numpy(), tensors.pop("std").numpy()
        self.embed = TextEmbeddings()
        self.matcher = Matcher(len(self.mean), self.embed.table.shape[1])
        self.matcher.load_state_dict(tensors)
        self.matcher.eval()

    @torch.inference_mode()
    def motions(self, features: Sequence[np.ndarray]) -> np.ndarray:
        """Points (N, 128) of clips of features (T, D), not normalised."""
        normalised = [torch.from_numpy(((f - self.mean) / self.std).astype(np.float32)) for f in features]
        return F.normalize(self.matcher.motions(normalised), dim=-1).numpy()

    @torch.inference_mode()
    def texts(self, captions: Sequence[str]) -> np.ndarray:
        return F.normalize(self.matcher.texts([self.embed(c) for c in captions]), dim=-1).numpy()


def write_evaluator(folder: Path, matcher: Matcher, mean: np.ndarray, std: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.detach().contiguous() for name, value in matcher.state_dict().items()}
    save_file(tensors | {"mean": torch.from_numpy(mean), "std": torch.from_numpy(std)}, folder / "evaluator.safetensors")
