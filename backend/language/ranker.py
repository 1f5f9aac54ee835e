"""How well answers go with a prompt: both as points of one space, near where they belong together (as in Radford et al. 2021, CLIP).

Of several attempts the language model likes best what is most typical of a prompt, be it too much of it: who is to turn by a
quarter is typical in turning, and goes on. A ranker has learned to tell apart clips of different captions, and is asked instead.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from ..tokenizer.quantizer import latents_of

_WIDTH, _POINT = 192, 128
_DROPPED = 0.2  # in training: captured clips are few, and made ones are to be ranked that none of them is like


class Ranker(nn.Module):
    """`codebooks (levels, codes, dim)` are the tokenizer's, `width` that of the language model's hidden states."""

    codebooks: Tensor

    def __init__(self, codebooks: Tensor, width: int) -> None:
        super().__init__()
        self.register_buffer("codebooks", codebooks.float(), persistent=False)
        dim = codebooks.shape[-1]
        self.words = nn.Sequential(
            nn.LayerNorm(width), nn.Dropout(_DROPPED), nn.Linear(width, 256), nn.SiLU(), nn.Dropout(_DROPPED), nn.Linear(256, _POINT)
        )
        self.moves = nn.ModuleList(
            [nn.Conv1d(dim, _WIDTH, 3, padding=1), nn.Conv1d(_WIDTH, _WIDTH, 3, padding=1), nn.Conv1d(_WIDTH, _WIDTH, 3, 1, 2, 2)]
        )
        self.dropout, self.point = nn.Dropout(_DROPPED), nn.Linear(2 * _WIDTH, _POINT)
        self.sharpness = nn.Parameter(torch.tensor(2.3))

    def forward(self, prompts: Tensor, answers: Tensor) -> Tensor:
        """Scores (B,), in nats, of answers (B, n, levels) to prompts (B or 1, width), hidden states at their ends."""
        with torch.inference_mode():
            motions = self.motions(self.latents(answers.to(self.codebooks.device)).unbind(0))
            return ((self.texts(prompts.to(motions)) * motions).sum(-1) * self.sharpness.exp()).cpu()

    def loss(self, prompts: Tensor, latents: Sequence[Tensor], alike: Tensor) -> tuple[Tensor, Tensor]:
        """How badly prompts (B, width) and latents (n, dim) find each other among all of a batch (InfoNCE), and how many prompts do.

        What is `alike (B, B)` by its caption is not asked to be told apart.
        """
        scores = self.texts(prompts) @ self.motions(latents).T * self.sharpness.exp()
        own = torch.arange(len(scores), device=scores.device)
        scores = scores.masked_fill(alike & (own[:, None] != own), -torch.inf)
        return (F.cross_entropy(scores, own) + F.cross_entropy(scores.T, own)) / 2, (scores.argmax(-1) == own).float().mean()

    def latents(self, codes: Tensor) -> Tensor:
        """The latents (..., n, dim) that codes (..., n, levels) stand for."""
        return latents_of(self.codebooks, codes)

    def texts(self, prompts: Tensor) -> Tensor:
        """Points (B, 128) of prompts, from hidden states (B, width) at their ends."""
        return F.normalize(self.words(prompts), dim=-1)

    def motions(self, latents: Sequence[Tensor]) -> Tensor:
        """Points (B, 128) of answers, from their latents (n, dim), which may be of different lengths."""
        lengths = torch.tensor([len(each) for each in latents], device=self.codebooks.device)
        x = pad_sequence(list(latents), batch_first=True)
        inside = torch.arange(x.shape[1], device=x.device) < lengths[:, None]
        x = x.transpose(1, 2) * inside[:, None]
        for number, convolve in enumerate(self.moves):
            moved = F.silu(convolve(self.dropout(x))) * inside[:, None]
            x = moved if number == 0 else x + moved
        pooled = torch.cat([x.sum(-1) / lengths[:, None], x.masked_fill(~inside[:, None], -torch.inf).amax(-1)], dim=-1)
        return F.normalize(self.point(self.dropout(pooled)), dim=-1)
