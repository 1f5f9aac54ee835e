"""All tasks in a row: the report as JSON and the table that is printed."""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..data.dataset import Dataset
from ..generation import Generator
from ..motion.features import joints_to_features
from ..motion.finish import finish
from . import distribution, tasks
from .data import open_data
from .drafts import Wish, make_drafts
from .statistics import interval
from .strips import strip, write_png

Figures = dict[str, Any]
_SHORTEST, _LONGEST = 40, 196  # frames of the clips that the published protocol takes


def evaluate(
    generator: Generator,
    folders: Sequence[Path],
    split: str,
    effort: tasks.Effort,
    evaluator: Callable[[Dataset], distribution.Evaluator],
    say: Callable[[str], None],
) -> Figures:
    """Every figure of the report. `evaluator` makes the networks of the distribution figures from the data."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        dataset = open_data(folders, generator.bundle, Path(scratch))
        return _measure(generator, dataset, split, effort, evaluator, say)


def _measure(
    generator: Generator,
    dataset: Dataset,
    split: str,
    effort: tasks.Effort,
    evaluator: Callable[[Dataset], distribution.Evaluator],
    say: Callable[[str], None],
) -> Figures:
    began = time.monotonic()
    say("evaluator")
    networks = evaluator(dataset)  # at once, because what is wrong with them is better known before a quarter of an hour
    report: Figures = {
        "bundle": generator.bundle.name,
        "data": dataset.facts["sources"],
        "split": split,
        "effort": asdict(effort),
        "device": generator.device,
    }
    say("tokenizer")
    report["tokenizer"] = tasks.tokenizer(generator, dataset, split, effort)
    say("poses")
    cases = tasks.make_cases(generator, dataset, split, effort)
    report["control"] = tasks.control(cases)
    report["constraint"], fitted = tasks.constraint(cases, effort)
    say("prompts")
    suite = tasks.load_prompts()[:: effort.prompt_stride]
    made = tasks.make_prompted(generator, suite, effort)
    finished = [[finish(clip)[0] for clip in clips] for clips in made]
    single = [[finish(clip)[0] for clip in clips] for clips in tasks.make_prompted(generator, suite, replace(effort, attempts=1))]
    report["prompts"] = tasks.prompts(suite, finished) | {
        "single_attempt_pass_rate": tasks.pass_rate(suite, single),
        "real": tasks.real_prompts(suite, dataset),
    }
    free = [pair for clips in zip(made, finished, strict=True) for pair in zip(*clips, strict=True)]
    report["feet"] = tasks.feet(free) | {"with_poses": tasks.feet(fitted)}
    report["variety"] = tasks.variety(suite, finished, dataset)
    report["loop"] = tasks.loops(suite, made)
    say("duration")
    report["duration"] = tasks.duration(generator, effort)
    say("distribution")
    report["distribution"] = _distribution(generator, dataset, split, effort, networks)
    report["failures"] = failures(report)
    report["minutes"] = round((time.monotonic() - began) / 60, 1)
    return report


def _distribution(generator: Generator, dataset: Dataset, split: str, effort: tasks.Effort, evaluator: distribution.Evaluator) -> Figures:
    """The published protocol: captured clips of 40 to 196 frames, a random caption each, and a clip made for each.

    What a caption says of a part of a clip is compared with that part. Figures are comparable to published ones where these
    networks are, and where all clips of the split take part: a Frechet distance depends on how many there are.
    """
    per_code = generator.bundle.network.frames_per_code
    rng = np.random.default_rng(effort.seed)
    told = [(e, e.captions[int(rng.integers(len(e.captions)))]) for e in dataset.split(split) if e.captions]
    parts = [(dataset.part(e, caption), caption.text) for e, caption in told]
    parts = [(part, text) for part, text in parts if len(part) >= _SHORTEST]
    count = min(len(parts), effort.matches) // distribution.GROUP * distribution.GROUP
    if not count:
        return {}
    whole = count > len(parts) - distribution.GROUP
    chosen, captions = zip(*(parts[i] for i in rng.permutation(len(parts))[:count]), strict=True)
    lengths = [min(len(part), _LONGEST, generator.bundle.longest * per_code) // per_code for part in chosen]
    local = dataset.facts["rotations"] == "local"

    def points(wishes: list[Wish]) -> np.ndarray:
        clips = make_drafts(generator, wishes, effort.seed, effort.guidance, effort.guided)
        features = [
            joints_to_features(c.joints / dataset.skeleton.metres_per_unit, dataset.skeleton, c.local if local else None) for c in clips
        ]
        return evaluator.motions(features)

    real = evaluator.motions([np.array(part[: n * per_code]) for part, n in zip(chosen, lengths, strict=True)])
    texts = evaluator.texts(captions)
    own = points([Wish(caption, length) for caption, length in zip(captions, lengths, strict=True)])
    several = points([Wish(c, n) for c, n in zip(captions[:12], lengths[:12], strict=True) for _ in range(effort.samples)])
    figures: Figures = {"comparable": evaluator.comparable and whole, "clips": count}
    for name, motions in (("real", real), ("made", own)):
        figures[name] = {
            "r_precision": distribution.precision(motions, texts),
            "mm_dist": distribution.matching(motions, texts),
            "mm_dist_interval": interval(np.linalg.norm(motions - texts, axis=-1)),
            "diversity": distribution.diversity(motions),
        }
    half = len(real) // 2
    figures["real"]["fid"] = distribution.fid(real[:half], real[half:])  # of two halves: what sampling alone makes
    figures["made"]["fid"] = distribution.fid(own, real)
    figures["made"]["multimodality"] = distribution.multimodality(several.reshape(-1, effort.samples, several.shape[-1]))
    return figures


def failures(report: Figures) -> Figures:
    """The three failures that the method is known for, each with the figure that shows it and whether it is held."""
    drift = max(report["control"][place]["error_ratio"] for place in tasks.PLACES)
    prompts, variety = report["prompts"], report["variety"].get("ratio")
    return {
        "drift from the control pose": {"worst error_ratio": drift, "held": drift <= 0.5},
        "text mismatch": {
            "pass_rate": prompts["pass_rate"],
            "held": prompts["pass_rate"] >= 0.8 and prompts["pass_rate"] >= 2.0 * prompts["shuffled_pass_rate"],
        },
        "low diversity": {"variety ratio": variety, "held": variety is not None and variety >= 0.5},
    }


def rows(report: Figures) -> list[tuple[str, str, str]]:
    """The table: task, figure, value with its 95 % interval."""
    found: list[tuple[str, str, str]] = []

    def add(task: str, figures: Figures) -> None:
        for name, value in figures.items():
            if name == "each" or name.endswith("_interval"):
                continue
            if isinstance(value, dict):
                add(f"{task} {name}", value)
            else:
                found.append((task, name, _show(value, figures.get(f"{name}_interval"))))

    for task in ("tokenizer", "control", "constraint", "feet", "prompts", "variety", "loop", "duration", "distribution", "failures"):
        add(task, report.get(task, {}))
    for prompt, (rate, other) in report["prompts"]["each"].items():
        found.append(("prompt", prompt, f"{rate:.2f}, on clips of other prompts {other:.2f}"))
    return found


def _show(value: Any, between: list[float] | None) -> str:
    if isinstance(value, list):
        return " ".join(_show(v, None) for v in value)
    if isinstance(value, float):
        return f"{value:.3g}" + (f" ({between[0]:.3g} to {between[1]:.3g})" if between else "")
    return {True: "yes", False: "no", None: "not measured"}[value] if value is None or isinstance(value, bool) else str(value)


def write_strips(generator: Generator, out: Path, count: int, seed: int) -> list[Path]:
    """A strip of one sample of each of `count` prompts, spread over the suite, as the product hands them over."""
    out.mkdir(parents=True, exist_ok=True)
    suite = tasks.load_prompts()
    chosen = [suite[i] for i in np.linspace(0, len(suite) - 1, min(count, len(suite))).round().astype(int)]
    made = tasks.make_prompted(generator, chosen, tasks.Effort(prompt_samples=1, seed=seed))
    paths = []
    for prompt, clips in zip(chosen, made, strict=True):
        name = "".join(c if c.isalnum() else "-" for c in prompt["prompt"].strip(".").lower())
        paths.append(out / f"{name}.png")
        write_png(paths[-1], strip(finish(clips[0])[0]))
    return paths
