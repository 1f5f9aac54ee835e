"""Previews against the clip that comes out in the end."""

import numpy as np
import pytest
import torch

from backend.motion import rotations
from backend.motion.clip import clip_from_features
from backend.motion.fit import Constraint
from backend.motion.skeleton import SMPL
from backend.preview import Preview
from backend.tokenizer.vqvae import VQVAE, VQVAEConfig

POSITIONS = 40
ALONE = np.zeros(1)  # the agreement of one attempt


@pytest.fixture(scope="module", params=[(2, 3), (1, 2)], ids=["deep", "shallow"])
def tokenizer(request):
    torch.manual_seed(0)
    halvings, depth = request.param
    return VQVAE(VQVAEConfig(width=16, code_dim=16, codes=32, depth=depth, downsamplings=halvings, dilation_growth=2)).eval()


def preview_of(tokenizer: VQVAE, frames: int, anchor: Constraint | None = None) -> tuple[Preview, torch.Tensor, np.ndarray]:
    torch.manual_seed(1)
    for quantizer in tokenizer.quantizers:
        quantizer.codebook.normal_()
    codes = torch.randint(0, 32, (POSITIONS, tokenizer.config.levels))
    mean, std = np.zeros(263, np.float32), np.full(263, 0.1, np.float32)
    preview = Preview(tokenizer, (mean, std), SMPL, "local", POSITIONS, frames, 24.0, anchor)
    return preview, codes, tokenizer.decode(codes[None])[0].numpy() * std + mean


def test_reach_is_how_far_a_code_is_felt_and_no_farther(tokenizer):
    tokenizer.quantizer.codebook.normal_()
    config, middle = tokenizer.config, POSITIONS // 2
    codes = torch.zeros(1, POSITIONS, 1, dtype=torch.long)
    other = codes.clone()
    other[0, middle] = 1
    felt = (tokenizer.decode(codes) != tokenizer.decode(other))[0].any(-1).nonzero() // config.frames_per_code
    assert int(felt.min()) >= middle - config.reach and int(felt.max()) <= middle + config.reach
    assert int(felt.max()) - int(felt.min()) >= 2 * config.reach - 2


@pytest.mark.parametrize("frames", [POSITIONS * 4, 97])
def test_in_the_end_every_frame_has_been_shown_as_it_is(tokenizer, frames):
    preview, codes, features = preview_of(tokenizer, frames)
    local, root, starts = np.zeros((frames, 22, 4)), np.zeros((frames, 3)), []
    for known in (1, 2, 9, 21, 30, 39, 40):
        shown = preview.show([codes[:known].tolist()], ALONE)
        if shown:
            first, clip = shown
            starts.append(first)
            local[first : first + len(clip)], root[first : first + len(clip)] = clip.local, clip.root
    clip = clip_from_features(features, SMPL, "local").resampled(frames, 24.0)
    np.testing.assert_allclose(root, clip.root, atol=1e-4)
    assert np.degrees(rotations.angle_between(local, clip.local)).max() < 0.05
    assert starts == sorted(starts) and starts[0] == 0 and starts[-1] > 0  # what is settled is not sent again


def test_a_preview_begins_where_the_first_pose_stands(tokenizer):
    local = np.tile(rotations.IDENTITY, (22, 1))
    local[0] = rotations.about(np.array([0.0, 1.0, 0.0]), np.array(1.0))
    preview, codes, _ = preview_of(tokenizer, 97, Constraint(0, local, np.array([3.0, 0.9, -5.0])))
    shown = preview.show([codes[:3].tolist()], ALONE)
    assert shown
    np.testing.assert_allclose(shown[1].root[0, [0, 2]], [3.0, -5.0], atol=1e-6)


def test_previews_wait_for_each_other(tokenizer):
    preview, codes, _ = preview_of(tokenizer, 97)
    assert preview.due
    preview.show([codes[:3].tolist()], ALONE)
    assert not preview.due


def test_the_attempt_that_leads_plainly_is_shown_from_its_beginning(tokenizer):
    preview, codes, features = preview_of(tokenizer, POSITIONS * tokenizer.config.frames_per_code)
    attempts = [codes.flip(0).tolist(), codes.tolist()]
    preview.show(attempts, np.array([0.0, 1.0]))  # no clear lead: the first stays
    before = preview.show(attempts, np.array([0.0, 1.5]))
    shown = preview.show(attempts, np.array([0.0, 9.0]))
    assert before and shown and shown[0] == 0
    expected = clip_from_features(features, SMPL, "local").resampled(len(shown[1]), 24.0)
    np.testing.assert_allclose(shown[1].root, expected.root, atol=1e-4)
    assert np.abs(before[1].root[-1] - expected.root[-1]).max() > 1e-3
    again = preview.show(attempts, np.array([8.0, 9.0]))
    assert again
    np.testing.assert_allclose(again[1].root[-1], expected.root[-1], atol=1e-4)
