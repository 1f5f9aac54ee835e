"""Show the whole chain as an animator uses it: install the zip in Blender, pose the SMPL character, generate, look.

Run with an interpreter that has the bpy module. Leaves demo.blend, demo.png, demo.mp4 and report.json in the output folder.
"""

import argparse
import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
PACKAGE = "bl_ext.user_default.motiongpt"
PROMPT = "a person walks forward and waves with the right hand"
SECONDS = 4.0
SEED = 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--zip", type=Path, required=True, help="the built extension")
    parser.add_argument("--backend", type=Path, default=ROOT / ".venv-backend", help="folder of the backend's environment")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "demo", help="output folder")
    arguments = parser.parse_args()

    out = arguments.out.absolute()
    resources = out / "blender"
    shutil.rmtree(resources, ignore_errors=True)
    resources.mkdir(parents=True)
    os.environ["BLENDER_USER_RESOURCES"] = str(resources)  # before bpy is imported
    with output_in(out / "blender.log"):
        report = make(arguments.zip.absolute(), arguments.backend.absolute(), out)
    (out / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(report))
    return 0


@contextlib.contextmanager
def output_in(log: Path) -> Iterator[None]:
    """Have what Blender says on stdout, a line for every rendered frame, go to a file."""
    sys.stdout.flush()
    stdout = os.dup(1)
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        try:
            yield
        finally:
            sys.stdout.flush()
            os.dup2(stdout, 1)
            os.close(stdout)


def make(zip_file: Path, backend: Path, out: Path) -> dict[str, Any]:
    """The demo's files in `out`, and what was measured on the way."""
    import bpy
    import demo_scene

    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    bpy.ops.extensions.package_install_files(filepath=str(zip_file), repo="user_default", enable_on_install=True)
    bpy.context.preferences.addons[PACKAGE].preferences.backend_folder = str(backend)

    bpy.ops.motiongpt.add_smpl_rig()
    rig = bpy.context.object
    demo_scene.strike_pose(rig)
    stood_in = bone_matrices(rig)

    bpy.ops.motiongpt.backend_start(wait=True)
    session = sys.modules[f"{PACKAGE}.motiongpt_blender.jobs"].session
    start = time.perf_counter()
    bpy.ops.motiongpt.generate(prompt=PROMPT, seconds=SECONDS, seed=SEED, pose_use="FIRST", wait=True)
    generated = time.perf_counter() - start
    model, reply = session.model, session.reply
    clip = reply.clips[0]
    bpy.ops.motiongpt.backend_stop()

    scene = bpy.context.scene
    scene.frame_end = round(rig.animation_data.action.frame_range[1])
    scene.frame_set(scene.frame_start)
    error_mm, error_deg = pose_error(stood_in, bone_matrices(rig))
    demo_scene.build_stage(rig)
    bpy.ops.wm.save_as_mainfile(filepath=str(out / "demo.blend"), compress=True)
    demo_scene.render_strip(rig, out / "demo.png", every=0.5)
    demo_scene.render_film(out / "demo.mp4")
    return {
        "frames": len(clip.root_translation),
        "fps": reply.fps,
        "tokens": reply.tokens,
        "tokens_per_second": round(reply.tokens_per_second, 1),
        "constraint_error_mm": round(error_mm, 6),
        "constraint_error_deg": round(error_deg, 6),
        "foot_slide_mm_per_frame": round(clip.foot_slide_mm_per_frame, 3),
        "seconds": {
            "start": round(session.start_seconds, 2),
            "load": round(model.seconds, 2),
            "generate": round(reply.seconds, 2),
            "write": round(generated - reply.seconds, 3),
        },
        "bundle": model.bundle,
        "device": model.device,
    }


def bone_matrices(rig: Any) -> np.ndarray:
    """World matrices `(n, 4, 4)` of the bones as Blender evaluates them."""
    import bpy

    evaluated = rig.evaluated_get(bpy.context.evaluated_depsgraph_get())
    return np.array([evaluated.matrix_world @ bone.matrix for bone in evaluated.pose.bones], dtype=np.float64)


def pose_error(wanted: np.ndarray, found: np.ndarray) -> tuple[float, float]:
    """The worst distance in millimetres and the worst angle in degrees between bones `(n, 4, 4)`."""
    millimetres = 1000.0 * np.linalg.norm(wanted[:, :3, 3] - found[:, :3, 3], axis=-1)
    turn = np.swapaxes(wanted[:, :3, :3], -1, -2) @ found[:, :3, :3]
    sine = np.linalg.norm(turn - np.swapaxes(turn, -1, -2), axis=(-2, -1)) / np.sqrt(8.0)
    cosine = (np.trace(turn, axis1=-2, axis2=-1) - 1.0) / 2.0
    return float(millimetres.max()), float(np.degrees(np.arctan2(sine, cosine)).max())


if __name__ == "__main__":
    raise SystemExit(main())
