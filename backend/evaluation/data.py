"""Captured clips to measure against."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..data.dataset import Clip as Entry
from ..data.dataset import Dataset, build
from ..models.bundle import Bundle
from ..motion.clip import Clip, clip_from_features
from ..protocol.errors import Code, MotionGPTError


def open_data(folders: Sequence[Path], bundle: Bundle, out: Path) -> Dataset:
    """The data set of source folders, built in `out`, or the one built folder given; with the bundle's statistics.

    MotionGPTError if its skeleton or the form of its features is not the bundle's.
    """
    built = len(folders) == 1 and (folders[0] / "dataset.json").is_file()
    dataset = Dataset(folders[0]) if built else build(folders, out)
    if (dataset.skeleton.name, dataset.facts["rotations"]) != (bundle.skeleton, bundle.rotations):
        raise MotionGPTError(
            Code.INVALID_PARAMS,
            f"The data has skeleton {dataset.skeleton.name} and rotations {dataset.facts['rotations']}, "
            f"the bundle {bundle.name} {bundle.skeleton} and {bundle.rotations}.",
            "Evaluate the bundle on data of the form that it was trained on.",
        )
    dataset.mean, dataset.std = bundle.mean, bundle.std
    return dataset


def to_clip(dataset: Dataset, entry: Entry, begin: int = 0, end: int | None = None) -> Clip:
    """Frames `begin` to `end` of a captured clip, starting at the origin."""
    features = np.array(dataset.of(entry)[begin:end])
    return clip_from_features(features, dataset.skeleton, dataset.facts["rotations"])
