"""A built data set: `features.npy (N, D)` with all clips one after another, `clips.jsonl` their index, `dataset.json` the rest."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..motion.features import Layout
from ..motion.skeleton import Skeleton, load_skeleton
from .describe import describe
from .sources import Caption, Source, read_folder

_SHORTEST_SECONDS = 0.5  # of what a caption can be about


@dataclass(frozen=True)
class Clip:
    """One clip of a data set: `frames` rows of the feature array from row `start` on."""

    id: str
    split: str
    start: int
    frames: int
    captions: tuple[Caption, ...]


class Dataset:
    """A built data set, its features mapped into memory."""

    def __init__(self, folder: Path) -> None:
        """Open `folder`; FileNotFoundError says how to build one."""
        if not (folder / "dataset.json").is_file():
            raise FileNotFoundError(f"{folder} holds no built data set. Make it with: motiongpt data build --source FOLDER --out {folder}")
        self.folder = folder
        self.facts = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
        self.features: np.ndarray = np.load(folder / "features.npy", mmap_mode="r")
        self.skeleton: Skeleton = load_skeleton(self.facts["skeleton"])
        self.layout = Layout(len(self.skeleton))
        self.mean = np.array(self.facts["mean"], dtype=np.float32)
        self.std = np.array(self.facts["std"], dtype=np.float32)

    @cached_property
    def clips(self) -> list[Clip]:
        lines = (self.folder / "clips.jsonl").read_text(encoding="utf-8").splitlines()
        records = [json.loads(line) for line in lines]
        return [Clip(**{**r, "captions": tuple(Caption(**c) for c in r["captions"])}) for r in records]

    def split(self, name: str) -> list[Clip]:
        return [clip for clip in self.clips if clip.split == name]

    def of(self, clip: Clip) -> np.ndarray:
        """Features `(T, D)` of a clip, not normalised."""
        return self.features[clip.start : clip.start + clip.frames]

    def part(self, clip: Clip, caption: Caption) -> np.ndarray:
        """The features `(T, D)` of what a caption is about: a part of the clip, or all of it."""
        features, (begin, end) = self.of(clip), (round(at * self.skeleton.fps) for at in (caption.start, caption.end))
        return features[begin:end] if end > begin else features


def build(folders: Iterable[Path], out: Path) -> Dataset:
    """Read source folders and write a data set to `out`. ValueError if their skeletons or feature forms differ.

    Training clips get computed captions beside those they come with. Clips that nothing can be learned from are left out, and named.
    """
    sources: list[Source] = []
    for folder in folders:
        for source in tqdm(read_folder(folder), desc=f"read {folder.name}", unit="clip"):
            if fault := _fault(source):
                tqdm.write(f"{folder.name}: {source.id} is left out, because it {fault}")
            else:
                sources.append(source)
    if not sources:
        raise ValueError("The folders hold no clip that their lists name.")
    forms = {(s.skeleton, s.rotations) for s in sources}
    if len(forms) > 1:
        raise ValueError(f"The folders do not go together: {sorted(forms)} (skeleton, form of the rotations).")
    skeleton, rotations = forms.pop()
    features = np.concatenate([s.features for s in sources])
    mean, std = _statistics(features[np.repeat([s.split == "train" for s in sources], [len(s.features) for s in sources])], skeleton)

    out.mkdir(parents=True, exist_ok=True)
    np.save(out / "features.npy", features)
    starts = np.cumsum([0] + [len(s.features) for s in sources]).tolist()
    rng = np.random.default_rng(0)
    with (out / "clips.jsonl").open("w", encoding="utf-8", newline="\n") as index:
        for start, source in zip(starts, sources, strict=False):
            described = _describe(source, rng) if source.split == "train" else ()
            clip = Clip(source.id, source.split, start, len(source.features), (*source.captions, *described))
            index.write(json.dumps(asdict(clip), ensure_ascii=False) + "\n")
    facts = {
        "skeleton": skeleton,
        "rotations": rotations,
        "fps": load_skeleton(skeleton).fps,
        "sources": [folder.name for folder in folders],
        "clips": {split: sum(s.split == split for s in sources) for split in ("train", "val", "test")},
        "mean": mean.tolist(),
        "std": std.tolist(),
    }
    (out / "dataset.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
    return Dataset(out)


def _fault(source: Source) -> str:
    """What is wrong with a clip; nothing if it can be used. Some of HumanML3D's are known not to be numbers."""
    if not np.isfinite(source.features).all():
        return "holds what is no number"
    return "is too short" if len(source.features) < _SHORTEST_SECONDS * load_skeleton(source.skeleton).fps else ""


def _describe(source: Source, rng: np.random.Generator) -> Iterator[Caption]:
    skeleton = load_skeleton(source.skeleton)
    if skeleton.offsets is None:  # heights are told against the T-pose
        return
    for found in describe(source.features, skeleton, rng):
        yield Caption(found.text, found.begin / skeleton.fps, found.end / skeleton.fps, found.action, found.moment)


def _statistics(features: np.ndarray, skeleton: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean `(D,)` and standard deviation `(D,)`, the latter one number per block as the data sets have it."""
    layout = Layout(len(load_skeleton(skeleton)))
    mean, std = features.mean(axis=0), features.std(axis=0)
    for block in (layout.yaw, layout.travel, layout.height, layout.positions, layout.rotations, layout.velocities, layout.contacts):
        std[block] = std[block].mean() or 1.0  # a block that never changes is left as it is
    return mean, std
