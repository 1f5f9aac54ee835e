"""What is drawn for training: clips, and the actions that were found in them, rare ones more often than they are."""

from collections.abc import Sequence

import numpy as np

from ..data.dataset import Clip, Dataset
from ..data.sources import Caption


class Scenes:
    """The clips of a split, with their captions: those that came with them, and the actions found in them by kind."""

    def __init__(self, clips: Sequence[Clip], evenness: float) -> None:
        self.clips = [clip for clip in clips if any(not c.action for c in clip.captions)]
        self.actions: dict[str, list[tuple[Clip, Caption]]] = {}
        for clip in clips:
            for caption in clip.captions:
                if caption.action:
                    self.actions.setdefault(caption.action, []).append((clip, caption))
        odds = np.array([len(found) for found in self.actions.values()], dtype=float) ** evenness
        self.odds = odds / odds.sum()

    @classmethod
    def of(cls, dataset: Dataset, split: str, shortest: int, evenness: float) -> "Scenes":
        """The clips of a split that have at least so many frames."""
        return cls([clip for clip in dataset.split(split) if clip.frames >= shortest], evenness)

    def draw(self, rng: np.random.Generator, described_share: float) -> tuple[Clip, Caption]:
        """A clip and one of its captions."""
        if self.actions and rng.random() < described_share:
            found = self.actions[str(rng.choice(list(self.actions), p=self.odds))]
            return found[int(rng.integers(len(found)))]
        clip = self.clips[int(rng.integers(len(self.clips)))]
        captions = [c for c in clip.captions if not c.action]
        return clip, captions[int(rng.integers(len(captions)))]
