"""How far an answer has come so far: what its codes turn and go, added up, told to the model at every position.

A caption says "by about 90 degrees", a code only how fast it turns; a model that is told no sums has to keep them in its head,
and turns on and on. The sums are whole numbers, so that training and use are told the same.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .vocabulary import NONE

COLUMNS = 4  # positions that are made; what they turn to the left, go to the left and ahead, in hundredths of a radian and of a metre
_PER_UNIT = 100.0
_FEATURES, _INNER = 9, 64
_FAR = 3.0  # metres and radians that count as much as one of the other numbers


class Odometry(nn.Module):
    """Sums over codes, and their embeddings, which begin at nothing, so that an untrained model is the one without them.

    `strides (levels, codes, 3)`: what each code adds to what its position turns to the left, in radians, and goes to the left
    and ahead, in metres, as it faces midway.
    """

    strides: Tensor

    def __init__(self, levels: int, codes: int, width: int) -> None:
        super().__init__()
        self.register_buffer("strides", torch.zeros(levels, codes, 3))
        self.inner = nn.Linear(_FEATURES, _INNER)
        self.outer = nn.Linear(_INNER, width)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    @torch.no_grad()
    def sums(self, codes: Tensor) -> Tensor:
        """Rows (..., n + 1, COLUMNS) of codes (..., n, levels): before the first and after each, seen from where the answer began."""
        codes = codes.to(self.strides.device).clamp(0, self.strides.shape[1] - 1)
        turn, aside, ahead = self.strides[torch.arange(codes.shape[-1], device=codes.device), codes].sum(-2).unbind(-1)
        midway = turn.cumsum(-1) - turn / 2
        cosine, sine = midway.cos(), midway.sin()
        steps = torch.stack([turn, aside * cosine + ahead * sine, ahead * cosine - aside * sine], dim=-1)
        sums = F.pad((steps.cumsum(-2) * _PER_UNIT).round().long(), (0, 0, 1, 0))
        made = torch.arange(sums.shape[-2], device=sums.device).expand(sums.shape[:-1])[..., None]
        return torch.cat([made, sums], dim=-1).cpu()

    def forward(self, rows: Tensor) -> Tensor:
        """What to add (..., width) for rows (..., COLUMNS); nothing for those of tokens that belong to no answer."""
        made, turned, aside, ahead = (rows / _PER_UNIT).unbind(-1)
        distance = torch.hypot(aside, ahead)
        bearing = torch.atan2(aside, ahead) - turned  # the way from where it began to here, as it faces now
        features = [
            made, turned / _FAR, turned.sin(), 1.0 - turned.cos(), aside / _FAR, ahead / _FAR,
            distance / _FAR, distance * bearing.sin() / _FAR, distance * bearing.cos() / _FAR,
        ]  # fmt: skip
        return self.outer(F.silu(self.inner(torch.stack(features, dim=-1)))) * (rows[..., :1] > NONE)
