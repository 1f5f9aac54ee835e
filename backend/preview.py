"""A clip while it is being made: what its codes show so far, with only that decoded anew which later codes have changed."""

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from .language.engine import one_thread
from .motion.clip import Clip, clip_from_features
from .motion.features import features_to_root
from .motion.fit import Constraint
from .motion.skeleton import Skeleton
from .tokenizer.vqvae import VQVAE

_SHARE = 0.06  # of the time, for previews: a slow computer shows fewer of them
_INTERVAL_SECONDS = 0.1
_LEAD = 2.0  # nats


class Preview:
    """Follows the codes of a clip of `frames` frames at `fps` that is made of `positions` codes.

    It stands where the first given pose stands; where that pose is not the first frame, it begins there, since where it ends
    is not known yet.
    """

    def __init__(
        self,
        tokenizer: VQVAE,
        statistics: tuple[np.ndarray, np.ndarray],
        skeleton: Skeleton,
        form: str,
        positions: int,
        frames: int,
        fps: float,
        anchor: Constraint | None,
    ) -> None:
        self._tokenizer, self._skeleton, self._form, self._fps, self._anchor = tokenizer, skeleton, form, fps, anchor
        self._mean, self._std = statistics
        self._reach = tokenizer.config.reach
        self._per_code = tokenizer.config.frames_per_code
        self._times = np.linspace(0.0, positions * self._per_code - 1.0, frames)
        self._attempt = 0
        self._features = np.empty((0, tokenizer.config.features), np.float32)
        self._began = time.perf_counter()
        self._spent, self._next = 0.0, 0.0

    @property
    def due(self) -> bool:
        """Whether a preview may be made by now."""
        passed = time.perf_counter() - self._began
        return not len(self._features) or (passed >= self._next and self._spent <= _SHARE * passed)

    def show(self, attempts: Sequence[Sequence[Sequence[int]]], agreement: np.ndarray) -> tuple[int, Clip] | None:
        """The frames of the clip, from the first that has changed since the last call; None if the codes so far show none.

        Of several attempts, each with its codes (N, levels) so far, that one is shown which the prompt explains best so far, by its
        `agreement (attempts,)`; another takes its place only with a clear lead.
        """
        began = time.perf_counter()
        best = int(agreement.argmax())
        if agreement[best] > agreement[self._attempt] + _LEAD:
            self._attempt, self._features = best, self._features[:0]
        codes = np.array(attempts[self._attempt])
        known = len(self._features) // self._per_code
        settled = max(0, known - self._reach)  # what lies before no later code has changed
        shown = self._decode(codes, settled)
        first = int(np.searchsorted(self._times, settled * self._per_code))
        last = int(np.searchsorted(self._times, len(self._features) - 1, side="right"))
        clip = None if last <= first else shown.at(self._times[first:last] - settled * self._per_code)
        now = time.perf_counter()
        self._spent += now - began
        self._next = now - self._began + _INTERVAL_SECONDS
        return None if clip is None else (first, replace(self._placed(clip), fps=self._fps))

    def _decode(self, codes: np.ndarray, settled: int) -> Clip:
        """The clip from position `settled` on, in the world of the whole."""
        since = max(0, settled - self._reach)
        with one_thread():  # other threads would go on looking for work while the next codes are computed
            features = self._tokenizer.decode(torch.from_numpy(codes[None, since:]))[0].float().cpu().numpy()
        fresh = features[(settled - since) * self._per_code :] * self._std + self._mean
        begin = settled * self._per_code
        self._features = np.concatenate([self._features[:begin], fresh])
        heading, root = features_to_root(self._features, self._skeleton)
        clip = clip_from_features(fresh, self._skeleton, self._form)
        return clip.moved(heading[begin], root[begin] * [1.0, 0.0, 1.0] * self._skeleton.metres_per_unit)

    def _placed(self, clip: Clip) -> Clip:
        if self._anchor is None:
            return clip
        first = clip_from_features(self._features[:2], self._skeleton, self._form)
        stand = self._skeleton.forward(self._anchor.local, self._anchor.root)
        return clip.moved(*first.placement(0, stand))
