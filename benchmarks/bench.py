"""What everything takes, in one run on this machine: a table, and `build/bench/report.json`.

Run with the backend's interpreter; `--blender` names one that has the bpy module, for the part that writes keys, and `--zip` the
built extension. Figures are medians of repeated runs with the least and the most beside them; ways that are compared take turns.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import conftest  # noqa: E402, F401 (makes the package `motiongpt`, as Blender does)
import numpy as np  # noqa: E402
import plain  # noqa: E402
import psutil  # noqa: E402
import torch  # noqa: E402
from motiongpt.motiongpt_blender.connection import Connection  # noqa: E402  # pyright: ignore[reportMissingImports]
from timing import Figure, figure, interleaved, once, seconds  # noqa: E402

from backend.generation import Generator  # noqa: E402
from backend.language.decoding import Agreement, Sampling, answer_ids, begin_answer, sample_codes  # noqa: E402
from backend.language.prompts import Instruction  # noqa: E402
from backend.language.runtime import EngineModel  # noqa: E402
from backend.models.base import cache_folder, find_base  # noqa: E402
from backend.models.bundle import open_bundle  # noqa: E402
from backend.motion.clip import clip_from_features  # noqa: E402
from backend.motion.feet import lock_feet  # noqa: E402
from backend.motion.fit import Constraint, fit  # noqa: E402
from backend.motion.solve import solve_rotations  # noqa: E402
from backend.protocol import jsonrpc, wire  # noqa: E402
from backend.protocol.messages import ATTEMPTS, GUIDANCE, Generate, GenerateReply, Load, Pose, Preview, Segment, Unload  # noqa: E402

WALK = "a person walks forward and waves."
FPS = 20.0
FRAMES = 196  # 9.8 s
POSITIONS = 49
CAPTIONS = (  # whose answers' codes are asked about in every precision
    WALK,
    "a person turns left by about 90 degrees.",
    "someone kicks with the left leg.",
    "a person jumps in place.",
    "a man sits down on a chair.",
    "a person runs in a circle to the right.",
    "someone dances salsa.",
)
PARTS = ("start", "decode", "clip", "variations", "lengths", "stream", "rotations", "keys")

report: dict[str, Any] = {}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blender", type=Path, help="an interpreter with the bpy module; without it no keys are written")
    parser.add_argument("--zip", type=Path, help="the built extension, for the same")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "bench" / "report.json")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure (everything)")
    arguments = parser.parse_args()
    began = time.perf_counter()
    say(f"{psutil.cpu_count(logical=False) or psutil.cpu_count()} cores, {torch.get_num_threads()} threads, torch {torch.__version__}")
    if "start" in arguments.parts:
        start()
    generator = Generator.load(Load(device="cpu"))
    for part in (decode, clip, variations, lengths, stream, rotations):
        if part.__name__ in arguments.parts:
            part(generator)
    if arguments.blender and "keys" in arguments.parts:
        keys(arguments.blender, arguments.zip)
        if "clip_9_8_s" in report:
            report["clip_9_8_s"]["keys"] = report["keys"]["ms"] / 1000
            report["clip_9_8_s"]["seconds"] = round(report["clip_9_8_s"]["seconds"] + report["clip_9_8_s"]["keys"], 4)
    report["minutes"] = round((time.perf_counter() - began) / 60, 2)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    say(f"\n{arguments.json}, {report['minutes']} minutes")
    return 0


def say(text: str) -> None:
    print(text, flush=True)


def row(name: str, value: Figure | float, unit: str, note: str = "") -> None:
    shown = str(value) if isinstance(value, Figure) else f"{value:9.4g}"
    say(f"  {name:46} {shown} {unit} {note}".rstrip())


def request(frames: int = FRAMES, poses: tuple[Pose, ...] = (), **fields: Any) -> Generate:
    return Generate((Segment(WALK, frames),), FPS, seed=1, poses=poses, **fields)


def make(generator: Generator, wanted: Generate, on_preview: Any = None) -> GenerateReply:
    return generator.generate(wanted, lambda done, total: None, lambda: False, on_preview)


def prompts(generator: Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """The prompt of a clip of 9.8 s, the same without its words, and what is told at every position."""
    asked, unasked = (Instruction(words, [], FRAMES / FPS) for words in (WALK, ""))
    return generator.prompt(asked), generator.prompt(unasked), generator.course(asked, POSITIONS)


def start() -> None:
    """From launching the process to ready, and to the first clip; its memory."""
    say("\nstart of the backend process")
    warm = [launch() for _ in range(4)][1:]  # the first puts the files into the page cache
    ready, first, idle, peak, unloaded = (figure([run[i] for run in warm]) for i in range(5))
    row("launch to ready, files in the page cache", ready, "s")
    row("launch to the end of the first clip of 2 s", first, "s")
    row("memory when ready", idle, "MB")
    row("memory at its peak", peak, "MB")
    row("memory after unloading", unloaded, "MB")
    report["start"] = {"warm_seconds": round(ready.median, 3), "first_clip_seconds": round(first.median, 3), "cold_seconds": None}
    report["memory_mb"] = {"idle": round(idle.median), "peak": round(peak.median), "unloaded": round(unloaded.median)}
    if forget_files():
        cold = launch()[0]
        row("launch to ready, files not in the page cache", cold, "s")
        report["start"]["cold_seconds"] = round(cold, 3)
    with tempfile.TemporaryDirectory(prefix="motiongpt-benchmark-") as folder:
        (Path(folder) / "bases").symlink_to(cache_folder() / "bases", target_is_directory=True)
        compiled = launch({"MOTIONGPT_CACHE": folder})[0]
    row("launch to ready, kernels to be compiled (once)", compiled, "s")
    report["start"]["first_ever_seconds"] = round(compiled, 3)


def launch(environment: dict[str, str] | None = None) -> tuple[float, float, float, float, float]:
    """Seconds to ready and to the first clip; MB when ready, at most, and unloaded."""
    before = dict(os.environ)
    os.environ.update(environment or {})
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        connection = Connection(Path(sys.executable), ROOT, Path(folder) / "backend.log")
        try:
            idle = connection.wait(connection.request(package(Load(device="cpu"))), 300.0).memory_mb
            ready = time.perf_counter() - began
            connection.wait(connection.request(package(request(40))), 300.0)
            first = time.perf_counter() - began
            process = psutil.Process(connection.pid)
            peak = peak_mb(process)
            connection.wait(connection.request(package(Unload())), 60.0)
            return ready, first, idle, peak, process.memory_info().rss / 2**20
        finally:
            connection.close()
            os.environ.clear()
            os.environ.update(before)


def package(message: Any) -> Any:
    """A message as the client's own copy of the protocol has it."""
    from motiongpt.backend.protocol import messages  # pyright: ignore[reportMissingImports]
    from motiongpt.backend.protocol import wire as theirs  # pyright: ignore[reportMissingImports]

    return theirs.unpack(getattr(messages, type(message).__name__), wire.pack(message))


