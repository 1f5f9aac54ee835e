"""How well answers go with a prompt: both as points of one space, near where they belong together (as in Radford et al. 2021, CLIP).

Of several attempts the language model likes best what is most typical of a prompt, be it too much of it: who is to turn by a
quarter is typical in turning, and goes on. A ranker has learned which captions go with what can be measured on a clip, and is
asked instead. It is shown measures and not codes, as captured clips are too few to learn from codes what a quarter turn is.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

_WORDS, _MEASURES, _POINT = 256, 192, 128  # widths
_DROPPED = 0.2  # in training: captured clips are few, and made ones are to be ranked that none of them is like
_FAR = 4.0  # standard deviations beyond which all is alike


class Ranker(nn.Module):
    """`width` is that of the language model's hidden states, `numbers` how many a clip is told in (`in_numbers`).

    `mean (numbers,)` and `spread (numbers,)` are those of captured clips.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, width: int, numbers: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(numbers))
        self.register_buffer("spread", torch.ones(numbers))
        dropped = nn.Dropout(_DROPPED)
        self.words = nn.Sequential(nn.LayerNorm(width), dropped, nn.Linear(width, _WORDS), nn.SiLU(), dropped, nn.Linear(_WORDS, _POINT))
        self.moves = nn.Sequential(
            *(dropped, nn.Linear(numbers, _MEASURES), nn.SiLU()),
            *(dropped, nn.Linear(_MEASURES, _MEASURES), nn.SiLU()),
            *(dropped, nn.Linear(_MEASURES, _POINT)),
        )
        self.sharpness = nn.Parameter(torch.tensor(2.3))

    def forward(self, prompts: Tensor, clips: np.ndarray) -> Tensor:
        """Scores (B,), in nats, of clips in numbers (B, numbers) for prompts (B or 1, width), hidden states at their ends."""
        with torch.inference_mode():
            moves = self.motions(self.standardised(torch.from_numpy(clips)))
            return (self.texts(prompts.to(moves)) * moves).sum(-1) * self.sharpness.exp()

    def loss(self, prompts: Tensor, standardised: Tensor, alike: Tensor) -> tuple[Tensor, Tensor]:
        """How badly prompts (B, width) and clips (B, numbers) find each other among all of a batch (InfoNCE), and how many prompts do.

        What is `alike (B, B)` by its caption is not asked to be told apart.
        """
        scores = self.texts(prompts) @ self.motions(standardised).T * self.sharpness.exp()
        own = torch.arange(len(scores))
        scores = scores.masked_fill(alike & (own[:, None] != own), -torch.inf)
        return (F.cross_entropy(scores, own) + F.cross_entropy(scores.T, own)) / 2, (scores.argmax(-1) == own).float().mean()

    def standardised(self, clips: Tensor) -> Tensor:
        """Clips in numbers (B, numbers), as far from the mean as captured ones are."""
        return ((clips - self.mean) / self.spread).clamp(-_FAR, _FAR)

    def texts(self, prompts: Tensor) -> Tensor:
        """Points (B, 128) of prompts, from hidden states (B, width) at their ends."""
        return F.normalize(self.words(prompts), dim=-1)

    def motions(self, standardised: Tensor) -> Tensor:
        """Points (B, 128) of clips."""
        return F.normalize(self.moves(standardised), dim=-1)
