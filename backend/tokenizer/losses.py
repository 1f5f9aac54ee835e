"""What the tokenizer is trained on: the paper's terms and two that keep paths and speeds true."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..motion.features import Layout


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms. The paper's are `reconstruction` 1, `commitment` 0.02, `positions` 0.5 and nothing else.

    `root`: the four root features once more; `path`: those features summed over time, so that small errors of one sign do
    not lead the character astray; `speed`: differences between neighbouring frames, against jitter.
    """

    reconstruction: float = 1.0
    commitment: float = 0.02
    positions: float = 0.5
    root: float = 1.0
    path: float = 0.05
    speed: float = 0.5


def tokenizer_loss(output: Tensor, target: Tensor, commitment: Tensor, weights: LossWeights, layout: Layout) -> Tensor:
    """Loss () of reconstructed against true normalised features, both (B, T, D)."""
    root = slice(layout.yaw.start, layout.height.stop)
    motion = slice(layout.yaw.start, layout.travel.stop)
    terms = {
        "reconstruction": F.smooth_l1_loss(output, target),
        "commitment": commitment,
        "positions": F.smooth_l1_loss(output[..., layout.positions], target[..., layout.positions]),
        "root": F.smooth_l1_loss(output[..., root], target[..., root]),
        "path": torch.cumsum(output[..., motion] - target[..., motion], dim=1).abs().mean(),
        "speed": F.smooth_l1_loss(output.diff(dim=1), target.diff(dim=1)),
    }
    return torch.stack([getattr(weights, name) * term for name, term in terms.items()]).sum()
