"""From training folders to a bundle."""

import json
from pathlib import Path
from typing import Any

from ..data.dataset import Dataset
from ..models.bundle import Bundle, open_bundle, write_bundle
from .loop import read_model, saved_step
from .tokenizer import load_trained


def pack(data: Path, tokenizer: Path, language: Path, out: Path, *, name: str, licence: str, attribution: str) -> Bundle:
    """Write the bundle of a trained tokenizer (or that of another bundle) and a trained language model to `out`.

    FileNotFoundError if one is not trained yet.
    """
    dataset = Dataset(data)
    network = load_trained(tokenizer, dataset)
    config = json.loads((language / "config.json").read_text(encoding="utf-8"))
    facts: dict[str, Any] = {
        "name": name,
        "licence": licence,
        "attribution": attribution,
        "base": config["base"],
        "adapter": config["adapter"],
        "template": config["template"],
        "network": network.config,
        "skeleton": dataset.facts["skeleton"],
        "rotations": dataset.facts["rotations"],
        "fps": dataset.facts["fps"],
        "longest": config["longest"],
        "mean": dataset.mean.tolist(),
        "std": dataset.std.tolist(),
        "training": {
            "data": dataset.facts["sources"],
            "clips": dataset.facts["clips"],
            "tokenizer": _summary(tokenizer),
            "language": _summary(language),
        },
    }
    return write_bundle(out, facts, network.state_dict(), read_model(language / "state.safetensors"))


def _summary(folder: Path) -> dict[str, Any]:
    """Steps, hours and the last figures of a training, from its log, or what a bundle says of it."""
    if (folder / "bundle.json").is_file():
        return dict(open_bundle(folder).training["tokenizer"])
    records = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    evaluated = [r for r in records if len(r) > 3]
    hours = sum({r["step"]: r["seconds"] for r in records}.values()) / 3600
    return {"steps": saved_step(folder / "state.safetensors"), "hours": round(hours, 2), **(evaluated[-1] if evaluated else {})}
