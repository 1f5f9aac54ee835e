"""The tasks that a bundle is measured by. Each returns figures by name, with 95 % intervals where they are means over samples."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..data.dataset import Clip as Entry
from ..data.dataset import Dataset
from ..generation import Generator
from ..language.decoding import Sampling
from ..motion import rotations
from ..motion.clip import Clip, clip_from_features
from ..motion.features import facing, turn_between
from ..motion.feet import below_floor, slide, slides
from ..motion.finish import finish
from ..motion.fit import Constraint, errors
from ..protocol.messages import ATTEMPTS, GUIDANCE, Generate, Segment
from ..training.tokenizer import reconstruction_errors
from .checks import Signals, passes
from .data import to_clip
from .drafts import Wish, make_drafts
from .statistics import interval, ratio_interval

Figures = dict[str, Any]
PLACES = ("first", "last", "both", "keys")
_LONGEST_SECONDS = 6.0  # of the captured clips that are used for control
_PACE_SECONDS = 0.15  # to both sides of a pose
_WALKING = 0.5  # metres a second
_FORWARD = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class Effort:
    """How much is computed.

    Captured clips that are reconstructed, those that poses are taken of, samples of each; samples of a prompt, each the best of
    so many attempts, and every which prompt; clips that are made for the figures of distributions. `guidance` of all samples, and for how
    many positions.
    """

    reconstructed: int = 1000
    clips: int = 40
    samples: int = 4
    prompt_samples: int = 10
    attempts: int = ATTEMPTS
    prompt_stride: int = 1
    matches: int = 192
    guidance: float = GUIDANCE
    guided: int = Sampling.guided
    seed: int = 0


QUICK = Effort(reconstructed=24, clips=6, samples=2, prompt_samples=2, prompt_stride=6, matches=32)


def load_prompts() -> list[dict[str, Any]]:
    """The prompt suite: `prompt`, `seconds`, `checks`, perhaps `captions` (a pattern) and `paraphrase`."""
    return json.loads((Path(__file__).parent / "prompts.json").read_text(encoding="utf-8"))["prompts"]


def tokenizer(generator: Generator, dataset: Dataset, split: str, effort: Effort) -> Figures:
    """Reconstruction of the clips of a split."""
    entries = _spread(dataset.split(split), effort.reconstructed)
    found = reconstruction_errors(generator.tokenizer, dataset, entries, generator.device)
    names = {"mpjpe_mm": "path_mm", "mpjpe_aligned_mm": "aligned_mm", "codebook_use": "codebook_use", "rotation_deg": "rotation_deg"}
    return {name: found[theirs] for name, theirs in names.items() if theirs in found}


@dataclass(frozen=True)
class Case:
    """A captured clip with its caption, cut to a whole number of codes, and what was made of it: drafts by what was given."""

    entry: Entry
    caption: str
    real: Clip
    length: int
    drafts: dict[str, list[Clip]]

    def constraints(self, place: str) -> tuple[Constraint, ...]:
        """The poses of the captured clip that are given."""
        last = len(self.real) - 1
        frames = {"first": [0], "last": [last], "both": [0, last], "keys": [last // 4, last // 2, 3 * last // 4]}[place]
        return tuple(Constraint(f, self.real.local[f], self.real.root[f]) for f in frames)


def make_cases(generator: Generator, dataset: Dataset, split: str, effort: Effort) -> list[Case]:
    """Drafts of captioned clips of a split, spread over it: with the text alone, and with the text and each kind of poses."""
    bundle = generator.bundle
    per_code = bundle.network.frames_per_code
    most = int(min(_LONGEST_SECONDS * bundle.fps // per_code, bundle.longest))
    entries = [e for e in dataset.split(split) if e.captions and e.frames >= 8 * per_code]
    chosen = _spread(entries, effort.clips)
    rng = np.random.default_rng(effort.seed)
    cases = []
    for entry in chosen:
        caption = entry.captions[int(rng.integers(len(entry.captions)))]
        part = dataset.part(entry, caption)
        length = min(most, len(part) // per_code)
        clip = clip_from_features(np.array(part[: length * per_code]), dataset.skeleton, dataset.facts["rotations"])
        cases.append(Case(entry, caption.text, clip, length, {}))
    for place in ("", *PLACES):
        given = [case.constraints(place) if place else () for case in cases]
        wishes = [Wish(c.caption, c.length, g) for c, g in zip(cases, given, strict=True) for _ in range(effort.samples)]
        drafts = make_drafts(generator, wishes, effort.seed, effort.guidance, effort.guided)
        for i, case in enumerate(cases):
            case.drafts[place] = drafts[i * effort.samples : (i + 1) * effort.samples]
    return cases


def control(cases: Sequence[Case]) -> Figures:
    """The mean joint error at the given poses with place and heading aligned, with the condition over without it, nothing corrected.

    `best_ratio` is that of the best of the samples of a clip, with the condition as without. `pace` is how fast samples go at the
    given poses over how fast the captured clip does, where it walks: who passes a pose need not stop in it; `pace_without` is that
    of samples that are given none.
    """
    figures: Figures = {}
    for place in PLACES:
        found = {given: np.array([[_pose_error(d, c, place) for d in c.drafts[given]] for c in cases]) for given in (place, "")}
        with_, without = found[place].mean(axis=1), found[""].mean(axis=1)
        figures[place] = {
            "error_ratio": float(with_.mean() / without.mean()),
            "error_ratio_interval": ratio_interval(with_, without),
            "best_ratio": float(found[place].min(axis=1).mean() / found[""].min(axis=1).mean()),
            "with_mm": float(with_.mean()),
            "without_mm": float(without.mean()),
            "pace": _pace(cases, place, place),
            "pace_without": _pace(cases, place, ""),
        }
    return figures


def constraint(cases: Sequence[Case], effort: Effort) -> tuple[Figures, list[tuple[Clip, Clip]]]:
    """The worst errors at given poses after the fit, with poses of the clip and with poses far from anything; and the clips, fitted."""
    figures: Figures = {}
    made: list[tuple[Clip, Clip]] = []
    rng = np.random.default_rng(effort.seed)
    for place in PLACES:
        worst, jolts = [], []
        for case in cases:
            for draft in case.drafts[place]:
                for far in (False, True):
                    given = [_far(c, rng) for c in case.constraints(place)] if far else list(case.constraints(place))
                    placed = draft.placed(given[0].frame, draft.skeleton.forward(given[0].local, given[0].root))
                    clip, _ = finish(placed, given)
                    worst.append(errors(clip, given))
                    jolts.append(_acceleration(clip).max() / _acceleration(placed).max())
                    if not far:
                        made.append((placed, clip))
        millimetres, degrees = np.max(worst, axis=0)
        figures[place] = {"mm": float(millimetres), "deg": float(degrees), "acceleration_ratio_median": float(np.median(jolts))}
    return figures, made


def feet(pairs: Sequence[tuple[Clip, Clip]]) -> Figures:
    """Slide and depth of the worst of finished clips, and what it cost: `pairs` are drafts and what became of them."""
    rows = [(slide(after), below_floor(after), slide(before), below_floor(before)) for before, after in pairs]
    all_slides = np.concatenate([slides(after) for _, after in pairs])
    knees = [np.percentile(np.concatenate([_knee_jolts(clip) for clip in clips]), 99) for clips in zip(*pairs, strict=True)]
    worst, mean = np.max(rows, axis=0), np.mean(rows, axis=0)
    return {
        "slide_mm_per_frame": float(worst[0]),
        "below_floor_mm": float(worst[1]),
        "slide_mm_per_frame_mean": float(mean[0]),
        "still_share": float(np.mean(all_slides <= 1.0)),
        "slide_mm_per_frame_before": float(mean[2]),
        "below_floor_mm_before": float(worst[3]),
        "knee_deg_per_frame2_p99": float(knees[1]),
        "knee_deg_per_frame2_p99_before": float(knees[0]),
    }


def make_prompted(generator: Generator, suite: Sequence[dict[str, Any]], effort: Effort) -> list[list[Clip]]:
    """Samples of every prompt of a suite, as drafts."""
    lengths = [round(p["seconds"] * generator.bundle.fps / generator.bundle.network.frames_per_code) for p in suite]
    wishes = [Wish(p["prompt"], length) for p, length in zip(suite, lengths, strict=True) for _ in range(effort.prompt_samples)]
    drafts = make_drafts(generator, wishes, effort.seed, effort.guidance, effort.guided, effort.attempts)
    return [drafts[i : i + effort.prompt_samples] for i in range(0, len(drafts), effort.prompt_samples)]


def prompts(suite: Sequence[dict[str, Any]], made: Sequence[Sequence[Clip]]) -> Figures:
    """The share of samples that pass the checks of their prompt, and of those that pass the checks of every other prompt."""
    signals = [[Signals(clip) for clip in clips] for clips in made]
    passed = np.array([[np.mean([passes(s, p["checks"]) for s in those]) for those in signals] for p in suite])  # (checks, samples of)
    own, others = np.diag(passed), passed[~np.eye(len(suite), dtype=bool)].reshape(len(suite), -1)
    paraphrases = np.array([bool(p.get("paraphrase")) for p in suite])
    return {
        "pass_rate": float(own.mean()),
        "pass_rate_interval": interval(own),
        "shuffled_pass_rate": float(others.mean()),
        "count": len(suite),
        "samples": len(made[0]),
        "paraphrase_pass_rate": float(own[paraphrases].mean()) if paraphrases.any() else None,
        "each": {p["prompt"]: [float(rate), float(other)] for p, rate, other in zip(suite, own, others.mean(axis=1), strict=True)},
    }


def pass_rate(suite: Sequence[dict[str, Any]], made: Sequence[Sequence[Clip]]) -> float:
    """The share of samples that pass the checks of their own prompt alone."""
    return float(np.mean([[passes(clip, p["checks"]) for clip in clips] for p, clips in zip(suite, made, strict=True)]))


def real_prompts(suite: Sequence[dict[str, Any]], dataset: Dataset) -> Figures:
    """The same checks on captured clips whose captions say that they should pass, and on all others: what the suite is worth."""
    entries = [e for e in dataset.clips if e.captions and not e.id.startswith("M")]
    signals = [Signals(to_clip(dataset, e)) for e in entries]
    rates, other_rates, count = [], [], 0
    for prompt in suite:
        if "captions" not in prompt:
            continue
        told = np.array([any(re.search(prompt["captions"], c.text) for c in e.captions) for e in entries])
        passed = np.array([passes(s, prompt["checks"]) for s in signals])
        if told.any() and not told.all():
            rates.append(passed[told].mean())
            other_rates.append(passed[~told].mean())
            count += int(told.sum())
    if not rates:
        return {}
    return {"pass_rate": float(np.mean(rates)), "other_pass_rate": float(np.mean(other_rates)), "clips": count}


def variety(suite: Sequence[dict[str, Any]], made: Sequence[Sequence[Clip]], dataset: Dataset, most: int = 8) -> Figures:
    """How far samples of a prompt are from each other, over how far captured clips are whose captions say the same."""
    own, real = [], []
    rng = np.random.default_rng(0)
    entries = [e for e in dataset.clips if e.captions and not e.id.startswith("M")]
    for prompt, clips in zip(suite, made, strict=True):
        if "captions" not in prompt:
            continue
        told = [e for e in entries if any(re.search(prompt["captions"], c.text) for c in e.captions) and e.frames >= len(clips[0])]
        if len(told) < 3:
            continue
        chosen = [told[i] for i in rng.permutation(len(told))[:most]]
        real.append(_apart([to_clip(dataset, e, 0, len(clips[0])) for e in chosen]))
        own.append(_apart(clips[:most]))
    if not own:
        return {}
    return {
        "ratio": float(np.mean(own) / np.mean(real)),
        "ratio_interval": ratio_interval(own, real),
        "distance_mm": float(np.mean(own)),
        "real_distance_mm": float(np.mean(real)),
    }


def loops(suite: Sequence[dict[str, Any]], made: Sequence[Sequence[Clip]], most: int = 4) -> Figures:
    """Loops made of the samples of locomotion prompts: what one cycle misses the next by, and how smooth the seam is."""
    rows = []
    for prompt, clips in zip(suite, made, strict=True):
        if prompt["checks"][0]["check"] not in ("forward", "backward", "sideways"):
            continue
        for clip in clips[:most]:
            cycle = finish(clip, loop=True)[1]
            assert cycle is not None
            row = cycle.repeated(3)
            length = len(cycle.clip)
            first = cycle.clip.moved(cycle.turn, cycle.travel)
            missed = np.linalg.norm(row.joints[length] - first.joints[0], axis=-1).max() * 1000.0
            turned = np.degrees(rotations.angle_between(row.local[length], first.local[0]).max())
            jolts = _acceleration(row)
            seam = jolts[2 * length - 2 : 2 * length].max() / np.percentile(jolts[length:-1].max(axis=-1), 99)
            rows.append((missed, turned, seam, np.linalg.norm(cycle.travel) / length * clip.fps, slide(cycle.clip)))
    worst = np.max(rows, axis=0)
    return {
        "mm": float(worst[0]),
        "deg": float(worst[1]),
        "seam_acceleration_ratio_median": float(np.median([r[2] for r in rows])),
        "travel_metres_per_second": float(np.median([r[3] for r in rows])),
        "slide_mm_per_frame": float(worst[4]),
        "count": len(rows),
    }


def duration(generator: Generator, effort: Effort) -> Figures:
    """The share of requests that are answered with exactly the frames asked for, of odd lengths and rates."""
    rng = np.random.default_rng(effort.seed)
    count = 3 * effort.samples
    exact = 0
    for seed in range(count):
        fps = float(rng.choice([20.0, 24.0, 25.0, 29.97, 30.0, 60.0]))
        frames = int(rng.integers(round(0.5 * fps), int(min(5.0, generator.info.max_seconds) * fps)))
        reply = generator.generate(
            Generate((Segment("a person walks forward.", frames),), fps, seed), lambda done, total: None, lambda: False
        )
        exact += all(len(clip.joints) == len(clip.rotations) == frames for clip in reply.clips)
    return {"exact_share": exact / count, "count": count}


def aligned(clip: Clip) -> np.ndarray:
    """Joints `(T, J, 3)` in metres as seen from the root, which faces +Z."""
    joints = clip.joints
    unturn = turn_between(facing(joints, clip.skeleton), _FORWARD)
    return rotations.rotate(unturn[:, None], joints - joints[:, :1] * [1.0, 0.0, 1.0])


def _pose_error(draft: Clip, case: Case, place: str) -> float:
    """Mean joint error (mm) of a draft at the given poses."""
    frames = [c.frame for c in case.constraints(place)]
    return float(np.linalg.norm(aligned(draft)[frames] - aligned(case.real)[frames], axis=-1).mean() * 1000.0)


def _pace(cases: Sequence[Case], place: str, given: str) -> float | None:
    """How fast drafts go at the frames of the poses of a `place` over how fast the captured clips do, where these walk at least."""
    rows = []
    for case in cases:
        for frame in (c.frame for c in case.constraints(place)):
            captured = _speed(case.real, frame)
            if captured > _WALKING:
                rows.append((np.mean([_speed(draft, frame) for draft in case.drafts[given]]), captured))
    made, real = np.sum(rows, axis=0) if rows else (0.0, 0.0)
    return float(made / real) if real else None


def _speed(clip: Clip, frame: int) -> float:
    """How fast (m/s) the root goes over the floor around a frame."""
    around = round(_PACE_SECONDS * clip.fps)
    first, last = max(0, frame - around), min(len(clip) - 1, frame + around)
    return float(np.linalg.norm((clip.root[last] - clip.root[first])[[0, 2]])) / (last - first) * clip.fps


def _apart(clips: Sequence[Clip]) -> float:
    """The mean distance (mm) of all pairs of clips, joint by joint and frame by frame."""
    shortest = min(map(len, clips))
    bodies = [aligned(clip)[:shortest] for clip in clips]
    return float(np.mean([np.linalg.norm(a - b, axis=-1).mean() for a, b in _pairs(bodies)]) * 1000.0)


def _spread(entries: list[Entry], most: int) -> list[Entry]:
    """At most that many of them, at even distances."""
    return [entries[i] for i in np.linspace(0, len(entries) - 1, min(most, len(entries))).round().astype(int)]


def _pairs(values: Sequence[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    return ((a, b) for i, a in enumerate(values) for b in values[i + 1 :])


def _far(given: Constraint, rng: np.random.Generator) -> Constraint:
    """A pose that nobody takes: every joint twisted by some 40 degrees, at another place."""
    twist = rotations.from_vector(rng.normal(0.0, 0.4, (*given.local.shape[:-1], 3)))
    return replace(given, local=rotations.multiply(given.local, twist), root=given.root + rng.normal(0.0, 0.2, 3) * [1.0, 0.2, 1.0])


def _acceleration(clip: Clip) -> np.ndarray:
    return np.linalg.norm(np.diff(clip.joints, 2, axis=0), axis=-1)


def _knee_jolts(clip: Clip) -> np.ndarray:
    """Change of the knees' angular speed, degrees per frame², at 20 frames a second."""
    signals = Signals(clip)
    return np.abs(np.diff([signals.knee("left"), signals.knee("right")], 2, axis=-1)).ravel() * (clip.fps / 20.0) ** 2
