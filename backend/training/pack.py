"""From training folders to a bundle."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..data.dataset import Dataset
from ..models.bundle import Bundle, add_ranker, open_bundle, write_bundle
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


def average(one: Bundle, other: Bundle, out: Path, name: str) -> Bundle:
    """Write the bundle half-way between two to `out`, of whose language models, and rankers, one was trained on from the other.

    Each weight is the mean of both (Wortsman et al. 2022, model soups): what either has learned by heart of its own examples is halved.
    ValueError if the two have not all else in common.
    """
    alike = ("base", "adapter", "template", "network", "skeleton", "rotations", "fps", "longest", "ranked")
    if differs := [field for field in alike if getattr(one, field) != getattr(other, field)]:
        raise ValueError(f"The bundles differ in {', '.join(differs)}.")
    network = one.tokenizer().state_dict()
    if not all(torch.equal(value, network[key]) for key, value in other.tokenizer().state_dict().items()):
        raise ValueError("The bundles have different tokenizers.")
    facts = json.loads((one.folder / "bundle.json").read_text(encoding="utf-8")) | {"name": name}
    facts["training"]["language"] = {"mean_of": [bundle.training["language"] for bundle in (one, other)]}
    kept = {key: value for key, value in facts.items() if key not in ("format", "files")}
    made = write_bundle(out, kept, network, _mean(one.adapter_tensors(), other.adapter_tensors()))
    rankers = one.ranker(), other.ranker()
    return add_ranker(out, _mean(*(ranker.state_dict() for ranker in rankers if ranker))) if all(rankers) else made


def _mean(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: (value + other[key]) / 2 for key, value in one.items()}


def _summary(folder: Path) -> dict[str, Any]:
    """Steps, hours and the last figures of a training, from its log, or what a bundle says of it."""
    if (folder / "bundle.json").is_file():
        return dict(open_bundle(folder).training["tokenizer"])
    records = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    evaluated = [r for r in records if len(r) > 3]
    hours = sum({r["step"]: r["seconds"] for r in records}.values()) / 3600
    return {"steps": saved_step(folder / "state.safetensors"), "hours": round(hours, 2), **(evaluated[-1] if evaluated else {})}
