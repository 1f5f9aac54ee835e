"""From training folders to a bundle."""

import json
from pathlib import Path
from typing import Any

from ..data.dataset import Dataset
from ..models.bundle import Bundle, write_bundle
from .loop import read_model, saved_step
from .tokenizer import load_trained


def pack(data: Path, tokenizer: Path, language: Path, out: Path, *, name: str, licence: str, attribution: str) -> Bundle:
    """Write the bundle of a trained tokenizer and language model to `out`. FileNotFoundError if one is not trained yet."""
    dataset = Dataset(data)
    token_config, config = (json.loads((folder / "config.json").read_text(encoding="utf-8")) for folder in (tokenizer, language))
    facts: dict[str, Any] = {
        "name": name,
        "licence": licence,
        "attribution": attribution,
        "base": config["base"],
        "adapter": config["adapter"],
        "template": config["template"],
        "network": token_config["network"],
        "skeleton": dataset.facts["skeleton"],
        "rotations": dataset.facts["rotations"],
        "fps": dataset.facts["fps"],
        "longest": config["longest"],
        "mean": dataset.facts["mean"],
        "std": dataset.facts["std"],
        "training": {
            "data": dataset.facts["sources"],
            "clips": dataset.facts["clips"],
            "tokenizer": _summary(tokenizer),
            "language": _summary(language),
        },
    }
    return write_bundle(out, facts, load_trained(tokenizer).state_dict(), read_model(language / "state.safetensors"))


def _summary(folder: Path) -> dict[str, Any]:
    """Steps, hours and the last figures of a training, from its log."""
    records = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    evaluated = [r for r in records if len(r) > 3]
    hours = sum({r["step"]: r["seconds"] for r in records}.values()) / 3600
    return {"steps": saved_step(folder / "state.safetensors"), "hours": round(hours, 2), **(evaluated[-1] if evaluated else {})}
