"""How far an answer has turned so far: what its codes turn, added up, told to the model at every position.

A caption says "by about 90 degrees", a code only how fast it turns; a model that is told no sum has to keep it in its head, and
turns on and on. Where it has come to is left out: captions hardly ever say how far.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .vocabulary import NONE

_PER_UNIT = 100.0  # hundredths of a radian
_FEATURES, _INNER = 6, 64
_FAR = 6.0  # radians that count as much as the other numbers; beyond twice as many all are alike


class Odometry(nn.Module):
    """Sums over codes, and their embeddings, which begin at nothing, so that an untrained model is the one without them.

    `turns (levels, codes)`: what each code adds to what its position turns to the left, in radians. Rows of sums hold how many
    positions are made, and what they turn in hundredths of a radian, both whole, so that use and training are told the same.
    """

    turns: Tensor

    def __init__(self, levels: int, codes: int, width: int) -> None:
        super().__init__()
        self.register_buffer("turns", torch.zeros(levels, codes))
        self.inner = nn.Linear(_FEATURES, _INNER)
        self.outer = nn.Linear(_INNER, width)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    @torch.no_grad()
    def sums(self, codes: Tensor) -> Tensor:
        """Rows (..., n + 1, 2) of codes (..., n, levels): before the first and after each."""
        codes = codes.to(self.turns.device).clamp(0, self.turns.shape[1] - 1)
        turned = self.turns[torch.arange(codes.shape[-1], device=codes.device), codes].sum(-1).cumsum(-1)
        turned = F.pad((turned * _PER_UNIT).round().long(), (1, 0))
        return torch.stack([torch.arange(turned.shape[-1], device=turned.device).expand(turned.shape), turned], dim=-1).cpu()

    def forward(self, rows: Tensor) -> Tensor:
        """What to add (..., width) for rows (..., 2); nothing for those of tokens that belong to no answer."""
        made, turned = (rows / _PER_UNIT).unbind(-1)
        turned = turned.clamp(-2 * _FAR, 2 * _FAR)
        features = [made, turned / _FAR, turned.sin(), 1.0 - turned.cos(), (turned / 2).sin(), 1.0 - (turned / 2).cos()]
        return self.outer(F.silu(self.inner(torch.stack(features, dim=-1)))) * (rows[..., :1] > NONE)


def blurred(sums: Tensor, rng: np.random.Generator, blur: float) -> Tensor:
    """Rows (n + 1, 2) of an answer, each off by about `blur` radians and all by about such a share of themselves."""
    told = sums.clone()
    turned = sums[1:, 1].numpy() * rng.normal(1.0, blur) + rng.normal(0.0, blur * _PER_UNIT, len(sums) - 1)
    told[1:, 1] = torch.from_numpy(turned.round().astype(np.int64))
    return told
