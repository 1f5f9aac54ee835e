"""How long Blender's window waits while a clip is made: for the operators that order and cancel it, and for each tick of the timer.

Run with an interpreter that has the bpy module. Prints a table; with `--json FILE` writes the figures too.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]
SECONDS = 9.0  # of the clip
LONGEST = 300.0  # seconds to wait for it


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--zip", type=Path, help="the built extension; by default the newest in build/extension")
    parser.add_argument("--backend", type=Path, default=ROOT / ".venv-backend", help="folder of the backend's environment")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    arguments = parser.parse_args()
    if arguments.zip:
        os.environ["MOTIONGPT_ZIP"] = str(arguments.zip)
    with tempfile.TemporaryDirectory(prefix="motiongpt-benchmark-") as folder:
        os.environ["BLENDER_USER_RESOURCES"] = folder  # before bpy is imported
        figures = measure(arguments.backend.absolute())
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


def measure(backend: Path) -> dict[str, float]:
    """The figures, printed as they come."""
    sys.path.insert(0, str(ROOT / "tests" / "blender"))
    import bpy
    from installed import module, preferences
    from rigs import add_rig

    preferences().backend_folder, preferences().device = str(backend), "cpu"
    jobs = module("motiongpt_blender.jobs")
    add_rig()

    def generate(**options: object) -> None:
        bpy.ops.motiongpt.generate(prompt="a person walks forward", seconds=SECONDS, seed=1, pose_use="FIRST", **options)

    bpy.ops.motiongpt.backend_start(wait=True)
    ordering = timed(generate)
    making, writing = follow(jobs)
    generate()
    while not jobs.session.fraction:
        jobs._tick()
        time.sleep(jobs._BUSY_INTERVAL_SECONDS)
    cancelling = timed(bpy.ops.motiongpt.cancel)
    began = time.perf_counter()
    follow(jobs)
    until_stopped = (time.perf_counter() - began) * 1000
    jobs.stop_backend()

    made = sorted(making)
    print(f"A clip of {SECONDS:g} s on the SMPL character, Blender {bpy.app.version_string}; milliseconds of computing")
    figures = {
        "generate returns": ordering,
        "tick, median": made[len(made) // 2],
        "tick, 95 of 100": made[int(len(made) * 0.95)],
        "tick, longest": made[-1],
        "keys, longest tick": max(writing),
        "keys, all ticks": sum(writing),
        "cancel returns": cancelling,
        "from cancel to the end, of the clock": until_stopped,
    }
    for name, milliseconds in figures.items():
        print(f"  {name:40} {milliseconds:9.2f}")
    print(f"  ({len(made)} ticks while the clip was made, {len(writing)} while its keys were written)")
    return {name.replace(", ", "_").replace(" ", "_") + "_ms": round(value, 3) for name, value in figures.items()}


def follow(jobs: ModuleType) -> tuple[list[float], list[float]]:
    """Milliseconds of every tick of the timer until nothing is being made: while waiting for the clip, and while delivering it."""
    making, writing = [], []
    stop = time.monotonic() + LONGEST
    while jobs.session.busy and time.monotonic() < stop:
        delivering = jobs.session.delivering
        (writing if delivering else making).append(timed(jobs._tick))
        time.sleep(jobs._BUSY_INTERVAL_SECONDS)
    return making, writing


def timed(run: Callable[[], object]) -> float:
    """Milliseconds that the thread computes: those it waits for other programs are not Blender's."""
    began = time.thread_time()
    run()
    return (time.thread_time() - began) * 1000


if __name__ == "__main__":
    raise SystemExit(main())
