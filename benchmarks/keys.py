"""How long a clip of 196 frames on 22 joints takes to write, and a pose to read, beside Blender's other ways of keying the same.

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
from typing import Any

ROOT = Path(__file__).parents[1]
FRAMES = 196
RUNS = 5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--zip", type=Path, help="the built extension; by default the newest in build/extension")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    arguments = parser.parse_args()
    if arguments.zip:
        os.environ["MOTIONGPT_ZIP"] = str(arguments.zip)
    with tempfile.TemporaryDirectory(prefix="motiongpt-benchmark-") as folder:
        os.environ["BLENDER_USER_RESOURCES"] = folder  # before bpy is imported
        figures = measure()
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


def measure() -> dict[str, float]:
    """The figures, printed as they come."""
    sys.path.insert(0, str(ROOT / "tests" / "blender"))
    import bpy
    import numpy as np
    import rigs

    rig = rigs.add_rig()
    bpy.data.batch_remove(rig.children)  # it is the keys that are timed, not what they deform
    local, root = rigs.some_motion(FRAMES)
    clip = rigs.Clip(local, root, np.ones((FRAMES, 4), dtype=bool), 24.0, rigs.SMPL)
    depsgraph = bpy.context.evaluated_depsgraph_get()
    write = rigs.module("motiongpt_blender.animation.clip").write_clip
    reader = rigs.module("motiongpt_blender.rigs.rig")
    known = reader.read_rig(rig)
    channels = rigs.module("motiongpt_blender.animation.clip").clip_to_channels(rig, depsgraph, clip)

    def with_keyframe_insert() -> None:
        for channel in channels:
            bone = rig.pose.bones[channel.bone]
            for frame, values in enumerate(channel.values, start=1):
                setattr(bone, channel.property, values)
                bone.keyframe_insert(channel.property, frame=frame)

    def bone_by_bone() -> None:
        """As scripts do that place bones by their matrices: each must be evaluated before the next."""
        for frame in range(1, FRAMES + 1):
            for channel in channels:
                setattr(rig.pose.bones[channel.bone], channel.property, channel.values[frame - 1])
                bpy.context.view_layer.update()

    reading = fastest(lambda: [reader.read_pose(known, rig, depsgraph) for _ in range(20)]) / 20
    writing = fastest(lambda: write(rig, depsgraph, clip, 1, "a benchmark"))
    inserting = fastest(lambda: fresh(rig, with_keyframe_insert), runs=2)
    updating = fastest(lambda: fresh(rig, bone_by_bone), runs=1)
    print(f"{FRAMES} frames, {len(known.bones)} joints, Blender {bpy.app.version_string}", flush=True)
    rows = {"write a clip": writing, "keyframe_insert": inserting, "bone by bone": updating, "read a pose": reading}
    for name, seconds in rows.items():
        print(f"  {name:16} {seconds * 1000:9.2f} ms   {seconds / inserting:8.4f} of keyframe_insert")
    return {
        "ms": round(writing * 1000, 3),
        "ratio_to_keyframe_insert": round(writing / inserting, 4),
        "keyframe_insert_ms": round(inserting * 1000, 3),
        "bone_by_bone_ms": round(updating * 1000, 3),
        "read_ms_per_pose": round(reading * 1000, 4),
    }


def fastest(run: Callable[[], object], runs: int = RUNS) -> float:
    """Seconds of the fastest of `runs` runs: the others had other things to wait for."""
    seconds = []
    for _ in range(runs):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def fresh(rig: Any, run: Callable[[], None]) -> None:
    """Run with an armature that has no action."""
    rig.animation_data_clear()
    run()


if __name__ == "__main__":
    raise SystemExit(main())
