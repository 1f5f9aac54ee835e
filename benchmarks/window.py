"""How long Blender's window waits while a clip is made: for the operators that order and cancel it, and for each tick of the timer.

What Blender itself takes to write the undo step in the last tick is told apart: it grows with the file, whatever is undone.

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
LONGEST = 300.0  # seconds to wait for a clip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--zip", type=Path, help="the built extension; by default the newest in build/extension")
    parser.add_argument("--backend", type=Path, default=ROOT / ".venv-backend", help="folder of the backend's environment")
    parser.add_argument("--seconds", type=float, default=9.0, help="length of the clip")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    arguments = parser.parse_args()
    if arguments.zip:
        os.environ["MOTIONGPT_ZIP"] = str(arguments.zip)
    with tempfile.TemporaryDirectory(prefix="motiongpt-benchmark-") as folder:
        os.environ["BLENDER_USER_RESOURCES"] = folder  # before bpy is imported
        figures = measure(arguments.backend.absolute(), arguments.seconds)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


def measure(backend: Path, seconds: float) -> dict[str, float]:
    """The figures of a clip of so many seconds, printed as they come."""
    sys.path.insert(0, str(ROOT / "tests" / "blender"))
    import bpy
    from installed import module, preferences
    from rigs import add_rig

    preferences().backend_folder, preferences().device = str(backend), "cpu"
    jobs = module("motiongpt_blender.jobs")
    add_rig()

    def generate(**options: object) -> None:
        bpy.ops.motiongpt.generate(prompt="a person walks forward", seconds=seconds, seed=1, pose_use="FIRST", **options)

    undo_steps = time_undo_steps(jobs)
    bpy.ops.motiongpt.backend_start(wait=True)
    ordering = timed(generate)
    making, writing = follow(jobs, undo_steps)
    generate(mode="REPLACE")
    making_again, replacing = follow(jobs, undo_steps)
    generate()
    while not jobs.session.fraction:
        jobs._tick()
        time.sleep(jobs._BUSY_INTERVAL_SECONDS)
    cancelling = timed(bpy.ops.motiongpt.cancel)
    began = time.perf_counter()
    follow(jobs, undo_steps)
    until_stopped = (time.perf_counter() - began) * 1000
    jobs.stop_backend()

    made = sorted([*making, *making_again])
    print(f"A clip of {seconds:g} s on the SMPL character, Blender {bpy.app.version_string}; milliseconds of computing")
    figures = {
        "generate returns": ordering,
        "making, median tick": made[len(made) // 2],
        "making, 95 of 100 ticks": made[int(len(made) * 0.95)],
        "making, longest tick": made[-1],
        "new keys, longest tick": max(writing),
        "new keys, all ticks": sum(writing),
        "keys replaced, longest tick": max(replacing),
        "keys replaced, all ticks": sum(replacing),
        "Blender's undo step": max(undo_steps),
        "cancel returns": cancelling,
        "from cancel to the end, of the clock": until_stopped,
    }
    for name, milliseconds in figures.items():
        print(f"  {name:40} {milliseconds:9.2f}")
    print(f"  ({len(made)} ticks while two clips were made, {len(writing)} and {len(replacing)} while their keys were written)")
    return {name.replace(", ", "_").replace("'", "").replace(" ", "_") + "_ms": round(value, 3) for name, value in figures.items()}


def time_undo_steps(jobs: ModuleType) -> list[float]:
    """Milliseconds that Blender takes for each undo step from now on."""
    taken, push_undo = [], jobs.push_undo
    jobs.push_undo = lambda message: taken.append(timed(lambda: push_undo(message)))
    return taken


def follow(jobs: ModuleType, undo_steps: list[float]) -> tuple[list[float], list[float]]:
    """Milliseconds of every tick of the timer, undo steps left out, while waiting for a clip and while delivering it."""
    making, writing = [], []
    stop = time.monotonic() + LONGEST
    while jobs.session.busy and time.monotonic() < stop:
        ticks, before = writing if jobs.session.delivering else making, sum(undo_steps)
        milliseconds = timed(jobs._tick)
        ticks.append(milliseconds - (sum(undo_steps) - before))
        time.sleep(jobs._DELIVERING_INTERVAL_SECONDS if jobs.session.delivering else jobs._BUSY_INTERVAL_SECONDS)
    return making, writing


def timed(run: Callable[[], object]) -> float:
    """Milliseconds that the thread computes: those it waits for other programs are not Blender's."""
    began = time.thread_time()
    run()
    return (time.thread_time() - began) * 1000


if __name__ == "__main__":
    raise SystemExit(main())
