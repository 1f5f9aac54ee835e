"""A LLaMA-like backbone for use: embeddings in, last hidden states out, at the speed at which its weights can be read.

The weights come from safetensors alone, with the adapter folded in and projections that see the same input fused. Every
sequence has its places in a cache of fixed size, and a token sees the places up to its own, so there are no masks: what padding
leaves behind a prompt is never looked at. `CpuEngine` computes with compiled kernels, `TorchEngine`
with torch on any device and on CUDA by replaying a captured graph.
"""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor

_ROTARY = ("default", "linear", "llama3")


@dataclass(frozen=True)
class Shape:
    """The sizes of a backbone, and how it tells places apart: `frequencies (head_dim / 2,)`, radians a place."""

    layers: int
    width: int
    heads: int
    groups: int
    head_dim: int
    inner: int
    epsilon: float
    frequencies: Tensor

    @property
    def parameters(self) -> int:
        """How many numbers the matrices hold that every token reads."""
        per_layer = (self.heads * 2 + self.groups * 2) * self.head_dim * self.width + 3 * self.width * self.inner
        return self.layers * per_layer


class Layer(NamedTuple):
    """One layer's weights, float32, (out, in)."""

    qkv: Tensor
    out: Tensor
    gate_up: Tensor
    down: Tensor
    before_attention: Tensor
    before_mlp: Tensor


class Checkpoint:
    """A base model's folder: its shape, and its tensors, which stay in the file until they are asked for."""

    def __init__(self, folder: Path) -> None:
        """ValueError if the folder holds no LLaMA-like model in safetensors."""
        self.facts: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self.shape = _shape(self.facts)
        files = sorted(folder.glob("*.safetensors"))
        if not files:
            raise ValueError(f"{folder} holds no weights in safetensors.")
        self._files = [safe_open(file, framework="pt") for file in files]
        self._of = {name: file for file in self._files for name in file.keys()}  # noqa: SIM118 (it is no dictionary)

    def tensor(self, name: str) -> Tensor:
        """A tensor, mapped and not read, by transformers' name; ValueError if there is none."""
        if name not in self._of:
            raise ValueError(f"The base model has no tensor {name}.")
        return self._of[name].get_tensor(name)

    @property
    def text(self) -> Tensor:
        """The embeddings of the text vocabulary, (words, width)."""
        return self.tensor("model.embed_tokens.weight")

    @property
    def output(self) -> Tensor:
        """The output rows of the text vocabulary, (words, width)."""
        return self.tensor("lm_head.weight") if "lm_head.weight" in self._of else self.text

    @property
    def last_norm(self) -> Tensor:
        return self.tensor("model.norm.weight").float()

    def layers(self, adapter: dict[str, Tensor], scale: float) -> Iterator[Layer]:
        """Layer by layer, with what `adapter` adds in peft's names; ValueError if a part of it belongs nowhere."""
        left, unread = dict(adapter), {name for name in self._of if name.startswith("model.layers.")}

        def read(name: str) -> Tensor:
            unread.discard(f"{name}.weight")
            return self.tensor(f"{name}.weight").float()

        def merged(name: str) -> Tensor:
            weight = read(name)
            down, up = (left.pop(f"base_model.model.{name}.lora_{part}.weight", None) for part in "AB")
            return weight if down is None or up is None else weight.addmm(up.float(), down.float(), alpha=scale)

        for i in range(self.shape.layers):
            attention, mlp = f"model.layers.{i}.self_attn", f"model.layers.{i}.mlp"
            yield Layer(
                torch.cat([merged(f"{attention}.{part}_proj") for part in "qkv"]),
                merged(f"{attention}.o_proj"),
                torch.cat([merged(f"{mlp}.{part}_proj") for part in ("gate", "up")]),
                merged(f"{mlp}.down_proj"),
                read(f"model.layers.{i}.input_layernorm"),
                read(f"model.layers.{i}.post_attention_layernorm"),
            )
        if unlike := sorted(name for name in unread if not name.endswith("rotary_emb.inv_freq")):  # which old files hold
            raise ValueError(f"The base model is not built like LLaMA: it has {', '.join(unlike[:3])}.")
        if left:
            raise ValueError(f"The adapter does not fit the base model: {', '.join(sorted(left)[:3])} and {max(0, len(left) - 3)} more.")


