"""Data that lies beside the repository; a test that needs it says so when it is not there."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backend.motion.clip import Clip, clip_from_features
from backend.motion.features import joints_to_features
from backend.motion.skeleton import SMPL

DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(scope="session")
def sample() -> dict[str, np.ndarray]:
    """The reference clip: features (T, 263) and joints (T, 22, 3) as HumanML3D's own code made them."""
    folder = DATA / "humanml3d_sample"
    if not folder.is_dir():
        pytest.skip(f"the reference sample is not at {folder}")
    features = np.load(folder / "new_joint_vecs_012314.npy")
    return {"features": features, "joints": np.load(folder / "new_joints_012314.npy").reshape(len(features), 22, 3)}


@pytest.fixture(scope="session")
def captured() -> list[dict[str, np.ndarray]]:
    """Ten captured clips: joints (T, 22, 3), rotations in the world (T, 22, 4), T-pose offsets (22, 3)."""
    folder = DATA / "cmu"
    if not folder.is_dir():
        pytest.skip(f"the captured clips are not at {folder}")
    records = [json.loads(line) for line in (folder / "clips.jsonl").read_text(encoding="utf-8").splitlines()]
    records = [r for r in records if not r["mirrored"]][::70][:10]
    clips = []
    with np.load(folder / "data.npz") as npz:
        for r in records:
            cut = slice(r["start_frame"], r["start_frame"] + r["frames"])
            root, turned = npz[f"{r['trial']}.root"][cut], npz[f"{r['trial']}.rot"][cut].astype(np.float64)
            turned /= np.linalg.norm(turned, axis=-1, keepdims=True)
            joints = npz[f"{r['trial']}.rel"][cut].astype(np.float64) + root[:, None]
            clips.append({"joints": joints, "turned": turned, "offsets": npz[f"{r['trial']}.offsets"]})
    return clips


@pytest.fixture(scope="session")
def clips(captured) -> list[Clip]:
    """The captured clips on the common skeleton, from features and back."""
    made = []
    for clip in captured:
        local = SMPL.to_local(clip["turned"])
        made.append(clip_from_features(joints_to_features(SMPL.forward(local, clip["joints"][:, 0]), SMPL, local), SMPL, "local"))
    return made


@pytest.fixture(scope="session")
def shaken(clips) -> list[Clip]:
    """The clips as a poor model might make them: the root wanders off under feet that should stand, and sinks or floats."""
    rng = np.random.default_rng(3)
    return [replace(clip, root=clip.root + rng.normal(0, 0.004, clip.root.shape).cumsum(axis=0)) for clip in clips]
