"""What the tokenizer is trained on: the paper's terms and two that keep paths and speeds true."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..motion.features import Layout


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms. The paper's are `reconstruction` 1, `commitment` 0.02, `positions` 0.5 and nothing else.

    `root`: the four root features once more; `path`: where the character gets to and which way it faces there, in metres and
    radians, so that small errors of one sign do not lead it astray; `speed`: differences between neighbouring frames,
    against jitter.
    """

    reconstruction: float = 1.0
    commitment: float = 0.02
    positions: float = 0.5
    root: float = 1.0
    path: float = 0.5
    speed: float = 0.5


def tokenizer_loss(
    output: Tensor, target: Tensor, commitment: Tensor, weights: LossWeights, layout: Layout, mean: Tensor, std: Tensor
) -> Tensor:
    """Loss () of reconstructed against true features, both (B, T, D) and normalised by `mean (D,)` and `std (D,)`."""
    root = slice(layout.yaw.start, layout.height.stop)
    led, true = (_path(features * std + mean, layout) for features in (output, target))
    terms = {
        "reconstruction": F.smooth_l1_loss(output, target),
        "commitment": commitment,
        "positions": F.smooth_l1_loss(output[..., layout.positions], target[..., layout.positions]),
        "root": F.smooth_l1_loss(output[..., root], target[..., root]),
        "path": (led - true).abs().mean(),
        "speed": F.smooth_l1_loss(output.diff(dim=1), target.diff(dim=1)),
    }
    return torch.stack([getattr(weights, name) * term for name, term in terms.items()]).sum()


def _path(features: Tensor, layout: Layout) -> Tensor:
    """Heading in radians and place on the floor (B, T, 3) after each frame of features that are not normalised."""
    heading = 2.0 * torch.cumsum(features[..., layout.yaw], dim=1)
    x, z = features[..., layout.travel].unbind(-1)
    cosine, sine = torch.cos(heading[..., 0]), torch.sin(heading[..., 0])
    place = torch.cumsum(torch.stack([x * cosine - z * sine, x * sine + z * cosine], dim=-1), dim=1)
    return torch.cat([heading, place], dim=-1)
