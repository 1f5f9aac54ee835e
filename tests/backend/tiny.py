"""A data set and a base model small enough to train in seconds: what the commands do, at a size that tests can afford."""

import json
from pathlib import Path

import numpy as np
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from backend.models.base import SMOLLM2, find_base
from backend.motion import rotations
from backend.motion.skeleton import SMPL

TOKENIZER = ["network.width=24", "network.code_dim=16", "network.codes=32", "batch=4", "window=32", "warmup=2", "continuous_steps=2"]
TOKENIZER += ["long_share=0.5", "retimed_share=0.5", "described_share=0.5"]
LANGUAGE = ["adapter.rank=2", "batch=2", "warmup=1", "shortest=4", "longest=12"]


def settings(values: list[str]) -> list[str]:
    return [part for value in values for part in ("--set", value)]


def write_source(folder: Path, clips: int = 6, frames: int = 90) -> Path:
    """Clips in the unpacked layout: a walker that swings arms and legs, each a little faster than the one before."""
    for part in ("rotations", "joints", "offsets", "texts"):
        (folder / part).mkdir(parents=True)
    assert SMPL.offsets is not None
    ids = [f"{i:06d}" for i in range(clips)]
    for number, id_ in enumerate(ids):
        phase = np.arange(frames) * (0.2 + 0.02 * number)
        local = np.tile(rotations.IDENTITY, (frames, len(SMPL), 1))
        for joint, sign in (("left_hip", 1), ("right_hip", -1), ("left_shoulder", -1), ("right_shoulder", 1)):
            local[:, SMPL.index(joint)] = rotations.about(np.array([1.0, 0.0, 0.0]), 0.5 * sign * np.sin(phase))
        root = np.stack([np.zeros(frames), np.full(frames, SMPL.rest_height), 0.05 * np.arange(frames)], axis=-1)
        np.save(folder / "rotations" / f"{id_}.npy", SMPL.to_global(local).astype(np.float32))
        np.save(folder / "joints" / f"{id_}.npy", SMPL.forward(local, root).astype(np.float32))
        np.save(folder / "offsets" / f"{id_}.npy", SMPL.offsets.astype(np.float32))
        (folder / "texts" / f"{id_}.txt").write_text("a person walks forward.##0.0#0.0\nsomeone walks.##1.0#4.0\n", encoding="utf-8")
    (folder / "train.txt").write_text("\n".join(ids[:-2]), encoding="utf-8")
    (folder / "val.txt").write_text(ids[-2], encoding="utf-8")
    (folder / "test.txt").write_text(ids[-1], encoding="utf-8")
    return folder


def write_humanml3d(folder: Path, features: np.ndarray) -> Path:
    """The same features as a folder of the HumanML3D pipeline."""
    for part in ("new_joint_vecs", "texts"):
        (folder / part).mkdir(parents=True)
    for id_, split in (("000001", "train"), ("000002", "test")):
        np.save(folder / "new_joint_vecs" / f"{id_}.npy", features)
        (folder / "texts" / f"{id_}.txt").write_text("a man waves.#a/DET man/NOUN wave/VERB#0.0#0.0\n", encoding="utf-8")
        (folder / f"{split}.txt").write_text(f"{id_}\n000099\n", encoding="utf-8")  # the last is listed and not shipped
    return folder


def write_base(folder: Path) -> Path:
    """A LLaMA of two thin layers with the default base model's text tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(find_base(SMOLLM2))
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=1,
        head_dim=16,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def log(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