class Engine(Protocol):
    """Runs tokens through the backbone. One set of sequences at a time."""

    device: torch.device

    def start(self, lengths: Tensor, room: int) -> None:
        """Forget what was; begin with prompts of so many tokens, `lengths (B,)`, which are run first, and have room for `room` more."""
        ...

    def repeat(self, times: int) -> None:
        """Each prompt `times` times, one beside the other."""
        ...

    def keep(self, count: int) -> None:
        """Forget all but the first `count` sequences."""
        ...

    def run(self, x: Tensor, places: Tensor) -> Tensor:
        """Last hidden states (B, L, width) of tokens with embeddings x (B, L, width) at `places (B, L)` of their sequences."""
        ...


def make_engine(checkpoint: Checkpoint, adapter: dict[str, Tensor], scale: float, device: str, precision: str) -> Engine:
    """The engine for a device with weights in `precision` (float32, bfloat16, int8)."""
    layers = checkpoint.layers(adapter, scale)
    if device == "cpu":
        from .cpu import CpuEngine  # here, because compiled kernels take a moment to import

        return CpuEngine(checkpoint.shape, layers, checkpoint.last_norm, precision)
    return TorchEngine(checkpoint.shape, layers, checkpoint.last_norm, device, {"float32": torch.float32}.get(precision, torch.bfloat16))


class TorchEngine:
    """With torch's own operators; `graphs` replays a captured CUDA graph for every token, so that the host does next to nothing."""

    def __init__(
        self, shape: Shape, layers: Iterator[Layer], last_norm: Tensor, device: str, dtype: torch.dtype, graphs: bool = True
    ) -> None:
        self.shape, self.device, self.dtype = shape, torch.device(device), dtype
        self._layers = [Layer(*(tensor.to(device, dtype) for tensor in layer)) for layer in layers]
        self._last_norm = last_norm.to(device, dtype)
        self._graphs = graphs and self.device.type == "cuda"

    def start(self, lengths: Tensor, room: int) -> None:
        shape, room = self.shape, int(lengths.max()) + room
        self._keys = torch.zeros(shape.layers, len(lengths), room, shape.groups, shape.head_dim, device=self.device, dtype=self.dtype)
        self._values = torch.zeros_like(self._keys)
        self._cosines, self._sines = (table.to(self.device, self.dtype) for table in rotary_tables(shape, room))
        self._step: _CapturedStep | None = None

    def repeat(self, times: int) -> None:
        self._keys, self._values = self._keys.repeat_interleave(times, dim=1), self._values.repeat_interleave(times, dim=1)

    def keep(self, count: int) -> None:
        self._keys, self._values, self._step = self._keys[:, :count].clone(), self._values[:, :count].clone(), None

    @torch.inference_mode()
    def run(self, x: Tensor, places: Tensor) -> Tensor:
        x, places = x.to(self.device, self.dtype), places.to(self.device)
        if not self._graphs or x.shape[1] > 1:
            return self._forward(x, places).float()
        if self._step is None:
            self._step = _CapturedStep(self._forward, x, places)
        return self._step(x, places).float()

    def _forward(self, x: Tensor, places: Tensor) -> Tensor:
        shape, (batch, length, _) = self.shape, x.shape
        sequences = torch.arange(batch, device=self.device)[:, None]
        cosines, sines = self._cosines[places][:, :, None], self._sines[places][:, :, None]
        per_group = shape.heads // shape.groups
        visible = torch.arange(self._keys.shape[2], device=self.device) <= places[..., None]  # (B, L, room)
        visible = visible[:, None].repeat(1, 1, per_group, 1)  # queries of a group stand below each other
        sizes = [shape.heads * shape.head_dim] + [shape.groups * shape.head_dim] * 2
        for layer, keys, values in zip(self._layers, self._keys, self._values, strict=True):
            normed = F.rms_norm(x, (shape.width,), layer.before_attention, shape.epsilon)
            q, k, v = (part.unflatten(-1, (-1, shape.head_dim)) for part in F.linear(normed, layer.qkv).split(sizes, dim=-1))
            keys[sequences, places], values[sequences, places] = _turn(k, cosines, sines), v
            q = _turn(q, cosines, sines).unflatten(2, (shape.groups, per_group)).permute(0, 2, 3, 1, 4).flatten(2, 3)
            seen = F.scaled_dot_product_attention(q, keys.transpose(1, 2), values.transpose(1, 2), attn_mask=visible)
            seen = seen.unflatten(2, (per_group, length)).permute(0, 3, 1, 2, 4).flatten(2)
            x = x + F.linear(seen, layer.out)
            normed = F.rms_norm(x, (shape.width,), layer.before_mlp, shape.epsilon)
            gate, up = F.linear(normed, layer.gate_up).chunk(2, dim=-1)
            x = x + F.linear(F.silu(gate) * up, layer.down)
        return F.rms_norm(x, (shape.width,), self._last_norm, shape.epsilon)


