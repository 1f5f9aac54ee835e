"""The engine for the CPU and the read-outs of codes: the weights in the form that the compiled kernels read."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numba
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..compiled import load_compiled
from .engine import Layer, Shape, rotary_tables
from .heads import MotionHeads

_MOST = 8  # threads; memory is read no faster by more, and each step waits for the slowest
_FEW = 4  # rows below which waking other threads takes longer than to read out what is wanted of them


class Team:
    """Threads that go through a compiled function together."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._others = ThreadPoolExecutor(max(1, size - 1))

    def run(self, function: Any, *arguments: Any, threads: int) -> Any:
        """`function(part, parts, arrivals, *arguments)` on so many threads, each with its part; what the first of them returns."""
        if not function.signatures:
            threads = 1  # what is compiled in a thread of the pool might not find room for it on the thread's stack
        arrivals = np.zeros(1, np.int64)
        others = [self._others.submit(function, part, threads, arrivals, *arguments) for part in range(1, threads)]
        result = function(0, threads, arrivals, *arguments)
        for other in others:
            other.result()
        return result


class CpuEngine:
    """Runs `kernels.forward`."""

    device = torch.device("cpu")

    def __init__(self, shape: Shape, layers: Iterator[Layer], last_norm: Tensor, precision: str) -> None:
        self.shape, self.precision, self.team = shape, precision, Team(min(torch.get_num_threads(), _MOST))
        self._kernels = load_kernels()
        sizes = {
            "qkv": ((shape.heads + 2 * shape.groups) * shape.head_dim, shape.width),
            "out": (shape.width, shape.heads * shape.head_dim),
            "gate_up": (2 * shape.inner, shape.width),
            "down": (shape.width, shape.inner),
        }
        side = self._kernels.BLOCK
        together = shape.heads // shape.groups * shape.head_dim
        if shape.head_dim % self._kernels.LANES or any(size % side for size in (together, shape.width, shape.inner)):
            raise ValueError(f"The base model's sizes must be multiples of {side}.")
        matrices = {name: _room_for(shape.layers, *size, precision) for name, size in sizes.items()}
        norms = np.empty((2 * shape.layers + 1, shape.width), np.float32)
        for i, layer in enumerate(layers):
            gates_and_ups = layer.gate_up.view(2, -1, self._kernels.BLOCK, shape.width).transpose(0, 1).flatten(0, 2)
            for name, matrix in matrices.items():
                _store(gates_and_ups if name == "gate_up" else getattr(layer, name), matrix, i, precision)
            norms[2 * i], norms[2 * i + 1] = layer.before_attention, layer.before_mlp
        norms[-1] = last_norm
        self._layers = self._kernels.Layers(**matrices, norms=norms)

    def start(self, lengths: Tensor, room: int) -> None:
        self._lengths, self._room = lengths.numpy(), room
        self._prompts = np.arange(len(lengths))  # which one each sequence begins with
        self._begun, self._own = None, None
        self._cosines, self._sines = (table.numpy() for table in rotary_tables(self.shape, int(lengths.max()) + room))

    def repeat(self, times: int) -> None:
        assert self._own is None, "only prompts can be shared"
        self._prompts = self._prompts.repeat(times)

    def keep(self, count: int) -> None:
        self._prompts = self._prompts[:count]  # what the others have in the cache is not looked at any more

    def run(self, x: Tensor, places: Tensor) -> Tensor:
        batch, length, width = x.shape
        sequences, at = np.arange(batch).repeat(length), places.reshape(-1).numpy()
        if self._begun is None:
            self._begun, nothing = self._cache(batch, length), self._cache(1, 0)
            alone = self._kernels.Rows(sequences, at, np.zeros_like(at), np.zeros_like(at))
            hidden = self._forward(x.reshape(-1, width), alone, nothing, self._begun)
        else:
            if self._own is None:
                self._own = self._cache(batch, self._room)
            prompts = self._prompts[sequences]
            prompted = self._lengths[prompts]
            rows = self._kernels.Rows(sequences, at - prompted, prompts, prompted)
            hidden = self._forward(x.reshape(-1, width), rows, self._begun, self._own)
        return torch.from_numpy(hidden).view(batch, length, width)

    def _cache(self, batch: int, room: int) -> Any:
        """Keys and values of nothing yet. What is not written takes no memory: the system gives it out page by page."""
        shape, side, kind = self.shape, self._kernels.LANES, np.float32 if self.precision == "float32" else np.int16
        outer, blocks = (shape.layers, batch, shape.groups), -(-room // side)
        keys = np.zeros((*outer, blocks, shape.head_dim, side), kind)
        return self._kernels.Cache(keys, np.zeros((*outer, blocks * side, shape.head_dim), kind))

    def _forward(self, x: Tensor, rows: Any, begun: Any, own: Any) -> np.ndarray:
        shape, count, layers, room = self.shape, len(x), self._layers, self._kernels.room_for
        return self.team.run(
            self._kernels.forward,
            x.numpy().copy(),
            rows,
            layers,
            room(count, layers.qkv.weights),
            _empty(count, (shape.heads + 2 * shape.groups) * shape.head_dim),
            room(count, layers.out.weights),
            room(count, layers.down.weights),
            begun,
            own,
            self._cosines,
            self._sines,
            shape.epsilon,
            threads=self.team.size,
        )


class CpuReadOut:
    """Computes what `MotionHeads.logits` and `finer_logits` do, with weights as precise as those of the engine."""

    def __init__(self, heads: MotionHeads, engine: CpuEngine) -> None:
        self._kernels, self._engine, precision = load_kernels(), engine, engine.precision
        self._count = len(heads.rows())
        self._rows = _matrix([heads.rows()], precision)
        if heads.motion is None or heads.finer is None:
            return
        tensors, levels = heads.finer.state_dict(), range(len(heads.finer.readers))

        def of_all(name: str) -> list[Tensor]:
            return [tensors[f"readers.{level}.{name}"] for level in levels]

        self._readers = self._kernels.Readers(
            heads.motion.detach().numpy(),
            heads.finer.embeddings.detach().numpy(),
            _matrix(of_all("hidden.weight"), precision),
            _biases(of_all("hidden.bias")),
            _matrix(of_all("chosen.weight"), precision),
            _matrix(of_all("mix.weight"), precision),
            _biases(of_all("mix.bias")),
            _matrix(of_all("rows.weight"), precision),
            _biases(of_all("rows.bias")),
        )

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores (B, R) of the output rows after hidden states (B, width)."""
        scores = _empty(len(hidden), self._rows.scales.shape[1])
        self._run(self._kernels.score, hidden, self._rows, scores)
        return torch.from_numpy(scores[:, : self._count])

    def finer_logits(self, hidden: Tensor, chosen: Tensor) -> Tensor:
        """Scores (B, codes) of the next finer code after the row and the finer codes `chosen (B, n)`."""
        state, mixed, scores = self._room(len(hidden))
        self._run(self._kernels.read, hidden, chosen.numpy(), self._readers, state, mixed, scores)
        return torch.from_numpy(scores[:, : self._readers.finer.shape[1]])

    def choose_finer(self, hidden: Tensor, rows: Tensor, guidance: float, temperature: float, top_k: int, dice: Tensor) -> Tensor:
        """Codes (B, levels) with the `rows (B,)` as their first, as `dice (levels, B)` fall, after hidden states (B or 2 B, width)."""
        chosen = np.zeros((len(rows), len(dice)), np.int64)
        chosen[:, 0] = rows.numpy()
        choice = float(guidance), float(temperature), int(top_k), dice.contiguous().numpy()
        self._run(self._kernels.read_all, hidden, chosen, self._readers, *choice, *self._room(len(hidden)), few=0)
        return torch.from_numpy(chosen)

    def _room(self, rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        inner, codes = self._readers.mix_bias.shape[1], self._readers.rows_bias.shape[1]
        return _empty(rows, inner), _empty(rows, inner), _empty(rows, codes)

    def _run(self, function: Callable[..., None], hidden: Tensor, *arguments: Any, few: int = _FEW) -> None:
        team = self._engine.team
        threads = team.size if len(hidden) >= few else 1
        team.run(function, hidden.contiguous().numpy(), *arguments, threads=threads)


@lru_cache
def load_kernels() -> ModuleType:
    """The module `kernels`, compiled. MotionGPTError if it cannot be kept."""
    return load_compiled(Path(__file__).with_name("kernels.py"))


def _empty(*size: int) -> np.ndarray:
    return np.empty(size, np.float32)


def _biases(tensors: Sequence[Tensor]) -> np.ndarray:
    """Biases (layers, out), padded as the matrices are that they go with."""
    stacked = torch.stack(list(tensors)).detach()
    return F.pad(stacked, (0, -stacked.shape[1] % load_kernels().OUTPUTS)).numpy()


def _matrix(weights: Sequence[Tensor], precision: str) -> Any:
    """Matrices (out, in) of one size each, for the kernels."""
    outputs, inputs = weights[0].shape
    made = _room_for(len(weights), outputs, inputs, precision)
    for layer, weight in enumerate(weights):
        _store(weight.detach(), made, layer, precision)
    return made


def _room_for(layers: int, outputs: int, inputs: int, precision: str) -> Any:
    """Room for matrices in a precision; int8 in the form that the processor multiplies fastest."""
    kernels, kind = load_kernels(), {"float32": np.float32, "bfloat16": np.int16, "int8": np.int8}[precision]
    kind = np.uint8 if kind is np.int8 and kernels.FOURS else kind
    across, along = kernels.OUTPUTS, kernels.inputs_at_once(numba.from_dtype(np.dtype(kind)))
    groups, steps = -(-outputs // across), -(-inputs // kernels.BLOCK) * kernels.BLOCK // along
    return kernels.Matrix(np.empty((layers, groups, steps, across, along), kind), np.ones((layers, groups * across), np.float32))


def _store(weight: Tensor, into: Any, layer: int, precision: str) -> None:
    """A matrix (out, in) into its place, rounded; int8 with a scale for every output."""
    target = torch.from_numpy(into.weights[layer])
    groups, steps, across, along = target.shape
    weight = F.pad(weight, (0, steps * along - weight.shape[1], 0, groups * across - weight.shape[0]))
    if precision == "int8":
        scale = weight.abs().amax(1).clamp(min=1e-12) / 127
        into.scales[layer] = scale
        weight = (weight / scale[:, None]).round_() + (128 if target.dtype == torch.uint8 else 0)
    elif precision == "bfloat16":
        weight = weight.bfloat16().view(torch.int16)
    target.copy_(weight.view(groups, across, steps, along).transpose(1, 2))
