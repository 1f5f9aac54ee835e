"""The loop both trainings share: steps, learning rate, checkpoints that a later run goes on from, a log of every figure."""

import json
import math
import time
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from ..protocol.errors import Code, MotionGPTError

CHECKPOINT_SECONDS = 120.0


class Trainee(Protocol):
    """What the loop trains: tensors to keep, a loss for a step, figures on held-out data."""

    @property
    def optimizer(self) -> torch.optim.Optimizer: ...

    def tensors(self) -> dict[str, Tensor]:
        """Everything that changes in training besides the optimizer's state, by name, not copied."""
        ...

    def loss(self, step: int) -> Tensor:
        """The loss of the batch that belongs to `step`; the same step draws the same batch."""
        ...

    def evaluate(self) -> dict[str, float]: ...


def train(
    trainee: Trainee,
    folder: Path,
    config: dict[str, Any],
    *,
    steps: int,
    warmup: int,
    evaluate_every: int,
    minutes: float | None = None,
    clip: float = 1.0,
) -> None:
    """Train up to `steps` in all, going on from the checkpoint in `folder` if there is one; stop early after `minutes`.

    Writes `config.json`, `log.jsonl` and `state.safetensors` there. MotionGPTError if the folder was begun with another configuration.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _keep_config(folder / "config.json", config)
    begun = _restore(trainee, folder)
    rates = [group["lr"] for group in trainee.optimizer.param_groups]
    saved = time.monotonic()
    deadline = math.inf if minutes is None else saved + 60.0 * minutes
    bar = tqdm(total=steps, initial=begun, desc=folder.name, unit="step")
    with bar, (folder / "log.jsonl").open("a", encoding="utf-8") as log:
        for step in range(begun, steps):
            for group, rate in zip(trainee.optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * schedule(step, steps, warmup)
            started = time.monotonic()
            loss = trainee.loss(step)
            if not torch.isfinite(loss):
                raise FloatingPointError(f"The loss is {loss.item()} at step {step}; the last checkpoint in {folder} is still good.")
            trainee.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            parameters = [p for group in trainee.optimizer.param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, clip)
            trainee.optimizer.step()
            record = {"step": step + 1, "loss": loss.item(), "seconds": round(time.monotonic() - started, 3)}
            if (step + 1) % evaluate_every == 0 or step + 1 == steps:
                record |= trainee.evaluate()
                tqdm.write(json.dumps(record))
            log.write(json.dumps(record) + "\n")
            log.flush()
            bar.set_postfix(loss=f"{record['loss']:.3f}", refresh=False)
            bar.update()
            over = time.monotonic() > deadline
            if time.monotonic() - saved > CHECKPOINT_SECONDS or step + 1 == steps or over:
                _save(trainee, folder, step + 1)
                saved = time.monotonic()
            if over:
                break


def schedule(step: int, steps: int, warmup: int) -> float:
    """Share of the full learning rate: a linear rise, then half a cosine down to a twentieth."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def _keep_config(path: Path, config: dict[str, Any]) -> None:
    if not path.exists():
        path.write_text(json.dumps(config, indent=1), encoding="utf-8")
        return
    before = json.loads(path.read_text(encoding="utf-8"))
    changed = sorted(k for k in before.keys() | config.keys() if before.get(k) != config.get(k))
    if changed:
        raise MotionGPTError(
            Code.INVALID_PARAMS,
            f"{path.parent} was begun with other settings ({', '.join(changed)}).",
            "Go on with those, or choose another folder with --out.",
        )


def _save(trainee: Trainee, folder: Path, step: int) -> None:
    tensors = {f"model.{name}": value.detach().contiguous() for name, value in trainee.tensors().items()}
    for index, state in trainee.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value.contiguous() for name, value in state.items()}
    temporary = folder / "state.tmp"
    save_file(tensors, temporary, metadata={"step": str(step)})
    temporary.replace(folder / "state.safetensors")


def _restore(trainee: Trainee, folder: Path) -> int:
    path = folder / "state.safetensors"
    if not path.exists():
        return 0
    own = trainee.tensors()
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in load_file(path).items():
        value = value.clone()  # what stays mapped keeps the next checkpoint from taking the file's place on Windows
        kind, rest = name.split(".", 1)
        if kind == "model":
            own[rest].data.copy_(value)
        else:
            index, field = rest.split(".", 1)
            state.setdefault(int(index), {})[field] = value
    trainee.optimizer.load_state_dict({"state": state, "param_groups": trainee.optimizer.state_dict()["param_groups"]})
    return saved_step(path)


def saved_step(path: Path) -> int:
    """The step at which a checkpoint was written."""
    with path.open("rb") as file:  # safetensors: eight bytes of length, then a JSON header
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return int(header["__metadata__"]["step"])


def read_model(path: Path) -> dict[str, Tensor]:
    """The trained tensors of a checkpoint, without the optimizer's."""
    return {name.removeprefix("model."): value for name, value in load_file(path).items() if name.startswith("model.")}
