"""The language model as it is used: motion rows over an engine, and the text tokenizer, without transformers."""

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from .decoding import Sampling
from .engine import Checkpoint, Engine, make_engine, one_thread
from .heads import AdapterConfig, MotionHeads

_WITHOUT_WEIGHTS_MB = 400  # Python, torch, compiled kernels, the motion tokenizer


class EngineModel(MotionHeads):
    """A bundle's language model on an engine. Nothing in it is for training."""

    def __init__(
        self, base: Path, adapter: dict[str, Tensor], config: AdapterConfig, codes: int, levels: int, device: str, precision: str
    ) -> None:
        """Read the base model in the folder `base` and fold the adapter in; ValueError if the two do not fit."""
        checkpoint = Checkpoint(base)
        text = nn.Embedding.from_pretrained(checkpoint.text.clone())  # what is mapped would keep the whole file in memory
        super().__init__(text, TextTokenizer(base), config, codes, levels)
        left = dict(adapter)
        try:
            self.load_heads(left)
        except KeyError as error:
            raise ValueError(f"The adapter lacks {error}.") from error
        self.engine: Engine = make_engine(checkpoint, left, config.alpha / config.rank, device, precision)
        self._base_rows = checkpoint.output[self.vocabulary.rows].float() if self.head is None else None
        self.to(self.engine.device).eval().requires_grad_(False)
        self._read_out = None
        if device == "cpu":
            from .cpu import CpuEngine, CpuReadOut  # here, because compiled kernels take a moment to import

            assert isinstance(self.engine, CpuEngine)
            self._read_out = CpuReadOut(self, self.engine)

    def logits(self, hidden: Tensor) -> Tensor:
        return super().logits(hidden) if self._read_out is None else self._read_out.logits(hidden)

    def finer_logits(self, hidden: Tensor, chosen: Tensor) -> Tensor:
        return super().finer_logits(hidden, chosen) if self._read_out is None else self._read_out.finer_logits(hidden, chosen)

    def choose_finer(self, hidden: Tensor, rows: Tensor, sampling: Sampling, guided: bool, dice: Tensor) -> Tensor | None:
        if self._read_out is None or self.finer is None:
            return None
        guidance = sampling.guidance if guided else 1.0
        return self._read_out.choose_finer(hidden, rows, guidance, sampling.temperature, sampling.top_k, dice)

    def base_rows(self) -> Tensor:
        assert self._base_rows is not None
        return self._base_rows.to(self.engine.device)

    def begin(self, prompts: list[Tensor], room: int) -> "EngineSequences":
        """Sequences that begin with prompts (L, levels) and have room for `room` tokens more."""
        return EngineSequences(self, prompts, room)


class EngineSequences:
    """Token sequences that grow together; `last (B, width)` are the hidden states at their ends."""

    def __init__(self, model: EngineModel, prompts: list[Tensor], room: int) -> None:
        self._model, self._engine = model, model.engine
        ids = pad_sequence(prompts, batch_first=True).to(self._engine.device)
        self._lengths = torch.tensor([len(prompt) for prompt in prompts])
        self._engine.start(self._lengths, room)
        hidden = self._run(ids, torch.arange(ids.shape[1]).expand(len(prompts), -1))
        self.last = hidden[torch.arange(len(prompts)), self._lengths.to(hidden.device) - 1]

    def repeat(self, times: int) -> None:
        self._engine.repeat(times)
        self._lengths, self.last = self._lengths.repeat_interleave(times), self.last.repeat_interleave(times, dim=0)

    def keep(self, count: int) -> None:
        self._engine.keep(count)
        self._lengths, self.last = self._lengths[:count], self.last[:count]

    def feed(self, ids: Tensor) -> None:
        ids = ids.repeat(len(self._lengths) // len(ids), 1, 1)  # before they are embedded: of one or two rows torch rounds otherwise
        places = self._lengths[:, None] + torch.arange(ids.shape[1])
        self.last = self._run(ids.to(self._engine.device), places)[:, -1]
        self._lengths = self._lengths + ids.shape[1]

    def _run(self, ids: Tensor, places: Tensor) -> Tensor:
        with one_thread():
            embedded = self._model.embed(ids)
        return self._engine.run(embedded, places)


class TextTokenizer:
    """A base model's text tokenizer, read from `tokenizer.json`."""

    def __init__(self, folder: Path) -> None:
        """ValueError if the folder holds none, OSError if what it holds cannot be read."""
        if not (folder / "tokenizer.json").is_file():
            raise ValueError(f"{folder} holds no tokenizer.json.")
        try:
            self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # the library raises no other kind
            raise OSError(f"tokenizer.json: {error}") from error
        settings: dict[str, Any] = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        end = settings["eos_token"]
        self.eos_token_id = self._id(end if isinstance(end, str) else end["content"])

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=add_special_tokens).ids

    def convert_tokens_to_ids(self, tokens: list[str]) -> list[int]:
        return [self._id(token) for token in tokens]

    def _id(self, token: str) -> int:
        id = self._tokenizer.token_to_id(token)
        if id is None:
            raise ValueError(f"The text tokenizer has no token {token!r}.")
        return id


def memory_needed_mb(base: Path, precision: str) -> float:
    """About how much memory a process takes that holds this base model for the CPU, everything included."""
    bits = {"float32": 32, "bfloat16": 16, "int8": 8}[precision]
    return _WITHOUT_WEIGHTS_MB + Checkpoint(base).shape.parameters * bits / 8 / 2**20
