"""What detection looks at: the bones of an armature at rest, without Blender."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...backend.motion.skeleton import SMPL

SPINE = ("spine1", "spine2", "spine3")
OPTIONAL = frozenset({*SPINE, "neck", "left_collar", "right_collar", "left_foot", "right_foot"})
REQUIRED = tuple(joint for joint in SMPL.joints if joint not in OPTIONAL)


@dataclass(frozen=True)
class Bones:
    """`names`, for each bone the index of its parent (-1: none), and in armature space `heads (n, 3)` and `tails (n, 3)`."""

    names: tuple[str, ...]
    parents: tuple[int, ...]
    heads: np.ndarray
    tails: np.ndarray

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        """Of each bone, and at the end (index -1) the bones without a parent."""
        children: list[list[int]] = [[] for _ in range(len(self) + 1)]
        for bone, parent in enumerate(self.parents):
            children[parent].append(bone)
        return tuple(map(tuple, children))

    def above(self, bone: int) -> Iterator[int]:
        """The bones above `bone`, its parent first."""
        while (bone := self.parents[bone]) >= 0:
            yield bone


def missing_joints(joints: Collection[str]) -> list[str]:
    """What a rig with bones for `joints` lacks to be read and written; none of the joints of the spine is "spine"."""
    return [joint for joint in REQUIRED if joint not in joints] + ["spine"] * (not any(joint in joints for joint in SPINE))


def say_joint(joint: str) -> str:
    """A joint in the words that the panel has for it."""
    return joint.replace("_", " ").title()


def spread_spine(joints: Collection[str]) -> dict[str, str]:
    """For each of `joints` that whose place it takes: the uppermost of the spine is `spine3`, on which the arms hang."""
    spine = [joint for joint in SPINE if joint in joints]
    places = {1: SPINE[2:], 2: (SPINE[0], SPINE[2]), 3: SPINE}.get(len(spine), ())
    return {joint: joint for joint in joints} | dict(zip(spine, places, strict=True))
