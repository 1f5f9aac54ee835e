"""The language model with motion rows and a LoRA adapter.

Any causal model of transformers that is built like LLaMA serves as the base. Motion codes have two small matrices of their own, their
embeddings and their output rows; the base's own vocabulary is neither resized nor computed.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from .vocabulary import CodeDigits, CodeItems, Vocabulary


@dataclass(frozen=True)
class AdapterConfig:
    """LoRA (Hu et al. 2021) and the form of the vocabulary: `items` or `digits`. The paper: rank 64, alpha 16, q and v, digits."""

    rank: int = 16
    alpha: int = 32
    dropout: float = 0.05
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    vocabulary: str = "items"


class MotionLanguageModel(nn.Module):
    """A causal model whose outputs are motion rows. `hidden` are (B, L, width), ids (B, L)."""

    def __init__(self, causal: PreTrainedModel, tokenizer: Any, config: AdapterConfig, codes: int) -> None:
        super().__init__()
        self.config = config
        self.text_size = causal.get_input_embeddings().weight.shape[0]
        self.vocabulary: Vocabulary
        if config.vocabulary == "items":
            self.vocabulary = CodeItems(tokenizer, codes, self.text_size)
            width = causal.config.hidden_size
            self.motion = nn.Parameter(torch.randn(codes + 1, width) * causal.config.initializer_range)
            self.head = nn.Parameter(torch.zeros(codes + 1, width))
        elif config.vocabulary == "digits":
            self.vocabulary = CodeDigits(tokenizer, codes)
            self.motion = self.head = None
        else:
            raise ValueError(f"The vocabulary must be items or digits, not {config.vocabulary!r}.")
        self.backbone: nn.Module = causal.base_model
        for parameter in causal.parameters():
            parameter.requires_grad_(False)
        lora = LoraConfig(
            r=config.rank, lora_alpha=config.alpha, lora_dropout=config.dropout, target_modules=list(config.targets), task_type="CAUSAL_LM"
        )
        self.adapted = get_peft_model(causal, lora)

    def start_rows_from(self, codebook: Tensor) -> None:
        """Begin training with embeddings that lie to each other as the codebook's entries (codes, dim) do."""
        if self.motion is None:
            return
        centred = codebook - codebook.mean(0)
        rows = centred @ torch.randn(centred.shape[1], self.motion.shape[1], device=centred.device)
        text = self.backbone.get_input_embeddings().weight
        self.motion.data[:-1] = rows * (text.float().pow(2).mean() / rows.pow(2).mean()).sqrt()

    def embed(self, ids: Tensor) -> Tensor:
        """Embeddings (B, L, width) of text and motion ids."""
        text = self.backbone.get_input_embeddings()
        if self.motion is None:
            return text(ids)
        motion = self.motion[(ids - self.text_size).clamp(min=0)].to(text.weight.dtype)
        return torch.where((ids >= self.text_size)[..., None], motion, text(ids.clamp(max=self.text_size - 1)))

    def rows(self) -> Tensor:
        """The output rows (R, width) that `vocabulary.rows` names."""
        return self.head if self.head is not None else self.adapted.get_output_embeddings().weight[self.vocabulary.rows]

    def hidden(self, ids: Tensor, cache: Any = None) -> Tensor:
        """Last hidden states (B, L, width) of ids that follow on what `cache` holds."""
        return self.backbone(inputs_embeds=self.embed(ids), past_key_values=cache, use_cache=cache is not None).last_hidden_state

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores (..., R) of the output rows, float32."""
        return (hidden @ self.rows().to(hidden.dtype).T).float()

    def adapter_tensors(self) -> dict[str, Tensor]:
        """What training changes: the adapter in peft's names and the motion rows."""
        tensors = dict(get_peft_model_state_dict(self.adapted))
        return tensors if self.motion is None else {**tensors, "motion.embeddings": self.motion.data, "motion.rows": self.head.data}

    def load_adapter(self, tensors: dict[str, Tensor]) -> None:
        """Take tensors as `adapter_tensors` gives them; ValueError if any is missing or unknown."""
        tensors = dict(tensors)
        own = self.adapter_tensors()
        if own.keys() != tensors.keys():
            wrong = sorted(own.keys() ^ tensors.keys())
            raise ValueError(f"The adapter does not fit the base model: {', '.join(wrong[:3])} and {max(0, len(wrong) - 3)} more.")
        if self.motion is not None:
            self.motion.data.copy_(tensors.pop("motion.embeddings"))
            self.head.data.copy_(tensors.pop("motion.rows"))
        set_peft_model_state_dict(self.adapted, tensors)

    def merge(self) -> None:
        """Fold the adapter into the base for decoding; training is over then."""
        self.adapted = self.adapted.merge_and_unload()


def load_causal(folder: Path, dtype: torch.dtype) -> tuple[PreTrainedModel, Any]:
    """A base model and its tokenizer from a folder, never from the network."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True, trust_remote_code=False)
    return model, AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
