"""Bundles: a folder with `bundle.json` and safetensors, holding all that a base model lacks to make motion.

`bundle.json` says which base it needs, how codes are written, on which skeleton and features the tokenizer works, and the
sha256 of every file, which is checked on opening.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..files import reason_of
from ..language.heads import LORA, AdapterConfig
from ..language.ranker import Ranker
from ..motion.skeleton import Skeleton, load_skeleton
from ..protocol.errors import Code, MotionGPTError
from ..tokenizer.vqvae import VQVAE, VQVAEConfig
from .base import BaseModel

FORMAT = 4
DEFAULT = Path(__file__).parent.parent / "bundles" / "default"
# Each part is several files, so that none of those in the repository becomes too large for where it is kept.
_TOKENIZER, _CODEBOOKS = "tokenizer.safetensors", "codebooks.safetensors"
_ADAPTER, _HEADS, _READERS = "adapter.safetensors", "heads.safetensors", "readers.safetensors"
_FILES = {_TOKENIZER, _CODEBOOKS, _ADAPTER, _HEADS, _READERS}
_RANKER = "ranker.safetensors"  # of bundles that have one


@dataclass(frozen=True)
class Bundle:
    """What `bundle.json` says. `rotations` is the form of the rotation block, `mean` and `std` are lists of D numbers."""

    name: str
    licence: str
    attribution: str
    base: BaseModel
    adapter: AdapterConfig
    template: str
    network: VQVAEConfig
    skeleton: str
    rotations: str
    fps: float
    longest: int
    mean: np.ndarray
    std: np.ndarray
    training: Mapping[str, Any]
    folder: Path
    ranked: bool

    @property
    def seconds_per_position(self) -> float:
        return self.network.frames_per_code / self.fps

    @property
    def max_seconds(self) -> float:
        return self.longest * self.seconds_per_position

    def body(self) -> Skeleton:
        return load_skeleton(self.skeleton)

    def tokenizer(self) -> VQVAE:
        """The VQ-VAE, in float32, ready to encode and decode."""
        model = VQVAE(self.network)
        model.load_state_dict(self._read(_TOKENIZER, _CODEBOOKS))
        return model.eval().requires_grad_(False)

    def adapter_tensors(self) -> dict[str, Tensor]:
        """What training of the language model made, in float32: the LoRA matrices, and what reads and writes codes."""
        return self._read(_ADAPTER, _HEADS, _READERS)

    def ranker(self) -> Ranker | None:
        """What says which of several answers goes best with a prompt, if the bundle has it."""
        if not self.ranked:
            return None
        tensors = self._read(_RANKER)
        model = Ranker(len(tensors["words.0.weight"]), len(tensors["mean"]))
        model.load_state_dict(tensors)
        return model.eval().requires_grad_(False)

    def _read(self, *files: str) -> dict[str, Tensor]:
        return {name: value.float() for file in files for name, value in load_file(self.folder / file).items()}


def open_bundle(folder: Path | None = None) -> Bundle:
    """The bundle in `folder` (None: the one that comes with the product), its files checked.

    MotionGPTError: `BUNDLE_MISSING` if a file is not there or cannot be read, `BUNDLE_ALTERED` if one is not what it was.
    """
    folder = DEFAULT if folder is None else folder
    try:
        facts = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
        _check(folder, facts)
        facts["ranked"] = _RANKER in facts["files"]
        del facts["format"], facts["files"]
        facts |= {"base": BaseModel(**facts["base"]), "network": VQVAEConfig(**facts["network"]), "folder": folder}
        facts["adapter"] = AdapterConfig(**{**facts["adapter"], "targets": tuple(facts["adapter"]["targets"])})
        facts |= {name: np.array(facts[name], dtype=np.float32) for name in ("mean", "std")}
        return Bundle(**facts)
    except FileNotFoundError as error:
        raise MotionGPTError(
            Code.BUNDLE_MISSING,
            f"The bundle in {folder} is not complete: {Path(error.filename).name} is missing.",
            "Choose another bundle in the preferences, or install the extension again.",
        ) from error
    except OSError as error:
        raise MotionGPTError(
            Code.BUNDLE_MISSING,
            f"The bundle in {folder} cannot be read: {reason_of(error)}.",
            "Choose another bundle in the preferences, or allow reading it.",
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise MotionGPTError(
            Code.BUNDLE_ALTERED, f"The description of the bundle in {folder} cannot be read: {error}.", "Fetch or pack the bundle again."
        ) from error


def _check(folder: Path, facts: dict[str, Any]) -> None:
    if facts["format"] != FORMAT:
        raise MotionGPTError(
            Code.BUNDLE_ALTERED,
            f"The bundle in {folder} has format {facts['format']}; this version reads format {FORMAT}.",
            "Update MotionGPT, or fetch a bundle made for this version.",
        )
    if set(facts["files"]) - {_RANKER} != _FILES:  # before any is opened: a name might lead elsewhere
        raise ValueError("the files that it names are not those of a bundle")
    for name, sha256 in facts["files"].items():
        if file_hash(folder / name) != sha256:
            raise MotionGPTError(
                Code.BUNDLE_ALTERED,
                f"{name} of the bundle in {folder} is not what it was when the bundle was packed.",
                "Fetch the bundle again, or install the extension again.",
            )


def file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_bundle(folder: Path, facts: dict[str, Any], tokenizer: Mapping[str, Tensor], adapter: Mapping[str, Tensor]) -> Bundle:
    """Write a bundle from what `bundle.json` says (dataclasses allowed) and the weights, which are kept as half floats."""
    folder.mkdir(parents=True, exist_ok=True)
    lora, others = _split(adapter, LORA)
    readers, heads = _split(others, "finer.readers.")
    codebooks, networks = _split(tokenizer, "quantizer.", "residuals.")
    files = {_TOKENIZER: networks, _CODEBOOKS: codebooks, _ADAPTER: lora, _HEADS: heads, _READERS: readers}
    hashes = {name: _write(folder / name, tensors) for name, tensors in files.items()}
    plain = {k: v if isinstance(v, (str, int, float, list, dict)) else asdict(v) for k, v in facts.items()}
    _write_facts(folder, {"format": FORMAT, **plain, "files": hashes})
    return open_bundle(folder)


def add_ranker(folder: Path, tensors: Mapping[str, Tensor]) -> Bundle:
    """Put a ranker into the bundle in `folder`, in the place of one that it has."""
    facts = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    facts["files"][_RANKER] = _write(folder / _RANKER, tensors)
    _write_facts(folder, facts)
    return open_bundle(folder)


def _write(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Write tensors as half floats; the file's hash."""
    temporary = path.with_suffix(".tmp")
    save_file({k: v.detach().to(torch.float16).contiguous() for k, v in tensors.items()}, temporary)
    temporary.chmod(0o644)  # safetensors writes for its user alone
    temporary.replace(path)
    return file_hash(path)


def _write_facts(folder: Path, facts: Mapping[str, Any]) -> None:
    (folder / "bundle.json").write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _split(tensors: Mapping[str, Tensor], *beginnings: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The tensors whose names begin in one of these ways, and the others."""
    found = {name: value for name, value in tensors.items() if name.startswith(beginnings)}
    return found, {name: value for name, value in tensors.items() if name not in found}
