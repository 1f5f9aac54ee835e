"""Two ways to a given pose: spreading what is missing over time, and first optimising the latents that the decoder reads.

    python benchmarks/constraints.py --data FOLDER [--clips 6] [--steps 80]

Captured clips through the tokenizer stand for what a model makes; the poses given are those of other clips. Printed for both ways:
seconds a clip; how far the clip is from the poses before the spreading (mean over joints, place and heading aligned); the largest
acceleration of a joint over the largest that the clip had before; how far the clip is changed in all; and how far the result is
from its own reconstruction, which grows where a clip leaves what the tokenizer knows.
"""

import argparse
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402

from backend.data.dataset import Dataset  # noqa: E402
from backend.evaluation.tasks import aligned  # noqa: E402
from backend.models.bundle import Bundle, open_bundle  # noqa: E402
from backend.motion.clip import Clip, clip_from_features  # noqa: E402
from backend.motion.features import Layout, joints_to_features, pose_to_features  # noqa: E402
from backend.motion.fit import Constraint, fit  # noqa: E402
from backend.tokenizer.vqvae import VQVAE  # noqa: E402

_RATE, _STAY = 0.03, 0.02  # of Adam; and the weight of staying near the latents that there were


def optimise(tokenizer: VQVAE, bundle: Bundle, latents: torch.Tensor, given: list[Constraint], steps: int) -> torch.Tensor:
    """Latents (1, N, dim) whose features at the given frames are nearer to the given poses."""
    layout, skeleton = Layout(len(bundle.body())), bundle.body()
    wanted = np.stack([pose_to_features(skeleton.forward(c.local, c.root), c.local, skeleton) for c in given])
    target = torch.from_numpy(((wanted - bundle.mean) / bundle.std).astype(np.float32))
    frames = [c.frame for c in given]
    body = np.r_[layout.height, layout.positions, layout.rotations]
    moved = latents.clone().requires_grad_(True)
    adam = torch.optim.Adam([moved], lr=_RATE)
    for _ in range(steps):
        features = tokenizer.decoder(moved.transpose(1, 2)).transpose(1, 2)[0]
        missed = (features[frames][:, body] - target[:, body]).square().mean()
        loss = missed + _STAY * (moved - latents).square().mean() / latents.square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    return moved.detach()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder made by `motiongpt data build`")
    parser.add_argument("--clips", type=int, default=6)
    parser.add_argument("--steps", type=int, default=80)
    args = parser.parse_args()
    bundle, dataset = open_bundle(), Dataset(args.data)
    tokenizer, skeleton = bundle.tokenizer(), bundle.body()

    def to_clip(latents: torch.Tensor) -> Clip:
        with torch.inference_mode():
            features = tokenizer.decoder(latents.transpose(1, 2)).transpose(1, 2)[0].numpy() * bundle.std + bundle.mean
        return clip_from_features(features, skeleton, bundle.rotations)

    def off_model(clip: Clip) -> float:
        features = joints_to_features(clip.joints, skeleton, clip.local)[: (len(clip) - 1) // 4 * 4]
        with torch.inference_mode():
            codes = tokenizer.encode(torch.from_numpy(((features - bundle.mean) / bundle.std).astype(np.float32))[None])
            again = tokenizer.decode(codes)[0].numpy() * bundle.std + bundle.mean
        there = clip_from_features(again, skeleton, bundle.rotations)
        return float(np.linalg.norm(aligned(there) - aligned(clip)[: len(there)], axis=-1).mean() * 1000.0)

    entries = [e for e in dataset.split("test") if e.frames >= 100 and not e.id.startswith("M")]
    chosen = [entries[i] for i in np.linspace(0, len(entries) - 1, args.clips).round().astype(int)]
    reals = [np.array(dataset.of(e)[:100]) for e in chosen]
    rows: dict[tuple[str, str], list[tuple[float, ...]]] = {}
    for number, features in enumerate(reals):
        other = clip_from_features(reals[(number + 1) % len(reals)], skeleton, bundle.rotations)
        with torch.inference_mode():
            latents = tokenizer.encoder(torch.from_numpy(((features - bundle.mean) / bundle.std).astype(np.float32))[None].transpose(1, 2))
        latents = latents.transpose(1, 2).clone()
        draft = to_clip(latents)
        for place, frames in (("first", [0]), ("both", [0, 99]), ("keys", [25, 50, 75])):
            given = [Constraint(f, other.local[f], draft.root[f] * [1, 0, 1] + other.root[f] * [0, 1, 0]) for f in frames]
            poses = skeleton.forward(np.stack([c.local for c in given]), np.stack([c.root for c in given]))
            for way in ("spread", "latent"):
                began = time.perf_counter()
                clip = draft if way == "spread" else to_clip(optimise(tokenizer, bundle, latents, given, args.steps))
                placed = clip.placed(frames[0], poses[0])
                fitted = fit(placed, given)
                took = time.perf_counter() - began
                goal = Clip(
                    np.stack([c.local for c in given]), np.stack([c.root for c in given]), draft.contacts[frames], draft.fps, skeleton
                )
                before = np.linalg.norm(aligned(clip)[frames] - aligned(goal), axis=-1).mean() * 1000.0
                jolt = np.linalg.norm(np.diff(fitted.joints, 2, axis=0), axis=-1).max()
                own = np.linalg.norm(np.diff(draft.joints, 2, axis=0), axis=-1).max()
                changed = np.linalg.norm(aligned(fitted) - aligned(draft), axis=-1).mean() * 1000.0
                rows.setdefault((place, way), []).append((took, before, jolt / own, changed, off_model(fitted)))
    print(f"{'poses':6} {'way':7} {'seconds':>8} {'before mm':>10} {'acceleration':>13} {'changed mm':>11} {'off model mm':>13}")
    for (place, way), values in rows.items():
        seconds, before, jolt, changed, off = np.mean(values, axis=0)
        print(f"{place:6} {way:7} {seconds:8.3f} {before:10.1f} {jolt:13.2f} {changed:11.1f} {off:13.1f}")


if __name__ == "__main__":
    main()
