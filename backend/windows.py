"""Motion longer than the language model answers at once, and of several prompts: windows that go on from each other."""

from collections.abc import Sequence
from dataclasses import dataclass

OVERLAP = 8  # positions that a window is given of the one before: enough to go on from, and most of it left for what is new


@dataclass(frozen=True)
class Window:
    """Positions `begin` to `end` of a clip, answered in the words of segment `segment` after `given` positions before them."""

    segment: int
    begin: int
    end: int
    given: int


def plan(segments: Sequence[int], longest: int, overlap: int = OVERLAP) -> list[Window]:
    """Windows over segments of so many positions each, in order: none longer than `longest`, what it is given included."""
    windows: list[Window] = []
    begin = 0
    for segment, length in enumerate(segments):
        given = min(overlap, begin)
        parts = 1 if length <= longest - given else -(-length // (longest - overlap))
        for part in range(parts):
            end = begin + length * (part + 1) // parts - length * part // parts
            windows.append(Window(segment, begin, end, min(overlap, begin)))
            begin = end
    return windows
