"""FID, R-Precision, MM-Dist, Diversity and MultiModality, as the papers of text-to-motion measure them.

Guo et al., "Generating Diverse and Natural 3D Human Motions from Text" (CVPR 2022). All work on points `(N, d)` of an evaluator.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

GROUP = 32  # sentences among which a clip has to find its own


class Evaluator(Protocol):
    """Networks that make points of motions and texts; `comparable` if they are those of the published figures."""

    comparable: bool

    def motions(self, features: Sequence[np.ndarray]) -> np.ndarray: ...

    def texts(self, captions: Sequence[str]) -> np.ndarray: ...


def fid(a: np.ndarray, b: np.ndarray) -> float:
    """The Fréchet distance between the Gaussians of two sets of points."""
    mean = np.sum((a.mean(axis=0) - b.mean(axis=0)) ** 2)
    c, d = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    # The trace of the root of a product of covariances: of its eigenvalues, which are real and not negative.
    values = np.linalg.eigvals(c @ d).real
    return float(mean + np.trace(c) + np.trace(d) - 2.0 * np.sqrt(np.maximum(values, 0.0)).sum())


def precision(motions: np.ndarray, texts: np.ndarray, group: int = GROUP) -> list[float]:
    """The share of clips whose own text is the nearest, among the two nearest, among the three, in groups of `group`."""
    ranks = []
    for first in range(0, len(motions) - group + 1, group):
        apart = _distances(motions[first : first + group], texts[first : first + group])
        ranks.append((apart < np.diag(apart)[:, None]).sum(axis=1))
    ranks = np.concatenate(ranks)
    return [float(np.mean(ranks < top)) for top in (1, 2, 3)]


def matching(motions: np.ndarray, texts: np.ndarray) -> float:
    """The mean distance of a clip to its text (MM-Dist)."""
    return float(np.linalg.norm(motions - texts, axis=-1).mean())


def diversity(motions: np.ndarray, pairs: int = 300, seed: int = 0) -> float:
    """The mean distance of random pairs of clips."""
    rng = np.random.default_rng(seed)
    a, b = rng.integers(len(motions), size=(2, pairs))
    return float(np.linalg.norm(motions[a] - motions[b], axis=-1).mean())


def multimodality(motions: np.ndarray) -> float:
    """The mean distance of clips of one text: `motions (texts, samples, d)`."""
    upper = np.triu_indices(motions.shape[1], 1)
    return float(np.mean([_distances(m, m)[upper].mean() for m in motions]))


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.linalg.norm(a[:, None] - b, axis=-1)
