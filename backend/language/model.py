"""The language model with motion rows and a LoRA adapter.

Any causal model of transformers that is built like LLaMA serves as the base. Motion codes have two small matrices of their own, their
embeddings and their output rows; the base's own vocabulary is neither resized nor computed.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.utils import logging as transformers_logging

from .finer import FinerCodes
from .vocabulary import CodeDigits, CodeItems, Vocabulary

# peft asks transformers for a name that transformers deprecates; nobody here can do anything about it.
warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)


_LORA = "base_model."  # what peft puts before the names of the adapter's tensors


@dataclass(frozen=True)
class AdapterConfig:
    """LoRA (Hu et al. 2021) and the form of the vocabulary: `items` or `digits`. The paper: rank 64, alpha 16, q and v, digits."""

    rank: int = 16
    alpha: int = 32
    dropout: float = 0.05
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    vocabulary: str = "items"
    finer_width: int = 320  # inside the read-outs of finer codes, where the tokenizer has several levels


class MotionLanguageModel(nn.Module):
    """A causal model whose outputs are motion rows. `hidden` are (B, L, width), ids (B, L, levels).

    `motion` are the embeddings of the codes and of the answer's end, `head` their output rows; both are None where codes are
    spelled in the base's own tokens. `finer` reads out the codes of the levels past the first and is None where there are none.
    """

    vocabulary: Vocabulary
    text: nn.Embedding
    motion: nn.Parameter | None
    head: nn.Parameter | None
    finer: FinerCodes | None
    backbone: nn.Module
    adapted: Any

    def __init__(self, causal: PreTrainedModel, tokenizer: Any, config: AdapterConfig, codes: int, levels: int = 1) -> None:
        super().__init__()
        self.config = config
        text = causal.get_input_embeddings()
        assert isinstance(text, nn.Embedding)
        self.text = text
        self.text_size = self.text.num_embeddings
        if config.vocabulary == "items":
            self.vocabulary = CodeItems(tokenizer, codes, levels, self.text_size)
            width = causal.config.hidden_size
            self.motion = nn.Parameter(torch.randn(codes + 1, width) * causal.config.initializer_range)
            self.head = nn.Parameter(torch.zeros(codes + 1, width))
            self.finer = FinerCodes(levels - 1, codes, width, config.finer_width) if levels > 1 else None
        elif config.vocabulary == "digits":
            if levels > 1:
                raise ValueError("Codes of several levels cannot be written in digits.")
            self.vocabulary = CodeDigits(tokenizer, codes)
            self.motion = self.head = self.finer = None
        else:
            raise ValueError(f"The vocabulary must be items or digits, not {config.vocabulary!r}.")
        self.backbone = causal.base_model
        for parameter in causal.parameters():
            parameter.requires_grad_(False)
        lora = LoraConfig(
            r=config.rank, lora_alpha=config.alpha, lora_dropout=config.dropout, target_modules=list(config.targets), task_type="CAUSAL_LM"
        )
        self.adapted = get_peft_model(causal, lora)

    def start_rows_from(self, codebooks: Sequence[Tensor]) -> None:
        """Begin training with embeddings that lie to each other as the codebooks' entries (codes, dim) do, a codebook a level."""
        if self.motion is None:
            return
        first, *finer = (codebook - codebook.mean(0) for codebook in codebooks)
        projection = torch.randn(first.shape[1], self.motion.shape[1], device=first.device)
        scale = (self.text.weight.float().pow(2).mean() / (first @ projection).pow(2).mean()).sqrt()
        self.motion.data[:-1] = first @ projection * scale
        if self.finer is not None:
            self.finer.embeddings.data.copy_(torch.stack(finer) @ projection * scale)

    def embed(self, ids: Tensor) -> Tensor:
        """Embeddings (B, L, width) of text and motion ids (B, L, levels)."""
        first = ids[..., 0]
        if self.motion is None:
            return self.text(first)
        motion = self.motion[(first - self.text_size).clamp(min=0)]
        if self.finer is not None:
            motion = motion + self.finer.embed(ids[..., 1:])
        text = self.text(first.clamp(max=self.text_size - 1))
        return torch.where((first >= self.text_size)[..., None], motion.to(text.dtype), text)

    def rows(self) -> Tensor:
        """The output rows (R, width) that `vocabulary.rows` names."""
        return self.head if self.head is not None else self.adapted.get_output_embeddings().weight[self.vocabulary.rows]

    def hidden(self, ids: Tensor, cache: Any = None, mask: Tensor | None = None) -> Tensor:
        """Last hidden states (B, L, width) of ids that follow on what `cache` holds.

        Where prompts of different lengths are padded on the left, `mask` (B, cached + L) is false on the padding.
        """
        positions = None if mask is None else (mask.long().cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        return self.backbone(
            inputs_embeds=self.embed(ids),
            past_key_values=cache,
            use_cache=cache is not None,
            attention_mask=None if mask is None else mask.long(),
            position_ids=positions,
        ).last_hidden_state

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores (..., R) of the output rows, float32."""
        return (hidden @ self.rows().to(hidden.dtype).T).float()

    def finer_logits(self, hidden: Tensor, chosen: Tensor) -> Tensor:
        """Scores (..., codes), float32, of the next finer code after the row and the finer codes `chosen (..., n)`."""
        assert self.motion is not None and self.finer is not None
        so_far = self.motion[chosen[..., 0]]
        for table, code in zip(self.finer.embeddings, chosen[..., 1:].unbind(-1), strict=False):
            so_far = so_far + table[code]
        return self.finer.logits(chosen.shape[-1] - 1, hidden.float(), so_far.float())

    def adapter_tensors(self) -> dict[str, Tensor]:
        """What training changes: the adapter in peft's names and the motion rows."""
        tensors = dict(get_peft_model_state_dict(self.adapted))
        if self.motion is not None and self.head is not None:
            tensors |= {"motion.embeddings": self.motion.data, "motion.rows": self.head.data}
        if self.finer is not None:
            tensors |= {f"finer.{name}": value for name, value in self.finer.state_dict().items()}
        return tensors

    def load_adapter(self, tensors: dict[str, Tensor]) -> None:
        """Take tensors as `adapter_tensors` gives them; ValueError if any is missing or unknown."""
        tensors = dict(tensors)
        own = self.adapter_tensors()
        if own.keys() != tensors.keys():
            wrong = sorted(own.keys() ^ tensors.keys())
            raise ValueError(f"The adapter does not fit the base model: {', '.join(wrong[:3])} and {max(0, len(wrong) - 3)} more.")
        if self.motion is not None and self.head is not None:
            self.motion.data.copy_(tensors.pop("motion.embeddings"))
            self.head.data.copy_(tensors.pop("motion.rows"))
        if self.finer is not None:
            self.finer.load_state_dict({name: tensors.pop(f"finer.{name}") for name in self.finer.state_dict()})
        set_peft_model_state_dict(self.adapted, tensors)

    def start_from(self, tensors: dict[str, Tensor], rows: bool) -> None:
        """Begin training with an adapter as `load_adapter` takes it; without `rows` the motion rows stay as they are."""
        own = self.adapter_tensors()
        self.load_adapter({name: tensors[name] if rows or name.startswith(_LORA) else own[name] for name in own})

    def merge(self) -> None:
        """Fold the adapter into the base for decoding; training is over then."""
        self.adapted = self.adapted.merge_and_unload()


def load_causal(folder: Path, dtype: torch.dtype) -> tuple[PreTrainedModel, Any]:
    """A base model and its tokenizer from a folder, never from the network."""
    transformers_logging.disable_progress_bar()  # it would break into the bar of whoever loads
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True, trust_remote_code=False)
    return model, AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
