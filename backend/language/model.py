"""The language model as it is trained: a causal model of transformers that is built like LLaMA, with a LoRA adapter and motion rows."""

import warnings
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache, PreTrainedModel
from transformers.utils import logging as transformers_logging

from .heads import AdapterConfig, MotionHeads

# peft asks transformers for a name that transformers deprecates; nobody here can do anything about it.
warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)


class MotionLanguageModel(MotionHeads):
    """A causal model whose outputs are motion rows. `hidden` are (B, L, width), ids (B, L, levels)."""

    backbone: nn.Module
    adapted: Any

    def __init__(self, causal: PreTrainedModel, tokenizer: Any, config: AdapterConfig, codes: int, levels: int = 1) -> None:
        text = causal.get_input_embeddings()
        assert isinstance(text, nn.Embedding)
        super().__init__(text, tokenizer, config, codes, levels, causal.config.initializer_range)
        self.backbone = causal.base_model
        for parameter in causal.parameters():
            parameter.requires_grad_(False)
        lora = LoraConfig(
            r=config.rank, lora_alpha=config.alpha, lora_dropout=config.dropout, target_modules=list(config.targets), task_type="CAUSAL_LM"
        )
        self.adapted = get_peft_model(causal, lora)

    def base_rows(self) -> Tensor:
        return self.adapted.get_output_embeddings().weight[self.vocabulary.rows]

    def hidden(self, ids: Tensor, cache: Any = None, mask: Tensor | None = None) -> Tensor:
        """Last hidden states (B, L, width) of ids that follow on what `cache` holds.

        Where prompts of different lengths are padded on the left, `mask` (B, cached + L) is false on the padding.
        """
        positions = None if mask is None else (mask.long().cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        return self.backbone(
            inputs_embeds=self.embed(ids).to(self.text.weight.dtype),
            past_key_values=cache,
            use_cache=cache is not None,
            attention_mask=None if mask is None else mask.long(),
            position_ids=positions,
        ).last_hidden_state

    def begin(self, prompts: list[Tensor], room: int) -> "Sequences":
        """Sequences that begin with prompts (L, levels); `room` is of no account here."""
        return Sequences(self, prompts)

    def adapter_tensors(self) -> dict[str, Tensor]:
        """What training changes: the adapter in peft's names and the motion rows."""
        return dict(get_peft_model_state_dict(self.adapted)) | self.head_tensors()

    def load_adapter(self, tensors: dict[str, Tensor]) -> None:
        """Take tensors as `adapter_tensors` gives them; ValueError if any is missing or unknown."""
        tensors = dict(tensors)
        own = self.adapter_tensors()
        if own.keys() != tensors.keys():
            wrong = sorted(own.keys() ^ tensors.keys())
            raise ValueError(f"The adapter does not fit the base model: {', '.join(wrong[:3])} and {max(0, len(wrong) - 3)} more.")
        self.load_heads(tensors)
        set_peft_model_state_dict(self.adapted, tensors)

    def start_from(self, tensors: dict[str, Tensor], parts: tuple[str, ...]) -> None:
        """Begin training with those that fit of the tensors that `adapter_tensors` gave and whose names begin with one of `parts`."""
        own = self.adapter_tensors()
        fit = {name: value for name, value in tensors.items() if name.startswith(parts) and name in own and own[name].shape == value.shape}
        self.load_adapter(own | fit)

    def merge(self) -> None:
        """Fold the adapter into the base; training is over then."""
        self.adapted = self.adapted.merge_and_unload()


class Sequences:
    """Token sequences that grow together, with transformers' own cache: the plain way, which the engine is compared with.

    `last (B, width)` are the hidden states at their ends.
    """

    def __init__(self, model: MotionLanguageModel, prompts: list[Tensor]) -> None:
        self._model, self._cache = model, DynamicCache()
        ids = pad_sequence(prompts, batch_first=True, padding_side="left").to(model.rows().device)
        held = [torch.ones(len(prompt), dtype=torch.bool) for prompt in prompts]
        self._mask = pad_sequence(held, batch_first=True, padding_side="left").to(ids.device)
        self.last = model.hidden(ids, self._cache, self._mask)[:, -1]

    def repeat(self, times: int) -> None:
        """Each sequence `times` times, one beside the other."""
        self._cache.batch_repeat_interleave(times)
        self._mask, self.last = self._mask.repeat_interleave(times, dim=0), self.last.repeat_interleave(times, dim=0)

    def keep(self, count: int) -> None:
        """Go on with the first `count` sequences alone."""
        self._cache.batch_select_indices(torch.arange(count, device=self.last.device))
        self._mask, self.last = self._mask[:count], self.last[:count]

    def feed(self, ids: Tensor) -> None:
        ids = ids.repeat(len(self.last) // len(ids), 1, 1)
        self._mask = torch.nn.functional.pad(self._mask, (0, ids.shape[1]), value=True)
        self.last = self._model.hidden(ids.to(self._mask.device), self._cache, self._mask)[:, -1]


def load_causal(folder: Path, dtype: torch.dtype) -> tuple[PreTrainedModel, Any]:
    """A base model and its tokenizer from a folder, never from the network."""
    transformers_logging.disable_progress_bar()  # it would break into the bar of whoever loads
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True, trust_remote_code=False)
    return model, AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
