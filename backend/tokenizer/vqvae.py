"""VQ-VAE over motion features, with the architecture and the parameter names of T2M-GPT and MotionGPT.

van den Oord et al. 2017 (VQ-VAE), Zhang et al. 2023 (T2M-GPT). Tensors inside are (batch, channels, time).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .quantizer import Quantizer


@dataclass(frozen=True)
class VQVAEConfig:
    """Sizes of the network; the defaults are the paper's for HumanML3D. One code stands for `2 ** downsamplings` frames."""

    features: int = 263
    width: int = 512
    code_dim: int = 512
    codes: int = 512
    depth: int = 3
    dilation_growth: int = 3
    downsamplings: int = 2

    @property
    def frames_per_code(self) -> int:
        return 2**self.downsamplings


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

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction (B, T, D), commitment loss (), share of the codebook that the batch spreads over ()."""
        latents = self.encoder(features.transpose(1, 2)).transpose(1, 2)
        quantized, commitment, perplexity = self.quantizer(latents)
        return self.decoder(quantized.transpose(1, 2)).transpose(1, 2), commitment, perplexity

    def reconstruct(self, features: Tensor) -> Tensor:
        """Features (B, T, D) through encoder and decoder with nothing quantised between."""
        return self.decoder(self.encoder(features.transpose(1, 2))).transpose(1, 2)

    @torch.inference_mode()
    def encode(self, features: Tensor) -> Tensor:
        """Codes (B, T / frames_per_code) of features (B, T, D)."""
        return self.quantizer.nearest(self.encoder(features.transpose(1, 2)).transpose(1, 2))

    @torch.inference_mode()
    def decode(self, codes: Tensor) -> Tensor:
        """Features (B, N * frames_per_code, D) of codes (B, N)."""
        return self.decoder(self.quantizer.codebook[codes].transpose(1, 2)).transpose(1, 2)

    @torch.inference_mode()
    def encode_held(self, poses: Tensor, hold: int = 64) -> Tensor:
        """The code (B,) of each pose held still, from one feature frame each, (B, D): the middle of a clip of `hold` frames."""
        codes = self.encode(poses[:, None].expand(-1, hold, -1))
        return codes[:, codes.shape[1] // 2]
