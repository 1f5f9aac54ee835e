"""Clips that begin anew where they end."""

from dataclasses import replace

import numpy as np

from ...backend.motion import rotations
from ...backend.motion.clip import Clip
from ...backend.motion.features import facing, turn_between

_STRAIGHT = np.cos(np.radians(10.0) / 2)  # loops turn by much or not at all, and what is seen of it here is a little off


def closed(clip: Clip) -> Clip:
    """A loop with its first frame once more at its end, moved on by what one cycle travels and turned by what it turns."""
    faced = facing(clip.joints[[0, 1, -2, -1]], clip.skeleton)
    begins, ends = (rotations.to_vector(turn_between(faced[i], faced[i + 1])) for i in (0, 2))
    turn = rotations.multiply(rotations.from_vector((begins + ends) / 2), turn_between(faced[0], faced[3]))
    if abs(turn[0]) > _STRAIGHT:
        turn = rotations.IDENTITY
    local = clip.local[:1].copy()
    local[:, 0] = rotations.multiply(turn, local[:, 0])
    root = clip.root[-1] + (clip.root[-1] - clip.root[-2] + rotations.rotate(turn, clip.root[1] - clip.root[0])) / 2
    root[1] = clip.root[0, 1]
    return replace(
        clip,
        local=rotations.continuous(np.concatenate([clip.local, local])),
        root=np.concatenate([clip.root, root[None]]),
        contacts=np.concatenate([clip.contacts, clip.contacts[:1]]),
    )
