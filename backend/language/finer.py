"""The finer codes of a position, read out one after another once its first code is chosen (as in Lee et al. 2022, RQ-Transformer).

The language model's own sequence keeps one token for a position, whatever the number of levels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FinerCodes(nn.Module):
    """Embeddings and read-outs of the levels past the first."""

    def __init__(self, levels: int, codes: int, width: int, inner: int) -> None:
        super().__init__()
        self.embeddings = nn.Parameter(torch.randn(levels, codes, width) * 0.02)
        self.readers = nn.ModuleList(_Reader(width, inner, codes) for _ in range(levels))

    def embed(self, codes: Tensor) -> Tensor:
        """Sum (..., width) of the embeddings of codes (..., levels); a negative code adds nothing."""
        first = torch.arange(len(self.embeddings), device=codes.device) * self.embeddings.shape[1]  # of each level, in one table
        table, there = self.embeddings.flatten(0, 1), (codes >= 0).to(self.embeddings)
        places, weights = ((first + codes.clamp(min=0)).flatten(0, -2), there.flatten(0, -2))
        return F.embedding_bag(places, table, mode="sum", per_sample_weights=weights).unflatten(0, codes.shape[:-1])

    def logits(self, level: int, hidden: Tensor, chosen: Tensor) -> Tensor:
        """Scores (..., codes) of the `level`-th finer code (from 0): `chosen (..., width)` sums the embeddings before it."""
        return self.readers[level](hidden, chosen)


class _Reader(nn.Module):
    def __init__(self, width: int, inner: int, codes: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, inner)
        self.chosen = nn.Linear(width, inner, bias=False)
        self.mix = nn.Linear(inner, inner)
        self.rows = nn.Linear(inner, codes)

    def forward(self, hidden: Tensor, chosen: Tensor) -> Tensor:
        size = hidden.shape[-1:]
        state = F.silu(self.hidden(F.rms_norm(hidden, size)) + self.chosen(F.rms_norm(chosen, size)))
        return self.rows(state + F.silu(self.mix(state)))
