"""Vector quantiser whose codebook follows the encoder by exponential moving averages; codes that die are drawn anew."""

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_DECAY = 0.99
_ROUNDS = 10
_ALIVE = 0.125  # a code used less than this share of the average is replaced
_GRACE = 2.0  # how far above that a new code starts, so that it has time to be found
_WAYS = 16  # through the levels that are gone side by side


def latents_of(codebooks: Iterable[Tensor], codes: Tensor) -> Tensor:
    """The latents (..., dim) that codes (..., n) of the first n levels stand for: the sums of their codebooks' entries."""
    return torch.stack([book[code] for book, code in zip(codebooks, codes.unbind(-1), strict=False)]).sum(0)


def codes_for(codebooks: Sequence[Tensor], latents: Tensor) -> Tensor:
    """Codes (..., levels) of which one of each codebook (codes, dim), added up, come near latents (..., dim).

    The entry that is nearest at one level need not leave the least to the levels after it: the best of several ways are followed
    through all of them (beam search; Liu, Lu and Qu 2015, arXiv 1509.05195).
    """
    left = latents.reshape(-1, 1, latents.shape[-1]).float()  # what each of the ways has left over (n, ways, dim)
    codes = torch.empty(*left.shape[:2], 0, dtype=torch.long, device=left.device)
    for book in codebooks:
        # Squares of what would be left: a way's own, less what it has in common with an entry, and the entry's.
        after = left.square().sum(-1, keepdim=True) - 2 * left @ book.T + book.square().sum(-1)
        best = after.flatten(1).topk(min(_WAYS, after[0].numel()), largest=False).indices
        way, code = best // len(book), best % len(book)
        left = left.take_along_dim(way[..., None], 1) - book[code]
        codes = torch.cat([codes.take_along_dim(way[..., None], 1), code[..., None]], dim=-1)
    return codes[:, 0].reshape(*latents.shape[:-1], len(codebooks))  # the best of the last level comes first


class Quantizer(nn.Module):
    codebook: Tensor
    sums: Tensor
    counts: Tensor

    def __init__(self, codes: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("codebook", torch.zeros(codes, dim))
        # Only training needs these, so they are not part of a checkpoint in the published form.
        self.register_buffer("sums", torch.zeros(codes, dim), persistent=False)
        self.register_buffer("counts", torch.zeros(codes), persistent=False)

    def forward(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """The codebook entries (B, N, dim) nearest to latents (B, N, dim), without a gradient, and the commitment loss ()."""
        latents = latents.float()
        flat = latents.reshape(-1, latents.shape[-1])
        if self.training and not self.counts.any():
            self.start(flat.detach())
        codes = self.nearest(flat)
        if self.training:
            self._follow(flat.detach(), codes, torch.bincount(codes, minlength=len(self.codebook)).float())
        quantized = self.codebook[codes].reshape(latents.shape).detach()
        return quantized, F.mse_loss(latents, quantized)

    def nearest(self, latents: Tensor) -> Tensor:
        """Index (...) of the codebook entry nearest to each latent (..., dim)."""
        latents = latents.float()
        with torch.autocast(latents.device.type, enabled=False):  # the nearest of many is no matter for half a precision
            distance = self.codebook.square().sum(-1) - 2 * latents @ self.codebook.T  # less |latent|², the same for every code
        return distance.argmin(-1)

    def start(self, flat: Tensor) -> None:
        """Lay the codebook over latents (n, dim) by a few rounds of k-means."""
        self.codebook.copy_(_draw(flat, len(self.codebook)))
        for _ in range(_ROUNDS):
            codes = self.nearest(flat)
            used = torch.bincount(codes, minlength=len(self.codebook)).float()[:, None]
            mean = torch.zeros_like(self.codebook).index_add_(0, codes, flat) / used.clamp(min=1)
            self.codebook.copy_(torch.where(used > 0, mean, _draw(flat, len(self.codebook))))
        self.go_on(len(flat))

    def go_on(self, batch: int) -> None:
        """Count every code as used equally often by `batch` latents: where averaging begins for the codebook as it is."""
        self.counts.fill_(batch / len(self.codebook))
        self.sums.copy_(self.codebook * self.counts[:, None])

    def _follow(self, flat: Tensor, codes: Tensor, used: Tensor) -> None:
        self.sums.mul_(_DECAY).index_add_(0, codes, flat, alpha=1 - _DECAY)
        self.counts.mul_(_DECAY).add_(used, alpha=1 - _DECAY)
        least = _ALIVE * len(flat) / len(self.codebook)
        dead = self.counts < least
        self.counts[dead] = _GRACE * least
        self.sums[dead] = _draw(flat, len(self.codebook))[dead] * _GRACE * least
        self.codebook.copy_(self.sums / self.counts[:, None])


def _draw(flat: Tensor, codes: int) -> Tensor:
    """`codes` random rows of `flat (n, dim)`; if there are too few, repeated with a little noise."""
    if len(flat) < codes:
        flat = flat.repeat(-(-codes // len(flat)), 1)
        flat = flat + torch.randn_like(flat) * 0.01 / flat.shape[-1] ** 0.5
    return flat[torch.randperm(len(flat), device=flat.device)[:codes]]
