"""Importer of the checkpoints that MotionGPT (arXiv 2306.10900) and T2M-GPT published: VQ-VAE and LoRA, as PyTorch files.

This is the only place where a PyTorch file is read, and with `weights_only=True`: tensors, no code.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..language.heads import AdapterConfig
from ..tokenizer.vqvae import VQVAE, VQVAEConfig
from .base import BaseModel
from .bundle import Bundle, write_bundle

_PREFIX = "vqvae."
_FRAMES = {263: ("smpl22", 20.0), 251: ("kit21", 12.5)}


def read_vqvae(path: Path) -> VQVAE:
    """The network of a checkpoint `{"net": state_dict}`; its sizes are read off the tensors. ValueError if it is another kind."""
    state = _read(path).get("net")
    if not isinstance(state, Mapping) or not all(name.startswith(_PREFIX) for name in state):
        raise ValueError(f"{path} is not a VQ-VAE checkpoint of MotionGPT: a dictionary 'net' with names from '{_PREFIX}' on is needed.")
    state = {name.removeprefix(_PREFIX): value for name, value in state.items()}
    width, features, _ = state["encoder.model.0.weight"].shape
    codes, code_dim = state["quantizer.codebook"].shape
    halvings = sum(name.startswith("encoder.model.") and value.ndim == 3 and value.shape[-1] == 4 for name, value in state.items())
    depth = sum(name.startswith("encoder.model.2.1.model.") and name.endswith("conv1.weight") for name in state)
    model = VQVAE(VQVAEConfig(features, width, code_dim, codes, depth, downsamplings=halvings))
    model.load_state_dict(state, strict=True)
    return model.eval()


def read_lora(path: Path, head_dim: int = 128) -> tuple[dict[str, Tensor], int]:
    """The adapter of a lit-llama checkpoint in peft's names, and its rank.

    lit-llama merges q, k and v into one matrix and adapts q and v; its rotary embedding pairs neighbouring channels where
    transformers pairs halves of a head, so the rows of q's second factor are permuted.
    """
    state = _read(path)
    tensors: dict[str, Tensor] = {}
    rank = 0
    for name, a in state.items():
        if not name.endswith("attn.c_attn.lora_A"):
            continue
        layer = name.split(".")[2]
        b = state[name.replace("lora_A", "lora_B")]
        rank, width = a.shape[0] // 2, b.shape[0] // 2
        b_q = b[:width].view(width // head_dim, head_dim // 2, 2, rank).transpose(1, 2).reshape(width, rank)
        base = f"base_model.model.model.layers.{layer}.self_attn"
        tensors |= {f"{base}.q_proj.lora_A.weight": a[:rank], f"{base}.q_proj.lora_B.weight": b_q}
        tensors |= {f"{base}.v_proj.lora_A.weight": a[rank:], f"{base}.v_proj.lora_B.weight": b[width:]}
    if not tensors:
        raise ValueError(f"{path} is not a LoRA checkpoint of MotionGPT: it holds no 'transformer.h.*.attn.c_attn.lora_A'.")
    return tensors, rank


def import_bundle(vqvae: Path, lora: Path, base: str, mean: Path, std: Path, out: Path, name: str) -> Bundle:
    """A bundle of published checkpoints: digits, the paper's prompts, rotations from geometry.

    `base` is the folder or hub name of the LLaMA that the adapter belongs to; `mean` and `std` the statistics that the VQ-VAE
    was trained with (not those of the data set: with these the motion is garbage).
    """
    network = read_vqvae(vqvae)
    tensors, rank = read_lora(lora)
    skeleton, fps = _FRAMES[network.config.features]
    facts: dict[str, Any] = {
        "name": name,
        "licence": "as the checkpoints'",
        "attribution": "MotionGPT: Finetuned LLMs Are General-Purpose Motion Generators (arXiv 2306.10900)",
        "base": BaseModel(base),
        "adapter": AdapterConfig(rank, alpha=16, targets=("q_proj", "v_proj"), vocabulary="digits", course=False),
        "template": "paper",
        "network": network.config,
        "skeleton": skeleton,
        "rotations": "ik",
        "fps": fps,
        "longest": 49,
        "mean": np.load(mean).tolist(),
        "std": np.load(std).tolist(),
        "training": {"imported": [vqvae.name, lora.name]},
    }
    return write_bundle(out, facts, network.state_dict(), tensors)


def _read(path: Path) -> dict[str, Any]:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # a file of another kind is taken for a pickle, and may raise whatever comes of that
        raise ValueError(f"{path} cannot be read as a PyTorch file of plain tensors: {error}") from error
