import numpy as np
import pytest
import torch

from backend.models.checkpoints import read_lora, read_vqvae
from backend.motion.features import Layout
from backend.tokenizer.losses import LossWeights, tokenizer_loss
from backend.tokenizer.poses import pose_measure
from backend.tokenizer.quantizer import Quantizer, codes_for
from backend.tokenizer.vqvae import VQVAE, VQVAEConfig


def published_names(features: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the 67 tensors of t2m.pth (263 features) and kit.pth (251), as the published files have them."""
    shapes: dict[str, tuple[int, ...]] = {"vqvae.quantizer.codebook": (512, 512)}

    def conv(name: str, out: int, into: int, width: int) -> None:
        shapes[f"vqvae.{name}.weight"], shapes[f"vqvae.{name}.bias"] = (out, into, width), (out,)

    conv("encoder.model.0", 512, features, 3)
    conv("decoder.model.0", 512, 512, 3)
    for stage in (2, 3):
        conv(f"encoder.model.{stage}.0", 512, 512, 4)
        conv(f"decoder.model.{stage}.2", 512, 512, 3)
        for block in range(3):
            for part, place in (("encoder", 1), ("decoder", 0)):
                conv(f"{part}.model.{stage}.{place}.model.{block}.conv1", 512, 512, 3)
                conv(f"{part}.model.{stage}.{place}.model.{block}.conv2", 512, 512, 1)
    conv("encoder.model.4", 512, 512, 3)
    conv("decoder.model.4", 512, 512, 3)
    conv("decoder.model.6", features, 512, 3)
    return shapes


@pytest.mark.parametrize("features", [263, 251])
def test_published_checkpoints_load_strictly(tmp_path, features):
    shapes = published_names(features)
    assert len(shapes) == 67
    torch.save({"net": {name: torch.randn(shape) * 0.02 for name, shape in shapes.items()}}, tmp_path / "net.pth")
    model = read_vqvae(tmp_path / "net.pth")
    assert model.config == VQVAEConfig(features=features)
    assert model.encode(torch.randn(1, 40, features)).shape == (1, 10, 1)


def test_a_file_with_code_in_it_is_refused(tmp_path):
    torch.save({"net": {"vqvae.x": print}}, tmp_path / "bad.pth")
    with pytest.raises(ValueError, match="plain tensors"):
        read_vqvae(tmp_path / "bad.pth")


def test_a_lit_llama_adapter_gives_the_same_attention(tmp_path):
    """The converted adapter turns q as the original does: scores agree under each library's own rotary embedding."""
    heads, size, rank = 2, 128, 4
    width = heads * size
    a, b = torch.randn(2 * rank, width), torch.randn(2 * width, rank)
    torch.save(
        {"transformer.h.0.attn.c_attn.lora_A": a, "transformer.h.0.attn.c_attn.lora_B": b, "llama_proj.weight": a}, tmp_path / "l.pth"
    )
    tensors, found = read_lora(tmp_path / "l.pth")
    assert found == rank
    assert len(tensors) == 4
    x = torch.randn(6, width)
    prefix = "base_model.model.model.layers.0.self_attn"
    q = x @ tensors[f"{prefix}.q_proj.lora_A.weight"].T @ tensors[f"{prefix}.q_proj.lora_B.weight"].T
    original = x @ a[:rank].T @ b[:width].T
    angle = torch.arange(6)[:, None] * 10000.0 ** (-torch.arange(0, size, 2) / size)

    def scores(turned: torch.Tensor) -> torch.Tensor:
        return torch.einsum("ihd,jhd->hij", turned, turned)

    halves = q.view(6, heads, size)
    first, second = halves[..., : size // 2], halves[..., size // 2 :]
    cos, sin = angle.cos()[:, None], angle.sin()[:, None]
    half_split = torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
    pairs = original.view(6, heads, size // 2, 2)
    interleaved = torch.stack([pairs[..., 0] * cos - pairs[..., 1] * sin, pairs[..., 1] * cos + pairs[..., 0] * sin], dim=-1)
    torch.testing.assert_close(scores(half_split), scores(interleaved.flatten(2)), rtol=1e-3, atol=1e-1)
    torch.testing.assert_close(tensors[f"{prefix}.v_proj.lora_B.weight"], b[width:])


def test_codes_and_frames_go_four_to_one():
    model = VQVAE(VQVAEConfig(width=16, code_dim=8, codes=32)).eval()
    codes = model.encode(torch.randn(2, 64, 263))
    assert codes.shape == (2, 16, 1)
    assert model.decode(codes).shape == (2, 64, 263)
    assert model.encode_held(torch.randn(3, 263)).shape == (3, 1)


def test_every_level_of_codes_comes_nearer_to_the_latents():
    torch.manual_seed(0)
    model = VQVAE(VQVAEConfig(width=16, code_dim=8, codes=16, levels=3)).eval()
    features = torch.randn(8, 64, 263)
    with torch.no_grad():
        model.start_codebooks(model.latents(features).flatten(0, 1))
        latents = model.encoder(features.transpose(1, 2)).transpose(1, 2)
    codes = model.encode(features)
    assert codes.shape == (8, 16, 3)
    entries = torch.stack([q.codebook[c] for q, c in zip(model.quantizers, codes.unbind(-1), strict=True)])
    left = (latents - entries.cumsum(0)).square().mean(dim=(1, 2, 3))
    assert left[0] > left[1] > left[2]
    assert model.decode(codes[..., :1]).shape == features.shape


def test_codes_are_the_best_together_and_not_one_after_another():
    """With few enough codes all ways are followed, and no sum of entries is nearer than theirs."""
    torch.manual_seed(0)
    books, latents = torch.randn(2, 4, 3), torch.randn(10, 5, 3)
    sums = (books[0][:, None] + books[1]).flatten(0, 1)
    best = torch.cdist(latents.flatten(0, 1), sums).argmin(-1)
    codes = codes_for(list(books), latents)
    assert codes.tolist() == torch.stack([best // 4, best % 4], dim=-1).reshape(10, 5, 2).tolist()
    nearest = torch.cdist(latents.flatten(0, 1), books[0]).argmin(-1)
    assert (codes[..., 0].flatten() != nearest).any()


def test_levels_that_a_clip_does_not_use_leave_no_trace_in_it():
    model = VQVAE(VQVAEConfig(width=16, code_dim=8, codes=16, levels=2)).eval()
    features = torch.randn(2, 64, 263)
    with torch.no_grad():
        model.start_codebooks(model.latents(features).flatten(0, 1))
        output, _ = model(features, torch.tensor([1, 2]))
        latents = model.encoder(features.transpose(1, 2)).transpose(1, 2)
    first = model.quantizers[0].nearest(latents)
    second = model.quantizers[1].nearest(latents - model.quantizers[0].codebook[first])
    torch.testing.assert_close(output[:1], model.decode(first[:1, :, None]))
    torch.testing.assert_close(output[1:], model.decode(torch.stack([first, second], dim=-1)[1:]))


def test_the_quantizer_takes_the_nearest_entry():
    quantizer = Quantizer(16, 4).eval()
    quantizer.codebook.copy_(torch.randn(16, 4))
    x = torch.randn(50, 4)
    assert torch.equal(quantizer.nearest(x), torch.cdist(x, quantizer.codebook).argmin(-1))


def test_gradients_pass_the_quantizer_straight():
    model = VQVAE(VQVAEConfig(width=16, code_dim=8, codes=16, levels=2)).train()
    model.encoder, model.decoder = torch.nn.Identity(), torch.nn.Identity()  # type: ignore[assignment]
    x = torch.randn(2, 40, 8, requires_grad=True)
    output, _ = model(x)
    output.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, torch.ones_like(x))


def test_the_codebook_follows_the_latents_and_dead_codes_return():
    torch.manual_seed(0)
    quantizer = Quantizer(32, 4).train()
    _, commitment = quantizer(torch.randn(1, 256, 4))
    for _ in range(300):  # the latents have moved to where no code is but the nearest few
        _, commitment = quantizer(torch.randn(1, 256, 4) + 20.0)
    assert commitment < 1.0
    assert len(quantizer.nearest(torch.randn(256, 4) + 20.0).unique()) > 16


PLAIN = torch.zeros(263), torch.ones(263)  # statistics that change nothing


def test_a_path_that_drifts_costs_what_it_is_off():
    straight = torch.zeros(1, 10, 263)
    drifting = straight.clone()
    drifting[..., 2] = 0.1  # metres a frame
    weights = LossWeights(reconstruction=0.0, positions=0.0, root=0.0, path=1.0, speed=0.0)
    loss = tokenizer_loss(drifting, straight, torch.tensor(0.0), weights, Layout(22), *PLAIN)
    torch.testing.assert_close(loss, torch.tensor(np.mean(0.1 * np.arange(1, 11)) / 3, dtype=torch.float32))


def test_the_papers_loss_is_a_choice_of_weights():
    layout = Layout(22)
    output, target = torch.randn(2, 8, 263), torch.randn(2, 8, 263)
    paper = LossWeights(root=0.0, path=0.0, speed=0.0)
    expected = torch.nn.functional.smooth_l1_loss(output, target) + 0.02 * 3.0
    expected += 0.5 * torch.nn.functional.smooth_l1_loss(output[..., 4:67], target[..., 4:67])
    torch.testing.assert_close(tokenizer_loss(output, target, torch.tensor(3.0), paper, layout, *PLAIN), expected)


def test_a_few_steps_of_training_lower_the_loss():
    torch.manual_seed(0)
    model = VQVAE(VQVAEConfig(width=32, code_dim=16, codes=32))
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    target = torch.from_numpy(np.cumsum(np.random.default_rng(0).standard_normal((4, 32, 263)), axis=1).astype(np.float32) * 0.3)
    losses = []
    for _ in range(30):
        output, commitment = model.train()(target)
        loss = tokenizer_loss(output, target, commitment, LossWeights(), Layout(22), *PLAIN)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_a_pose_is_measured_by_what_is_decoded_and_not_by_how_fast_the_body_goes():
    """A decoder of one layer shows which latents make the pose, which the way, and which nothing."""
    torch.manual_seed(0)
    model, layout = VQVAE(VQVAEConfig(width=16, code_dim=8, codes=16)).eval(), Layout(22)
    codes = torch.arange(16).repeat(2, 1)[..., None]
    with torch.no_grad():
        model.quantizer.codebook.copy_(torch.randn(16, 8))
        measure = pose_measure(model, layout)
        latents = model.quantizer.codebook[codes[..., 0]]
        output = model.decoder.model[-1]
        assert isinstance(output, torch.nn.Conv1d)
        plain = torch.cdist(latents[0] @ measure, latents[0] @ measure)
        output.weight[layout.rotations.stop :] *= 100.0  # speeds and contacts
        torch.testing.assert_close(torch.cdist(latents[0] @ pose_measure(model, layout), latents[0] @ pose_measure(model, layout)), plain)
    assert int(torch.linalg.matrix_rank(measure, tol=1e-4)) == 8 - 3  # all directions but those of the way
