"""The plain ways of doing the same work, which the product is compared with."""

import torch
from torch import Tensor

from backend.language.model import MotionLanguageModel, load_causal
from backend.models.base import find_base
from backend.models.bundle import Bundle
from backend.motion.skeleton import SMPL

ITERATIONS = 150  # of the optimiser, as joints2smpl and MotionGPT's own rendering have it


def load_plain(bundle: Bundle) -> MotionLanguageModel:
    """A bundle's language model in transformers, float32, the adapter merged."""
    causal, tokenizer = load_causal(find_base(bundle.base), torch.float32)
    model = MotionLanguageModel(causal, tokenizer, bundle.adapter, bundle.network.codes, bundle.network.levels)
    model.load_adapter(bundle.adapter_tensors())
    model.merge()
    return model.eval()


@torch.inference_mode()
def generate(model: MotionLanguageModel, prompt: Tensor, tokens: int) -> None:
    """transformers' own loop, with its cache."""
    embeddings = model.embed(prompt[None])
    model.adapted.generate(
        inputs_embeds=embeddings,
        attention_mask=torch.ones(embeddings.shape[:2], dtype=torch.long),
        min_new_tokens=tokens,
        max_new_tokens=tokens,
        do_sample=True,
        temperature=0.8,
        top_k=200,
        pad_token_id=0,
    )


@torch.inference_mode()
def without_cache(model: MotionLanguageModel, prompt: Tensor, tokens: int) -> None:
    """The whole sequence anew for every token, as MotionGPT's released code does it."""
    ids = prompt[None]
    for _ in range(tokens):
        row = model.logits(model.hidden(ids)[:, -1]).argmax(-1)
        following = torch.zeros(1, 1, ids.shape[-1], dtype=torch.long)
        following[..., 0] = torch.tensor(model.vocabulary.rows)[row]
        ids = torch.cat([ids, following], dim=1)


def optimise_rotations(joints: Tensor) -> Tensor:
    """Rotations (22, 3), as axis and angle, of one frame's joints (22, 3), by gradient descent from the T-pose."""
    assert SMPL.offsets is not None
    offsets = torch.from_numpy(SMPL.offsets).float()
    turns = torch.zeros(len(SMPL), 3, requires_grad=True)
    optimizer = torch.optim.Adam([turns], lr=0.05)
    for _ in range(ITERATIONS):
        turned = torch.linalg.matrix_exp(torch.linalg.cross(torch.eye(3).expand(len(SMPL), 3, 3), turns[:, None].expand(-1, 3, 3)))
        world, places = [turned[0]], [joints[0]]
        for joint, parent in enumerate(SMPL.parents[1:], start=1):
            world.append(world[parent] @ turned[joint])
            places.append(places[parent] + world[parent] @ offsets[joint])
        loss = (torch.stack(places) - joints).square().sum() + 1e-4 * turns.square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return turns.detach()
