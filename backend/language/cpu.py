"""The engine for the CPU: the backbone's weights in the form that the compiled kernels read."""

import hashlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import numba
import numpy as np
import torch
from torch import Tensor

from ..models.base import cache_folder
from .engine import Layer, Shape, rotary_tables


class CpuEngine:
    """Runs `kernels.forward`; sums are float32 whatever the precision of the weights."""

    device = torch.device("cpu")

    def __init__(self, shape: Shape, layers: Iterator[Layer], last_norm: Tensor, precision: str) -> None:
        self.shape = shape
        kernels = load_kernels()
        self._forward, self._stride = kernels.forward, kernels.STRIDE
        sizes = {
            "qkv": ((shape.heads + 2 * shape.groups) * shape.head_dim, shape.width),
            "out": (shape.width, shape.heads * shape.head_dim),
            "gate_up": (2 * shape.inner, shape.width),
            "down": (shape.width, shape.inner),
        }
        kind = {"float32": np.float32, "bfloat16": np.int16, "int8": np.int8}[precision]
        matrices = {
            name: kernels.Matrix(np.empty((shape.layers, *size), kind), np.ones((shape.layers, size[0]), np.float32))
            for name, size in sizes.items()
        }
        norms = np.empty((2 * shape.layers + 1, shape.width), np.float32)
        for i, layer in enumerate(layers):
            for name, matrix in matrices.items():
                _store(getattr(layer, name), matrix.weights[i], matrix.scales[i], precision)
            norms[2 * i], norms[2 * i + 1] = layer.before_attention, layer.before_mlp
        norms[-1] = last_norm
        self._layers = kernels.Layers(**matrices, norms=norms)
        self._threads = min(torch.get_num_threads(), numba.get_num_threads())

    def start(self, batch: int, room: int) -> None:
        shape = self.shape
        room += -room % self._stride
        self._keys = np.zeros((shape.layers, batch, shape.groups, room, shape.head_dim), np.float32)
        self._values = np.zeros((shape.layers, batch, shape.groups, shape.head_dim, room), np.float32)
        self._cosines, self._sines = (table.numpy() for table in rotary_tables(self.shape, room))

    def repeat(self, times: int) -> None:
        self._keys, self._values = np.repeat(self._keys, times, axis=1), np.repeat(self._values, times, axis=1)

    def run(self, x: Tensor, places: Tensor) -> Tensor:
        batch, length, width = x.shape
        numba.set_num_threads(self._threads)  # it is a setting of the calling thread
        hidden = self._forward(
            x.reshape(-1, width).numpy().copy(),
            np.repeat(np.arange(batch), length),
            places.reshape(-1).numpy(),
            self._layers,
            self._keys,
            self._values,
            self._cosines,
            self._sines,
            self.shape.epsilon,
            self._threads,
        )
        return torch.from_numpy(hidden).view(batch, length, width)


@lru_cache
def load_kernels() -> ModuleType:
    """The module `kernels`, from the user's cache.

    numba keeps what it has compiled beside the source and ties it to that place. The package's own folder may be read-only, and
    is another one after every update.
    """
    source = Path(__file__).with_name("kernels.py").read_bytes()
    path = cache_folder() / "kernels" / hashlib.sha256(source).hexdigest()[:16] / "kernels.py"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{os.getpid()}.tmp")
        temporary.write_bytes(source)
        temporary.replace(path)
    spec = importlib.util.spec_from_file_location("motiongpt_kernels", path)
    assert spec and spec.loader
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # compiled code refers to the classes in it by name
    spec.loader.exec_module(module)
    return module


def _store(weight: Tensor, into: np.ndarray, scales: np.ndarray, precision: str) -> None:
    """A matrix (out, in) into its place, rounded; int8 with a scale for every output."""
    if precision == "int8":
        scale = weight.abs().amax(1).clamp(min=1e-12) / 127
        scales[:] = scale
        torch.from_numpy(into).copy_((weight / scale[:, None]).round_())
    elif precision == "bfloat16":
        torch.from_numpy(into).copy_(weight.bfloat16().view(torch.int16))
    else:
        torch.from_numpy(into).copy_(weight)
