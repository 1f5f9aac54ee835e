"""What is drawn for training: clips, and the actions that were found in them, rare ones more often than they are."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from ..data.dataset import Clip, Dataset
from ..data.sources import Caption


class Scenes:
    """The clips of a split, with their captions: those that came with them, and the actions found in them by kind.

    Clips that share a caption are of a kind too. All kinds are drawn as often as the power `evenness` of their number makes them.
    """

    def __init__(self, clips: Sequence[Clip], evenness: float) -> None:
        self.clips = [clip for clip in clips if any(not c.action for c in clip.captions)]
        alike = _alike([{c.text for c in clip.captions if not c.action} for clip in self.clips])
        self.clip_odds = _odds(alike, evenness - 1.0)  # of each of so many
        self.actions: dict[str, list[tuple[Clip, Caption]]] = {}
        for clip in clips:
            for caption in clip.captions:
                if caption.action:
                    self.actions.setdefault(caption.action, []).append((clip, caption))
        self.odds = _odds([len(found) for found in self.actions.values()], evenness)
        self.others = {name: [o for o in self.actions if o != name and _of_a_kind(o, name)] for name in self.actions}

    @classmethod
    def of(cls, dataset: Dataset, split: str, shortest: int, evenness: float) -> "Scenes":
        """The clips of a split that have at least so many frames."""
        return cls([clip for clip in dataset.split(split) if clip.frames >= shortest], evenness)

    def draw(self, rng: np.random.Generator, described_share: float) -> tuple[Clip, Caption]:
        """A clip and one of its captions."""
        if self.actions and rng.random() < described_share:
            found = self.actions[str(rng.choice(list(self.actions), p=self.odds))]
            return found[int(rng.integers(len(found)))]
        clip = self.clips[int(rng.choice(len(self.clips), p=self.clip_odds))]
        captions = [c for c in clip.captions if not c.action]
        return clip, captions[int(rng.integers(len(captions)))]

    def contradicting(self, rng: np.random.Generator, caption: Caption) -> str:
        """What is said of another way or turn of the action that a caption tells; nothing if it has none."""
        others = self.others.get(caption.action, [])
        if not others:
            return ""
        told = self.actions[others[int(rng.integers(len(others)))]]
        return told[int(rng.integers(len(told)))][1].text


def _of_a_kind(action: str, other: str) -> bool:
    """Whether two actions are ways or turns of one gait, so that a window shows one of them only.

    They differ in more than the side, which a caption need not name.
    """
    names = [re.sub("_?(left|right)$", "", name) for name in (action, other)]
    return " " in action and action.split()[0] == other.split()[0] and names[0] != names[1]


def _alike(captions: Sequence[set[str]]) -> list[int]:
    """How many clips are of the kind of each: those whose most shared caption is the same."""
    shared = Counter(text for texts in captions for text in sorted(texts))
    kinds = [max(sorted(texts), key=shared.__getitem__) for texts in captions]
    sizes = Counter(kinds)
    return [sizes[kind] for kind in kinds]


def _odds(counts: Iterable[int], power: float) -> np.ndarray:
    odds = np.array(list(counts), dtype=float) ** power
    return odds / odds.sum()