class _CapturedStep:
    """One pass over a token of each sequence as a CUDA graph: its inputs are copied in, and it is replayed."""

    def __init__(self, forward: Any, x: Tensor, places: Tensor) -> None:
        self._x, self._places = x.clone(), places.clone()
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):  # libraries set themselves up in a first pass, which must not be captured
            forward(self._x, self._places)
        torch.cuda.current_stream().wait_stream(beside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._hidden = forward(self._x, self._places)

    def __call__(self, x: Tensor, places: Tensor) -> Tensor:
        self._x.copy_(x)
        self._places.copy_(places)
        self._graph.replay()
        return self._hidden


@contextmanager
def one_thread() -> Iterator[None]:
    """Within it torch computes on the calling thread alone.

    Its other threads look for more work for some milliseconds after each they had, on processors that the engine's need.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def rotary_tables(shape: Shape, room: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines (room, head_dim / 2) of the turn at every place."""
    turns = torch.arange(room)[:, None] * shape.frequencies
    return turns.cos(), turns.sin()


def _turn(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Vectors (B, L, heads, head_dim) turned to their places, the halves of a head paired."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cosines - b * sines, b * cosines + a * sines], dim=-1)


def _shape(facts: dict[str, Any]) -> Shape:
    heads = facts["num_attention_heads"]
    head_dim = facts.get("head_dim") or facts["hidden_size"] // heads
    rotary = facts.get("rope_parameters") or facts.get("rope_scaling") or {}
    kind = rotary.get("rope_type", rotary.get("type", "default"))
    unlike = [name for name in ("attention_bias", "mlp_bias", "use_sliding_window") if facts.get(name)]
    if unlike or facts.get("hidden_act", "silu") != "silu" or kind not in _ROTARY:
        raise ValueError(f"The base model is not built like LLaMA ({', '.join(unlike) or facts.get('hidden_act')}, rotary {kind}).")
    theta = rotary.get("rope_theta") or facts.get("rope_theta", 10000.0)
    frequencies = theta ** (-torch.arange(0, head_dim, 2).float() / head_dim)
    return Shape(
        facts["num_hidden_layers"],
        facts["hidden_size"],
        heads,
        facts.get("num_key_value_heads") or heads,
        head_dim,
        facts["intermediate_size"],
        facts["rms_norm_eps"],
        _scaled(frequencies, kind, rotary),
    )


def _scaled(frequencies: Tensor, kind: str, rotary: dict[str, Any]) -> Tensor:
    """Frequencies stretched for a longer context: all alike, or as LLaMA 3 does, the slow ones more than the fast."""
    if kind == "default":
        return frequencies
    if kind == "linear":
        return frequencies / rotary["factor"]
    turns = rotary["original_max_position_embeddings"] * frequencies / (2 * math.pi)  # within the context it was trained on
    low, high = rotary["low_freq_factor"], rotary["high_freq_factor"]
    kept = ((turns - low) / (high - low)).clamp(0, 1)
    return frequencies * (kept + (1 - kept) / rotary["factor"])
