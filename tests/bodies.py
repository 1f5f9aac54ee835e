"""Files in the formats of the SMPL family around the project's own skeleton: small balls of vertices at its joints."""

from pathlib import Path
from typing import Any

import numpy as np

VERTICES = {24: 6890, 52: 6890, 55: 10475}  # as many as the real models have


def write_model(path: Path, joints: int = 24, seed: int = 0, **changed: Any) -> Path:
    """A model with so many joints; `changed` arrays are written in place of its own, None leaves one out."""
    arrays = model_arrays(joints, seed) | changed
    path.parent.mkdir(parents=True, exist_ok=True)
    given: dict[str, Any] = {name: array for name, array in arrays.items() if array is not None}
    np.savez_compressed(path, **given)
    return path


def model_arrays(joints: int = 24, seed: int = 0) -> dict[str, Any]:
    """Every vertex belongs mostly to one joint and a little to the one above; the shape scales the body and adds noise."""
    from backend.motion import rotations
    from backend.motion.skeleton import SMPL

    rng = np.random.default_rng(seed)
    vertices = VERTICES[joints]
    places = SMPL.forward(np.tile(rotations.IDENTITY, (len(SMPL), 1)), np.array([0.0, 0.2, 0.0]))
    hands = [SMPL.index("left_wrist"), SMPL.index("right_wrist")]
    parents = [*SMPL.parents]
    for joint in range(len(SMPL), joints):  # fingers in two halves, three bones each; jaw and eyes first where there are some
        face = joints == 55 and joint < 25
        first = len(SMPL) + 3 * (joints == 55)
        side = 0 if joint - first < (joints - first) / 2 else 1
        number = (joint - first) % 15
        parent = SMPL.index("head") if face else hands[side] if joints == 24 or number % 3 == 0 else joint - 1
        step = (
            np.array([0, 0, 0.05]) if face else np.array([(0.08, -0.08)[side] / (1 if parent in hands else 3), 0, 0.01 * (number // 3 - 2)])
        )
        parents.append(parent)
        places = np.vstack([places, places[parent] + step + rng.normal(0, 1e-3, 3)])
    owner = np.arange(vertices) % joints
    offsets = rng.normal(0, 0.03, (vertices, 3))
    for joint in range(joints):
        offsets[owner == joint] -= offsets[owner == joint].mean(axis=0)
    weights = np.zeros((vertices, joints))
    weights[np.arange(vertices), owner] = 0.8
    np.add.at(weights, (np.arange(vertices), np.maximum(np.array(parents)[owner], 0)), 0.2)
    regressor = (owner == np.arange(joints)[:, None]) / np.bincount(owner, minlength=joints)[:, None]
    template = places[owner] + offsets
    shapedirs = np.concatenate([0.1 * template[..., None], rng.normal(0, 1e-3, (vertices, 3, 19))], axis=-1)
    arrays: dict[str, Any] = {
        "v_template": template,
        "shapedirs": shapedirs,
        "posedirs": np.zeros((vertices, 3, 9 * (joints - 1)), dtype=np.float32),
        "J_regressor": regressor,
        "kintree_table": np.array([[2**32 - 1, *parents[1:]], range(joints)], dtype=np.uint32),
        "weights": weights,
        "f": np.stack([np.arange(0, vertices - 2), np.arange(1, vertices - 1), np.arange(2, vertices)], axis=-1).astype(np.uint32),
    }
    if joints > 24:
        arrays |= {f"hands_components{side}": np.eye(45) for side in "lr"} | {f"hands_mean{side}": np.zeros(45) for side in "lr"}
    if joints == 55:
        arrays |= {"lmk_faces_idx": np.zeros(51, dtype=np.int64), "lmk_bary_coords": np.full((51, 3), 1 / 3)}
    return arrays
