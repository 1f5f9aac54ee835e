"""Train small variants of the tokenizer and of the language model, alike but for one thing each, and print how they compare.

    python tools/ablate.py --data build/data --tokenizer build/tokenizer [--parts codebook rank base tasks] [--out build/ablations]

Codebook sizes compare reconstruction; LoRA ranks, a pretrained base against one of random weights, and joint against separate
tasks compare the loss and the accuracy per first code on held-out clips. The runs are short (`--tokenizer-steps`, `--language-steps`,
`--language-batch`), so figures of one table may be compared with each other and not with those of a bundle. Runs that were broken off
are gone on with. Writes report.json and prints a table.
"""

import argparse
import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from backend.data.dataset import Dataset
from backend.language.heads import AdapterConfig
from backend.models.base import SMOLLM2, BaseModel, find_base
from backend.models.devices import choose
from backend.tokenizer.losses import LossWeights
from backend.tokenizer.vqvae import VQVAEConfig
from backend.training import language, tokenizer
from backend.training.loop import read_model

CODEBOOKS = (128, 256, 512, 1024)
RANKS = (8, 16, 32, 64)
TASKS = ("text", "text first")  # of which separate models are trained
_HELD_OUT = 96  # examples that a loss is the mean of

Row = dict[str, str | float]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True, help="the folder of a trained tokenizer, or of a bundle")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--out", type=Path, default=Path("build/ablations"))
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"))
    parser.add_argument("--tokenizer-steps", type=int, default=1000)
    parser.add_argument("--language-steps", type=int, default=300)
    parser.add_argument("--language-batch", type=int, default=16)
    args = parser.parse_args()
    args.device = choose(args.device)
    path = args.out / "report.json"
    report: dict[str, list[Row]] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    for part in args.parts:
        report[part] = list(PARTS[part](args))
        args.out.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        print(f"\n{part}")
        print("\n".join("  " + "  ".join(f"{name} {value}" for name, value in row.items()) for row in report[part]))
    return 0


def codebooks(args: argparse.Namespace) -> Iterator[Row]:
    """The paper's form, one level of codes, with codebooks of several sizes."""
    for codes in CODEBOOKS:
        dataset = Dataset(args.data)
        network = VQVAEConfig(features=dataset.layout.size, width=192, code_dim=192, codes=codes)
        steps = args.tokenizer_steps
        config = tokenizer.TokenizerTraining(
            network, LossWeights(path=1.0), steps, batch=64, rate=4e-4, warmup=100, continuous_steps=steps // 4, evaluate_every=steps
        )
        folder = args.out / f"codebook-{codes}"
        tokenizer.run(dataset, folder, config, args.device)
        model = tokenizer.load_trained(folder, dataset).to(args.device)
        found = tokenizer.reconstruction_errors(model, dataset, dataset.split("test"), args.device)
        yield {"codes": codes, **{name: found[name] for name in ("aligned_mm", "path_mm", "codebook_use", "rotation_deg")}}


def ranks(args: argparse.Namespace) -> Iterator[Row]:
    for rank in RANKS:
        yield {"rank": rank, **_trained(args, f"rank-{rank}", adapter=AdapterConfig(rank=rank, alpha=2 * rank))}


def bases(args: argparse.Namespace) -> Iterator[Row]:
    """The base model as it was trained on text, and one of the same shape that was not."""
    yield {"base": "pretrained", **_trained(args, "rank-16", adapter=AdapterConfig())}
    folder = args.out / "random-base"
    if not (folder / "model.safetensors").is_file():
        pretrained = find_base(SMOLLM2)
        torch.manual_seed(0)
        AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(pretrained), dtype=torch.bfloat16).save_pretrained(folder)
        for path in pretrained.glob("*token*"):
            shutil.copy(path, folder)
    yield {"base": "random weights", **_trained(args, "random", base=BaseModel(str(folder)))}


def tasks(args: argparse.Namespace) -> Iterator[Row]:
    """One model for all tasks, and one for each, by what they lose at that task."""
    for task in TASKS:
        yield {"task": task, "trained on": "all tasks", **_trained(args, "rank-16", task, adapter=AdapterConfig())}
        yield {"task": task, "trained on": "this one", **_trained(args, f"only-{task.replace(' ', '-')}", task, only=task)}


PARTS = {"codebook": codebooks, "rank": ranks, "base": bases, "tasks": tasks}


def _trained(args: argparse.Namespace, name: str, task: str = "", **settings: object) -> Row:
    """Train a language model under a name, unless that is done, and say what it loses on held-out clips."""
    dataset, steps = Dataset(args.data), args.language_steps
    warmup, batch = min(50, steps // 4), args.language_batch
    plain = language.LanguageTraining(steps=steps, batch=batch, rate=8e-4, warmup=warmup, finer_weight=0.15, evaluate_every=steps + 1)
    config = dataclasses.replace(plain, **settings)
    folder = args.out / name
    language.run(dataset, args.tokenizer, folder, config, args.device)
    trainee = language.LanguageTrainee(dataset, tokenizer.load_trained(args.tokenizer, dataset), config, args.device)
    trainee.model.load_adapter(read_model(folder / "state.safetensors"))
    found = [trainee.held_out(split, _HELD_OUT, task) for split in ("val", "test")]
    loss, right = np.mean([losses[0] for losses, *_ in found]), np.mean([right for _, right, _ in found])
    return {"loss": round(float(loss), 3), "accuracy": round(float(right), 3)}


if __name__ == "__main__":
    raise SystemExit(main())
