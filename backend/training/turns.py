"""How far each code turns, read off captured clips."""

import torch
from torch import Tensor

from ..data.dataset import Dataset
from ..tokenizer.quantizer import latents_of
from ..tokenizer.vqvae import VQVAE
from .tokenizer import codes_of

_DAMPING = 1e-3  # of the least squares, as a share of the latents' variance


@torch.inference_mode()
def fit_turns(tokenizer: VQVAE, dataset: Dataset, device: str, clips: int = 400) -> Tensor:
    """Turns (levels, codes) in radians to the left as `Odometry` adds them up, from about so many training clips.

    They are what an affine map of the latents says that fits best what positions turn. Latents are sums over levels, so that a map
    of one entry of each codebook is all that a code adds.
    """
    books = torch.stack(tokenizer.codebooks).cpu().double()
    per_code = tokenizer.config.frames_per_code
    latents, wanted = [], []
    train = dataset.split("train")
    for clip in train[:: max(1, len(train) // clips)]:
        features = dataset.of(clip)
        codes = codes_of(tokenizer, features, dataset.mean, dataset.std, device).cpu()
        latents.append(latents_of(books, codes))
        halves = torch.tensor(features[: len(codes) * per_code, 0], dtype=torch.float64)  # of the angles, to the right
        wanted.append(-2.0 * halves.reshape(len(codes), per_code).sum(1))
    x, y = torch.cat(latents), torch.cat(wanted)
    middle, mean = x.mean(0), y.mean()
    spread = (x - middle).T @ (x - middle) / len(x)
    damped = spread + _DAMPING * spread.diagonal().mean() * torch.eye(len(spread))
    affine = torch.linalg.solve(damped, (x - middle).T @ (y - mean) / len(x))
    turns = books @ affine
    turns[0] += mean - middle @ affine
    return turns.float()
