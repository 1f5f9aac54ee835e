"""Readers of the folder layouts that training data comes in.

- packed: `data.npz` and `clips.jsonl`, true joint rotations
- unpacked: `joints/`, `rotations/`, `offsets/`, `texts/`, the same as files
- HumanML3D and KIT-ML: `new_joint_vecs/`, `texts/`, made by the data sets' own code

Lists of ids (`train.txt`, `val.txt`, `test.txt`, further ones such as `short.txt`) name the splits.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..motion import rotations
from ..motion.features import joints_to_features
from ..motion.skeleton import SMPL

_SPLIT_OF_LIST = {"short": "train"}  # lists beside the three usual ones that are for training


@dataclass(frozen=True)
class Caption:
    """A sentence about a clip, or about the part of it from `start` to `end` seconds (both 0: all of it).

    `action` names what happens in a caption that was computed from the motion, and is empty in one that a person wrote;
    `moment` says that it happens at some moment of the part, which may then be shown with more around it.
    """

    text: str
    start: float = 0.0
    end: float = 0.0
    action: str = ""
    moment: bool = False


@dataclass(frozen=True)
class Source:
    """A clip as it comes from a folder: features `(T, D)`, captions, split; `rotations` names the form of the features."""

    id: str
    split: str
    features: np.ndarray
    captions: tuple[Caption, ...]
    skeleton: str
    rotations: str


def read_folder(folder: Path) -> Iterator[Source]:
    """All clips of a folder in one of the known layouts; ValueError says what was looked for."""
    splits = _read_splits(folder)
    if (folder / "data.npz").is_file() and (folder / "clips.jsonl").is_file():
        return _read_packed(folder, splits)
    if (folder / "rotations").is_dir() and (folder / "offsets").is_dir():
        return _read_unpacked(folder, splits)
    if (folder / "new_joint_vecs").is_dir():
        return _read_features(folder, splits)
    raise ValueError(
        f"{folder} holds no motion data in a known layout: neither data.npz with clips.jsonl, nor joints/, rotations/ and offsets/, "
        "nor new_joint_vecs/ as HumanML3D's scripts make it."
    )


def _read_splits(folder: Path) -> dict[str, str]:
    splits = {}
    for path in sorted(folder.glob("*.txt")):
        split = _SPLIT_OF_LIST.get(path.stem, path.stem)
        if split in ("train", "val", "test"):
            splits.update(dict.fromkeys(path.read_text(encoding="utf-8").split(), split))
    if not splits:
        raise ValueError(f"{folder} holds no list of ids: train.txt, val.txt or test.txt is needed.")
    return splits


def read_captions(path: Path) -> tuple[Caption, ...]:
    """Captions of a HumanML3D text file: `sentence#tokens#from#to` per line."""
    captions = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.strip():
            continue
        text, _, start, end = ([*line.split("#"), "", "", ""])[:4]
        captions.append(Caption(text.strip(), _seconds(start), _seconds(end)))
    return tuple(captions)


def _seconds(field: str) -> float:
    value = float(field) if field.strip() else 0.0
    return value if np.isfinite(value) else 0.0  # HumanML3D has a few "nan"


def _read_packed(folder: Path, splits: dict[str, str]) -> Iterator[Source]:
    with np.load(folder / "data.npz") as npz:
        trials = dict(npz)
    for line in (folder / "clips.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        if record["id"] not in splits or (record.get("uneven") and splits[record["id"]] == "train"):
            continue  # where the ground is not known, a model would learn to float
        trial, cut = record["trial"], slice(record["start_frame"], record["start_frame"] + record["frames"])
        turned = rotations.normalise(trials[f"{trial}.rot"][cut].astype(np.float64))
        root, offsets = trials[f"{trial}.root"][cut], trials[f"{trial}.offsets"]
        if record["mirrored"]:
            swap = list(SMPL.mirrored)
            turned, offsets = turned[:, swap] * [1, 1, -1, -1], offsets[swap] * [-1, 1, 1]
            root = root * [-1, 1, 1]
        yield _from_rotations(folder, record["id"], splits, turned, root, offsets)


def _read_unpacked(folder: Path, splits: dict[str, str]) -> Iterator[Source]:
    for id_ in splits:
        if not (folder / "rotations" / f"{id_}.npy").is_file():
            continue
        turned, joints, offsets = (np.load(folder / part / f"{id_}.npy") for part in ("rotations", "joints", "offsets"))
        yield _from_rotations(folder, id_, splits, turned, joints[:, 0], offsets)


def _from_rotations(folder: Path, id_: str, splits: dict[str, str], turned: np.ndarray, root: np.ndarray, offsets: np.ndarray) -> Source:
    """Re-pose a performer's clip on the common skeleton: same rotations, the path scaled by the height of the hips."""
    skeleton = SMPL
    local = skeleton.to_local(turned)
    scale = skeleton.rest_height / replace(skeleton, offsets=offsets).rest_height
    joints = skeleton.forward(local, root * scale)
    captions = read_captions(folder / "texts" / f"{id_}.txt")
    return Source(id_, splits[id_], joints_to_features(joints, skeleton, local), captions, skeleton.name, "local")


def _read_features(folder: Path, splits: dict[str, str]) -> Iterator[Source]:
    for id_, split in splits.items():
        path = folder / "new_joint_vecs" / f"{id_}.npy"
        if not path.is_file():  # both data sets list a few clips that they do not ship
            continue
        features = np.load(path).astype(np.float32)
        skeleton = {263: "smpl22", 251: "kit21"}.get(features.shape[1])
        if skeleton is None:
            raise ValueError(f"{path} has {features.shape[1]} features a frame; HumanML3D has 263, KIT-ML 251.")
        yield Source(id_, split, features, read_captions(folder / "texts" / f"{id_}.txt"), skeleton, "ik")
