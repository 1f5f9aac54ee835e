"""VQ-VAE over motion features, with the architecture and the parameter names of T2M-GPT and MotionGPT.

van den Oord et al. 2017 (VQ-VAE), Zhang et al. 2023 (T2M-GPT). Past the paper, a latent may be written in several codes, each
that of what the ones before it leave over (residual quantisation, Zeghidour et al. 2021). Tensors inside are (batch, channels, time).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .quantizer import Quantizer, codes_for, latents_of

_TOGETHER = 4096  # latents whose codes are found in one go, for the sake of memory


@dataclass(frozen=True)
class VQVAEConfig:
    """Sizes of the network; the defaults are the paper's for HumanML3D.

    A position stands for `2 ** downsamplings` frames and is written in `levels` codes.
    """

    features: int = 263
    width: int = 512
    code_dim: int = 512
    codes: int = 512
    depth: int = 3
    dilation_growth: int = 3
    downsamplings: int = 2
    levels: int = 1

    @property
    def frames_per_code(self) -> int:
        return 2**self.downsamplings

    @property
    def reach(self) -> int:
        """How many positions before and after its own a decoded frame looks at: the sum over the decoder's convolutions."""
        frames = 2
        for _ in range(self.downsamplings):
            frames = (frames + 2) // 2 + sum(self.dilation_growth**i for i in range(self.depth))
        return frames + 1


class ResidualBlock(nn.Module):
    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)
        self.conv2 = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(torch.relu(self.conv1(torch.relu(x))))


class ResidualStack(nn.Module):
    """Residual blocks with the widest dilation first."""

    def __init__(self, width: int, depth: int, growth: int) -> None:
        super().__init__()
        self.model = nn.Sequential(*(ResidualBlock(width, growth**i) for i in reversed(range(depth))))

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class Encoder(nn.Module):
    """Features (B, D, T) to latents (B, code_dim, T / frames_per_code)."""

    def __init__(self, config: VQVAEConfig) -> None:
        super().__init__()
        halve: Callable[[], nn.Module] = lambda: nn.Sequential(  # noqa: E731 (one of three lines that belong together)
            nn.Conv1d(config.width, config.width, 4, stride=2, padding=1),
            ResidualStack(config.width, config.depth, config.dilation_growth),
        )
        self.model = nn.Sequential(
            nn.Conv1d(config.features, config.width, 3, padding=1),
            nn.ReLU(),
            *(halve() for _ in range(config.downsamplings)),
            nn.Conv1d(config.width, config.code_dim, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class Decoder(nn.Module):
    """Latents (B, code_dim, N) to features (B, D, N * frames_per_code)."""

    def __init__(self, config: VQVAEConfig) -> None:
        super().__init__()
        double: Callable[[], nn.Module] = lambda: nn.Sequential(  # noqa: E731
            ResidualStack(config.width, config.depth, config.dilation_growth),
            nn.Upsample(scale_factor=2, mode="nearest"),
            nn.Conv1d(config.width, config.width, 3, padding=1),
        )
        self.model = nn.Sequential(
            nn.Conv1d(config.code_dim, config.width, 3, padding=1),
            nn.ReLU(),
            *(double() for _ in range(config.downsamplings)),
            nn.Conv1d(config.width, config.width, 3, padding=1),
            nn.ReLU(),
            nn.Conv1d(config.width, config.features, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class VQVAE(nn.Module):
    """Encoder, quantizer and decoder. Works on normalised features (B, T, D), T a multiple of `frames_per_code`."""

    def __init__(self, config: VQVAEConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.quantizer = Quantizer(config.codes, config.code_dim)
        self.residuals = nn.ModuleList(Quantizer(config.codes, config.code_dim) for _ in range(config.levels - 1))

    @property
    def quantizers(self) -> list[Quantizer]:
        """One for each level of codes."""
        return [self.quantizer, *(q for q in self.residuals if isinstance(q, Quantizer))]

    @property
    def codebooks(self) -> list[Tensor]:
        """The entries (codes, code_dim) of each level."""
        return [quantizer.codebook for quantizer in self.quantizers]

    def forward(self, features: Tensor, levels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Reconstruction (B, T, D) and commitment loss (); `levels (B,)` says how many codes each clip is made of (None: all)."""
        latents = self.latents(features).float()
        left, quantized, losses = latents, torch.zeros_like(latents), []
        for level, quantizer in enumerate(self.quantizers):
            part, loss = quantizer(left)
            left = left - part
            quantized = quantized + (part if levels is None else torch.where((levels > level)[:, None, None], part, 0.0))
            losses.append(loss)
        straight_through = latents + (quantized - latents).detach()
        return self.decoder(straight_through.transpose(1, 2)).transpose(1, 2), torch.stack(losses).mean()

    def start_codebooks(self, latents: Tensor, laid: int = 0) -> None:
        """Lay the codebooks past the first `laid` over what those before leave of latents (n, code_dim)."""
        for level in range(laid, self.config.levels):
            before = self.codebooks[:level]
            left = [part - latents_of(before, codes_for(before, part)) for part in latents.split(_TOGETHER)] if before else [latents]
            self.quantizers[level].start(torch.cat(left))

    def latents(self, features: Tensor) -> Tensor:
        """Latents (B, T / frames_per_code, code_dim) of features (B, T, D)."""
        return self.encoder(features.transpose(1, 2)).transpose(1, 2)

    def reconstruct(self, features: Tensor) -> Tensor:
        """Features (B, T, D) through encoder and decoder with nothing quantised between."""
        return self.decoder(self.encoder(features.transpose(1, 2))).transpose(1, 2)

    @torch.inference_mode()
    def encode(self, features: Tensor) -> Tensor:
        """Codes (B, T / frames_per_code, levels) of features (B, T, D)."""
        return self._codes(self.latents(features))

    @torch.inference_mode()
    def decode(self, codes: Tensor) -> Tensor:
        """Features (B, N * frames_per_code, D) of codes (B, N, L), L up to `levels`."""
        latents = latents_of(self.codebooks, codes)
        return self.decoder(latents.transpose(1, 2)).transpose(1, 2)

    @torch.inference_mode()
    def encode_held(self, poses: Tensor, hold: int = 64) -> Tensor:
        """The codes (B, levels) of each pose held still, from one feature frame each, (B, D): the middle of a clip of `hold` frames."""
        latents = self.encoder(poses[:, :, None].expand(-1, -1, hold)).transpose(1, 2)
        return self._codes(latents[:, latents.shape[1] // 2])

    def _codes(self, latents: Tensor) -> Tensor:
        """Codes (..., levels) of latents (..., code_dim)."""
        return codes_for(self.codebooks, latents)
