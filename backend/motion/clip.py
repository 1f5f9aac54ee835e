"""A clip of motion: rotations and path over time, on a skeleton with fixed bones."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from . import rotations
from .features import facing, features_to_contacts, features_to_joints, features_to_local, turn_between
from .skeleton import Skeleton
from .solve import align, solve_rotations


@dataclass(frozen=True)
class Clip:
    """Parent-relative `local (T, J, 4)`, root positions `root (T, 3)` in metres, `contacts (T, 4)` booleans, frames a second."""

    local: np.ndarray
    root: np.ndarray
    contacts: np.ndarray
    fps: float
    skeleton: Skeleton

    def __len__(self) -> int:
        return len(self.root)

    @cached_property
    def joints(self) -> np.ndarray:
        """Joint positions `(T, J, 3)`, kept once they are computed: a clip's rotations and path do not change."""
        return self.skeleton.forward(self.local, self.root)

    def moved(self, turn: np.ndarray, translation: np.ndarray) -> "Clip":
        """The clip turned by `turn (4,)` about the origin and then moved by `translation (3,)`."""
        local = self.local.copy()
        local[:, 0] = rotations.multiply(turn, local[:, 0])
        return replace(self, local=local, root=rotations.rotate(turn, self.root) + translation)

    def placement(self, frame: int, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The turn `(4,)` about the vertical and the way `(3,)` over the floor that bring `frame` to where `joints (J, 3)` are and face."""
        own = self.skeleton.forward(self.local[frame], self.root[frame])
        turn = turn_between(facing(own, self.skeleton), facing(joints, self.skeleton))
        return turn, (joints[0] - rotations.rotate(turn, own[0])) * [1.0, 0.0, 1.0]

    def placed(self, frame: int, joints: np.ndarray) -> "Clip":
        """The clip turned about the vertical and moved on the floor so that at `frame` it stands and faces as `joints (J, 3)` do."""
        return self.moved(*self.placement(frame, joints))

    def at(self, times: np.ndarray) -> "Clip":
        """The clip at `times (N)`, frame numbers with fractions from 0 to the last."""
        low = np.minimum(times.astype(int), max(0, len(self) - 2))
        high, share = np.minimum(low + 1, len(self) - 1), times - low
        return replace(
            self,
            local=rotations.continuous(rotations.slerp(self.local[low], self.local[high], share[:, None])),
            root=self.root[low] + (self.root[high] - self.root[low]) * share[:, None],
            contacts=self.contacts[np.rint(times).astype(int)],
        )

    def resampled(self, frames: int, fps: float) -> "Clip":
        """The clip spread over `frames` frames, first on first and last on last, at `fps`."""
        clip = self if frames == len(self) else self.at(np.linspace(0.0, len(self) - 1.0, frames))
        return replace(clip, fps=fps)


def clip_from_features(features: np.ndarray, skeleton: Skeleton, form: str) -> Clip:
    """The clip of features `(T, D)`, on the floor, starting at the origin and facing +Z.

    `form` says what the rotation block holds: `local` (true parent-relative rotations) or `ik` (nothing of use: the
    rotations are solved from the positions).
    """
    joints = features_to_joints(features, skeleton) * skeleton.metres_per_unit
    if form == "local":
        local = np.concatenate([np.tile(rotations.IDENTITY, (len(joints), 1, 1)), features_to_local(features, skeleton)], axis=1)
        local[:, 0] = align(skeleton.forward(local, np.zeros((len(joints), 3))), joints - joints[:, :1])
    else:
        local = solve_rotations(joints, skeleton)
    contacts = features_to_contacts(features, skeleton)
    return Clip(rotations.continuous(local), joints[:, 0], contacts, skeleton.fps, skeleton)
