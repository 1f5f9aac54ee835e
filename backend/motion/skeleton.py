"""Skeletons are data: one JSON file each in `skeletons/`, read into one immutable class."""

import json
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from . import rotations

_FOLDER = Path(__file__).parent / "skeletons"


@dataclass(frozen=True)
class Skeleton:
    """A tree of J joints and what the features of its data set need to know about it.

    `chains` are joint indices from the root outwards; `directions (J, 3)` the axis along which each bone lies in the zero
    pose of the data set's own rotations; `offsets (J, 3)` each joint's place in its parent's frame in T-pose, in metres
    (absent where the data set defines no T-pose); `contact_threshold` the squared travel per frame, in the data set's
    units, under which a foot joint counts as resting; `heading_smoothing` the sigma in frames of its heading's filter.
    """

    name: str
    fps: float
    metres_per_unit: float
    contact_threshold: float
    heading_smoothing: float
    joints: tuple[str, ...]
    chains: tuple[tuple[int, ...], ...]
    directions: np.ndarray
    offsets: np.ndarray | None
    across: dict[str, str]
    left_contacts: tuple[str, ...]
    right_contacts: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.joints)

    def index(self, joint: str) -> int:
        return self.joints.index(joint)

    @cached_property
    def parents(self) -> tuple[int, ...]:
        """Parent index of every joint, -1 for the root; parents come before their children."""
        parents = [-1] * len(self)
        for chain in self.chains:
            for parent, child in zip(chain, chain[1:], strict=False):
                parents[child] = parent
        return tuple(parents)

    @cached_property
    def contact_joints(self) -> tuple[int, ...]:
        """The joints of the contact labels, left before right."""
        return tuple(self.index(name) for name in (*self.left_contacts, *self.right_contacts))

    @cached_property
    def rest_heights(self) -> np.ndarray:
        """Height `(J,)` of every joint above the lowest one in T-pose, metres."""
        rest = self.forward(np.tile(rotations.IDENTITY, (len(self), 1)), np.zeros(3))
        return rest[:, 1] - rest[:, 1].min()

    @cached_property
    def rest_height(self) -> float:
        """Height of the root above the lowest joint in T-pose, metres."""
        return float(self.rest_heights[0])

    @cached_property
    def mirrored(self) -> tuple[int, ...]:
        """For every joint the index of its twin on the other side, itself on the midline."""
        swap = {"left": "right", "right": "left"}
        side = [name.split("_", 1) for name in self.joints]
        return tuple(self.index("_".join([swap.get(s[0], s[0]), *s[1:]])) for s in side)

    @cached_property
    def _generations(self) -> list[tuple[list[int], list[int]]]:
        """Parents and their children, those first that are nearest to the root: a generation's turns are computed together."""
        depths = [0]
        for parent in self.parents[1:]:
            depths.append(depths[parent] + 1)
        groups = [[joint for joint, depth in enumerate(depths) if depth == level] for level in range(1, max(depths) + 1)]
        return [([self.parents[joint] for joint in joints], joints) for joints in groups]

    def forward(self, local: np.ndarray, root: np.ndarray, offsets: np.ndarray | None = None) -> np.ndarray:
        """Joint positions `(..., J, 3)` of parent-relative `local (..., J, 4)` and root positions `root (..., 3)`."""
        return self.positions(self.to_global(local), root, offsets)

    def positions(self, turned: np.ndarray, root: np.ndarray, offsets: np.ndarray | None = None) -> np.ndarray:
        """Joint positions `(..., J, 3)` of rotations in the world `turned (..., J, 4)` and root positions `root (..., 3)`."""
        offsets = self.offsets if offsets is None else offsets
        if offsets is None:
            raise ValueError(f"The skeleton {self.name} has no T-pose, so rotations cannot be turned into positions.")
        positions = [root]
        bones = rotations.rotate(turned[..., list(self.parents[1:]), :], offsets[1:])
        for joint, parent in enumerate(self.parents[1:]):
            positions.append(positions[parent] + bones[..., joint, :])
        return np.stack(positions, axis=-2)

    def to_global(self, local: np.ndarray) -> np.ndarray:
        """Parent-relative rotations `(..., J, 4)` to rotations in the world."""
        turned = np.array(local)
        for parents, joints in self._generations:
            turned[..., joints, :] = rotations.multiply(turned[..., parents, :], local[..., joints, :])
        return turned

    def to_local(self, turned: np.ndarray) -> np.ndarray:
        """Rotations in the world `(..., J, 4)` to parent-relative ones."""
        parents = list(self.parents[1:])
        local = rotations.multiply(rotations.inverse(turned[..., parents, :]), turned[..., 1:, :])
        return np.concatenate([turned[..., :1, :], local], axis=-2)


@lru_cache
def load_skeleton(name: str) -> Skeleton:
    """The skeleton called `name`; KeyError, naming those there are, if there is none."""
    path = _FOLDER / f"{name}.json"
    if not path.is_file():
        raise KeyError(f"There is no skeleton {name!r}; known: {', '.join(sorted(p.stem for p in _FOLDER.glob('*.json')))}.")
    fields = json.loads(path.read_text(encoding="utf-8"))
    for name in ("directions", "offsets"):
        fields[name] = np.array(fields[name], dtype=np.float64) if fields.get(name) else None
    for name in ("joints", "left_contacts", "right_contacts"):
        fields[name] = tuple(fields[name])
    fields["chains"] = tuple(map(tuple, fields["chains"]))
    return Skeleton(**fields)


SMPL = load_skeleton("smpl22")
KIT = load_skeleton("kit21")
