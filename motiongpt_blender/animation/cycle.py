"""Clips that begin anew where they end."""

from dataclasses import replace

import numpy as np

from ...backend.motion import rotations
from ...backend.motion.clip import Clip


def closed(clip: Clip, turn: np.ndarray, travel: np.ndarray) -> Clip:
    """A loop with its first frame once more at its end, where one cycle turned by `turn (4,)` and then moved it by `travel (3,)`."""
    local = clip.local[:1].copy()
    local[:, 0] = rotations.multiply(turn, local[:, 0])
    root = rotations.rotate(turn, clip.root[:1]) + travel
    return replace(
        clip,
        local=rotations.continuous(np.concatenate([clip.local, local])),
        root=np.concatenate([clip.root, root]),
        contacts=np.concatenate([clip.contacts, clip.contacts[:1]]),
    )
