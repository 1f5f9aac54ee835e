"""Repeated runs: their median, and how far they lie apart."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """The median of runs, and the least and the most."""

    median: float
    least: float
    most: float

    def __str__(self) -> str:
        return f"{self.median:9.4g}  ({self.least:.4g} to {self.most:.4g})"


def figure(values: list[float]) -> Figure:
    return Figure(statistics.median(values), min(values), max(values))


def seconds(run: Callable[[], object], runs: int = 5) -> Figure:
    """How long `run` takes."""
    return figure([once(run) for _ in range(runs)])


def interleaved(ways: Mapping[str, Callable[[], object]], runs: int = 5) -> dict[str, Figure]:
    """How long several ways take, each once in turn, so that what else the machine does meets all of them alike."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(runs):
        for name, run in ways.items():
            taken[name].append(once(run))
    return {name: figure(values) for name, values in taken.items()}


def once(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began
