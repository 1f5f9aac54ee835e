"""What of a latent is pose: how a decoder's poses answer to each direction of its latents, and which directions are the body's way."""

import torch
from torch import Tensor

from ..motion.features import Layout
from .quantizer import latents_of
from .vqvae import VQVAE

_CLIPS, _POSITIONS = 24, 5  # of random codes, each held still
_PROBES = 6
_WAY = 3  # how fast the body turns and goes, ahead and aside


def pose_measure(tokenizer: VQVAE, layout: Layout) -> Tensor:
    """A matrix (code_dim, code_dim): latents that it is applied to are as far apart as the poses are that are decoded from them.

    The squares of what the decoder makes of a small step, at the step's own position, are averaged over clips of random codes
    (a Gauss-Newton metric); random directions of its output stand for all. Directions along which the body goes faster or turns are
    left out: a pose that is held still in order to be encoded says nothing of them.
    """
    generator = torch.Generator().manual_seed(0)
    codebooks = tokenizer.codebooks
    codes = torch.randint(len(codebooks[0]), (_CLIPS, 1, len(codebooks)), generator=generator).to(codebooks[0].device)
    middle, frames = _POSITIONS // 2, tokenizer.config.frames_per_code
    with torch.enable_grad():
        latents = latents_of(codebooks, codes).repeat(1, _POSITIONS, 1).requires_grad_()
        features = tokenizer.decoder(latents.transpose(1, 2)).transpose(1, 2)[:, middle * frames : (middle + 1) * frames]
        poses, way = features[..., layout.height.start : layout.rotations.stop], features[..., : layout.travel.stop]

        def answers(output: Tensor) -> Tensor:
            """g g^T of the gradients g of an output, all of them together as large as one."""
            (gradient,) = torch.autograd.grad(output, latents, retain_graph=True)
            own = gradient[:, middle]
            return own.T @ own / own.square().sum()

        of_way = torch.stack([answers(column.sum()) for column in way.unbind(-1)]).sum(0)
        probes = torch.randn(_PROBES, *poses.shape, generator=generator).to(poses)
        of_poses = torch.stack([answers((probe * poses).sum()) for probe in probes]).sum(0)
    along_way = torch.linalg.eigh(of_way.cpu()).eigenvectors[:, -_WAY:]  # not every device has what finds them
    sizes, directions = torch.linalg.eigh(of_poses.cpu())
    measure = directions * sizes.clamp(min=0).sqrt()
    return (measure - along_way @ (along_way.T @ measure)).to(of_poses.device)