def peak_mb(process: psutil.Process) -> float:
    """The most memory that a process has held."""
    status = Path(f"/proc/{process.pid}/status")
    if status.exists():
        line = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return getattr(process.memory_info(), "peak_wset", process.memory_info().rss) / 2**20


def forget_files() -> bool:
    """Ask the system to drop what it keeps in memory of the environment's, the base model's and the bundle's files."""
    if not hasattr(os, "posix_fadvise"):
        return False
    base = find_base(open_bundle().base)
    for folder in (Path(sys.prefix) / "lib", base, ROOT / "backend", cache_folder() / "kernels"):
        for path in folder.rglob("*"):
            if path.is_file():
                with path.open("rb") as file:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return True


def decode(generator: Generator) -> None:
    """Tokens per second after the prompt, and what share that is of reading the weights once for every token."""
    say("\ndecoding, one clip, after the prompt")
    bundle = generator.bundle
    base, tensors = find_base(bundle.base), bundle.adapter_tensors()
    models: dict[str, EngineModel] = {"int8": generator.model} if isinstance(generator.model, EngineModel) else {}
    for precision in ("bfloat16", "float32"):
        models[precision] = EngineModel(base, tensors, bundle.adapter, bundle.network.codes, bundle.network.levels, "cpu", precision)
    slow = plain.load_plain(bundle)
    prompt, without, course = prompts(generator)
    memory = torch.ones(64 * 2**20)

    def engine(precision: str, tokens: int, rows: int = 1) -> Callable[[], object]:
        guidance = Sampling(seed=1, guidance=GUIDANCE if rows == 2 else 1.0)
        return lambda: sample_codes(models[precision], prompt, tokens, guidance, without=without if rows == 2 else None, course=course)

    ways: dict[str, Callable[[int], Callable[[], object]]] = {
        "int8": lambda n: engine("int8", n),
        "int8, guided": lambda n: engine("int8", n, 2),
        "bfloat16": lambda n: engine("bfloat16", n),
        "float32": lambda n: engine("float32", n),
        "transformers' generate, float32": lambda n: lambda: plain.generate(slow, prompt, n),
        "transformers without a cache, float32": lambda n: lambda: plain.without_cache(slow, prompt, n),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    bandwidths: list[float] = []
    for name, way in ways.items():
        way(2)() if "without" not in name else None  # once to warm up
    for turn in range(5):
        bandwidths += [memory.nbytes / once(memory.sum) / 1e9 for _ in range(2)]
        for name, way in ways.items():
            if "without" in name and turn > 1:
                continue  # ten times as slow as all others
            last = once(way(POSITIONS))
            taken[name].append((POSITIONS - 1) / (last - once(way(1))))
    speeds = {name: figure(values) for name, values in taken.items()}
    bandwidth = figure(bandwidths)
    row("memory, read by a sum over 256 MB", bandwidth, "GB/s")
    shape = models["int8"].engine.shape  # pyright: ignore[reportAttributeAccessIssue]
    heads = generator.model.head_tensors()  # pyright: ignore[reportAttributeAccessIssue]
    read_out = sum(heads[name].numel() for name in heads if name == "motion.rows" or name.startswith("finer.readers"))
    shares = {}
    for name, speed in speeds.items():
        each = {"int8": 1, "bfloat16": 2}.get(name.split(",")[0], 4)
        read = (shape.parameters + read_out) * each
        shares[name] = read * speed.median / 1e9 / bandwidth.median
        note = "" if "transformers" in name else f"{read / 1e6:.0f} MB a token, {shares[name]:.0%} of the limit"
        row(name, speed, "tokens/s", note)
    own = speeds["int8"].median
    report["decode"] = {
        "tokens_per_second": round(own, 1),
        "tokens_per_second_guided": round(speeds["int8, guided"].median, 1),
        "ratio_to_generate": round(own / speeds["transformers' generate, float32"].median, 2),
        "ratio_to_no_cache": round(own / speeds["transformers without a cache, float32"].median, 2),
        "share_of_limit": round(shares["int8"], 3),
        "bandwidth_gb_per_second": round(bandwidth.median, 2),
        "all": {name: {k: round(v, 2) for k, v in asdict(speed).items()} for name, speed in speeds.items()},
    }
    row("int8 to generate", report["decode"]["ratio_to_generate"], "times")
    row("int8 to no cache", report["decode"]["ratio_to_no_cache"], "times")
    report["decode"]["off_float32"] = off_float32(generator, models)


def off_float32(generator: Generator, models: dict[str, EngineModel]) -> dict[str, dict[str, float]]:
    """How far the first code's distribution is from that of float32, at every position of answers that float32 gives."""
    found: dict[str, list[torch.Tensor]] = {name: [] for name in models}
    for seed, caption in enumerate(CAPTIONS):
        instruction = Instruction(caption, [], FRAMES / FPS)
        prompt, course = generator.prompt(instruction), generator.course(instruction, POSITIONS)
        codes = sample_codes(models["float32"], prompt, POSITIONS, Sampling(seed=seed), course=course)
        for name, model in models.items():
            with torch.inference_mode():
                sequences = model.begin([begin_answer(model, prompt, course)], POSITIONS)
                for made in range(POSITIONS):
                    found[name].append(model.logits(sequences.last)[0].softmax(-1))
                    sequences.feed(answer_ids(model, codes[:, : made + 1], 1, [] if course is None else [course]))
    exact = torch.stack(found.pop("float32"))
    off = {}
    for name, distributions in found.items():
        other = torch.stack(distributions)
        variation = (other - exact).abs().sum(-1) / 2
        same = (other.argmax(-1) == exact.argmax(-1)).float().mean()
        off[name] = {
            "mean": round(float(variation.mean()), 4),
            "of_99": round(float(variation.quantile(0.99)), 3),
            "same": round(float(same), 3),
        }
        row(
            f"{name}, off float32 (total variation)",
            off[name]["mean"],
            "",
            f"99 % within {off[name]['of_99']}, likeliest the same {same:.1%}",
        )
    return off


def first_pose() -> Pose:
    from backend.motion import rotations as turns
    from backend.motion.skeleton import SMPL

    return Pose(0, np.tile(turns.IDENTITY, (len(SMPL), 1)), np.array([1.0, SMPL.rest_height, 2.0]))


def clip(generator: Generator) -> None:
    """A clip of 9.8 s that starts at a pose, as the product makes it, and its parts one by one."""
    say(f"\na clip of 9.8 s that starts at a pose, guided, the best of {ATTEMPTS}")
    pose = first_pose()
    wanted = request(poses=(pose,))
    reply = make(generator, wanted)
    prompt, without, course = prompts(generator)
    sampling = Sampling(seed=1, guidance=GUIDANCE)
    words = Agreement(torch.zeros(ATTEMPTS))
    codes = sample_codes(generator.model, prompt, POSITIONS, sampling, ATTEMPTS, without=without, course=course, agreement=words)
    attempts = generator.features(codes)
    features = attempts[0]
    made = clip_from_features(features, generator.skeleton, generator.bundle.rotations)
    given = [Constraint(0, pose.rotations, pose.root_translation)]
    line = jsonrpc.result(1, reply)
    with torch.inference_mode():
        parts = interleaved(
            {
                "prompt": lambda: generator.model.begin([prompt, without], POSITIONS + 1),
                "prompt and decoding": lambda: sample_codes(
                    generator.model, prompt, POSITIONS, sampling, ATTEMPTS, without=without, course=course
                ),
                "vq_decoding": lambda: generator.features(codes),
                "ranking": lambda: generator.agreed(words, attempts),
                "rotations": lambda: clip_from_features(features, generator.skeleton, generator.bundle.rotations),
                "constraint_fit": lambda: fit(made, given),
                "feet": lambda: lock_feet(made, [0]),
                "transfer": lambda: wire.unpack(GenerateReply, jsonrpc.decode(jsonrpc.result(1, reply))["result"]),
                "whole": lambda: make(generator, wanted),
            }
        )
    both = parts.pop("prompt and decoding")
    whole = parts.pop("whole")
    figures = {"prompt": parts.pop("prompt").median}
    figures["decoding"] = both.median - figures["prompt"]
    figures |= {name: value.median for name, value in parts.items()}
    for name, value in figures.items():
        row(name.replace("_", " "), value * 1000, "ms")
    row("the whole request, without transfer and keys", whole, "s", f"{len(line) / 1e6:.2f} MB to transfer")
    report["clip_9_8_s"] = {"seconds": round(whole.median + figures["transfer"], 4)} | {k: round(v, 4) for k, v in figures.items()}


def variations(generator: Generator) -> None:
    say("\nvariations of a clip of 9.8 s")
    report["variations"] = {}
    for name, guidance in (("", GUIDANCE), ("_unguided", 1.0)):
        ways = {n: (lambda n=n, g=guidance: make(generator, request(samples=n, candidates=1, guidance=g))) for n in (1, 4, 16)}
        taken = interleaved({str(n): way for n, way in ways.items()}, runs=5)
        for count, value in taken.items():
            row(f"{count} at once, {'guided' if guidance > 1 else 'not guided'}", value, "s")
            report["variations"][f"seconds_{count}{name}"] = round(value.median, 4)
        ratio = taken["16"].median / taken["1"].median
        row("16 to 1", ratio, "times")
        report["variations"][f"ratio_16_to_1{name}"] = round(ratio, 2)


def lengths(generator: Generator) -> None:
    say("\nlength of the motion, guided")
    taken = interleaved({str(s): (lambda s=s: make(generator, request(round(s * FPS)))) for s in (2, 5, 9.8, 20, 60)}, runs=3)
    report["lengths"] = {}
    for length, value in taken.items():
        row(f"{length} s of motion", value, "s", f"{value.median / float(length):.3f} s a second of motion")
        report["lengths"][length] = round(value.median, 4)


def stream(generator: Generator) -> None:
    """How early the first preview comes, and what previews cost."""
    say("\npreviews of a clip of 60 s")
    frames = round(60 * FPS)
    done, shown = [0], []

    def preview(first: int, part: Any) -> None:
        jsonrpc.notification(Preview(1, first, part.local.astype(np.float32), part.root.astype(np.float32)))
        shown.append(done[0])

    def count(now: int, total: int) -> None:
        done[0] = now

    ways = {
        "with": lambda: generator.generate(request(frames), count, lambda: False, preview),
        "without": lambda: generator.generate(request(frames), count, lambda: False),
    }
    taken = interleaved(ways, runs=3)
    overhead = taken["with"].median / taken["without"].median - 1
    early = []
    for length in (2.0, 9.8, 60.0):
        shown.clear()
        generator.generate(request(round(length * FPS)), count, lambda: False, preview)
        early.append(shown[0] / (length * FPS / generator.bundle.network.frames_per_code))
    row("codes that are there when the first frames are shown, at most", max(early) * 100, "%")
    row("previews", float(len(shown)), "in a clip of 60 s")
    row("what they add to the time", overhead * 100, "%")
    report["stream"] = {"first_preview_share": round(max(early), 4), "overhead": round(overhead, 4), "previews": len(shown)}


def rotations(generator: Generator) -> None:
    say("\nrotations of 196 frames from joint positions")
    joints = make(generator, request()).clips[0].joints.astype(np.float64)
    closed = seconds(lambda: solve_rotations(joints, generator.skeleton))
    one = seconds(lambda: plain.optimise_rotations(torch.from_numpy(joints[100]).float()), runs=3)
    row("in closed form", closed.median * 1000, "ms")
    row(f"optimised, {plain.ITERATIONS} iterations a frame", one.median * FRAMES * 1000, "ms", "from one frame's time")
    report["rotations"] = {"ms": round(closed.median * 1000, 2), "optimised_ms": round(one.median * FRAMES * 1000)}


def keys(blender: Path, built: Path | None) -> None:
    say("\nwriting keys in Blender")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "keys.json"
        zipped = ["--zip", str(built)] if built else []
        subprocess.run([str(blender), str(ROOT / "benchmarks" / "keys.py"), *zipped, "--json", str(file)], check=True)
        report["keys"] = json.loads(file.read_text(encoding="utf-8"))


if __name__ == "__main__":
    raise SystemExit(main())
