"""Run by Blender, in a window: use the extension as an animator does who has just got it, and leave pictures and a report in a folder.

What to use comes in environment variables: MOTIONGPT_ZIP, MOTIONGPT_WHEELS, and MOTIONGPT_GUI_OUT for the folder. Buttons are clicked
and texts typed (see hands.py); only what Blender's own interface is used for is done by scripts.
Each step is written to the report as it ends, so that a run that is cut off says how far it came.
"""

import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import bpy

sys.path.insert(0, os.environ["MOTIONGPT_GUI_SCRIPTS"])
from hands import Waits, area_of, click, region_of, write

OUT = Path(os.environ["MOTIONGPT_GUI_OUT"])
PACKAGE = "bl_ext.user_default.motiongpt"
PROMPT = "a person walks forward"

report: dict[str, object] = {}


def main() -> None:
    bpy.context.preferences.view.show_splash = False
    steps = run()

    def advance() -> float | None:
        try:
            return next(steps)
        except StopIteration:
            note(finished=True)
        except Exception:
            subprocess.run(["import", "-window", "root", str(OUT / "error.png")], check=False)
            note(error=traceback.format_exc())
        bpy.ops.wm.quit_blender()
        return None

    bpy.app.timers.register(advance, first_interval=1.0)


def run() -> Waits:
    """The steps, with the seconds to wait in between: Blender draws and its timers run while they wait."""
    bpy.ops.extensions.package_install_files(filepath=os.environ["MOTIONGPT_ZIP"], repo="user_default", enable_on_install=True)
    note(installed=True)
    yield from name_the_wheels()
    yield from set_up()
    yield from add_character()
    yield from start()
    yield from generate()
    yield from cancel()
    yield from fill_in()
    yield from bake_batch()


def name_the_wheels() -> Waits:
    """In the preferences, which are opened in place of the 3D View."""
    area = area_of("VIEW_3D")
    area.type = "PREFERENCES"
    bpy.context.preferences.active_section = "ADDONS"
    bpy.context.window_manager.addon_search = "MotionGPT"
    bpy.ops.preferences.addon_expand(module=PACKAGE)
    yield 1.0
    yield from write("PREFERENCES", "wheels_folder", os.environ["MOTIONGPT_WHEELS"])
    yield from picture("preferences")
    area.type = "VIEW_3D"


def set_up() -> Waits:
    """By the button in the panel, which is there as long as there is no backend."""
    installation = module("installation")
    show_panel()
    yield 1.0
    yield from picture("not_set_up")
    yield from click("VIEW_3D", "motiongpt.backend_setup()")
    yield from until(lambda: installation.job.busy, 5)
    pictures, seen = iter((("setting_up", 0.1), ("installing", 0.65))), []
    name, due = next(pictures)
    began = time.monotonic()
    while installation.job.busy:
        if (step := installation.job.step.partition(":")[0].partition(",")[0]) not in [said for said, _ in seen]:
            seen.append((step, installation.job.fraction))
        if installation.job.fraction >= due:
            yield from picture(name)
            name, due = next(pictures, ("", 2.0))
        yield 0.05
    note(set_up=seen, set_up_seconds=time.monotonic() - began, set_up_error=str(installation.job.error or ""))
    note(backend=installation.state.words)
    yield from picture("set_up")


def add_character() -> Waits:
    for name in ("Cube", "Light", "Camera"):
        bpy.data.objects.remove(bpy.data.objects[name])
    yield from click("VIEW_3D", "motiongpt.add_smpl_rig()")
    yield from until(lambda: bpy.context.object is not None, 5)
    view_all()
    yield from picture("character")


def start() -> Waits:
    yield from click("VIEW_3D", "motiongpt.backend_start()")
    yield from until(lambda: session().words not in ("Backend is not running", "Starting"), 60)
    yield from picture("starting")
    yield from until(lambda: not session().busy, 200)
    note(started=session().words, start_error=str(session().error or ""))
    yield from picture("started")


def generate() -> Waits:
    scene, rig = bpy.context.scene, bpy.context.object
    scene.motiongpt.seconds, scene.motiongpt.seed = 3.0, 1
    yield from write("VIEW_3D", "motiongpt.prompt", PROMPT)
    yield from click("VIEW_3D", "motiongpt.generate()")
    yield from until(lambda: session().words.startswith("Generating") and session().fraction > 0.2, 400)
    yield from picture("generating")
    yield from until(lambda: not session().busy, 240)
    note(generated=action_of(rig), generate_error=str(session().error or ""))
    scene.frame_set(30)
    view_all()
    yield from picture("generated")


def cancel() -> Waits:
    actions = len(bpy.data.actions)
    bpy.context.scene.motiongpt.seconds, bpy.context.scene.motiongpt.variations = 30.0, 8  # time enough to find the button
    yield from click("VIEW_3D", "motiongpt.generate()")
    yield from until(lambda: session().fraction > 0.05, 120)
    yield from click("VIEW_3D", "motiongpt.cancel()")
    yield from until(lambda: not session().busy, 60)
    note(actions_after_cancel=len(bpy.data.actions) - actions, after_cancel=session().words)
    yield from picture("cancelled")
    bpy.context.scene.motiongpt.property_unset("seconds")
    bpy.context.scene.motiongpt.property_unset("variations")


def fill_in() -> Waits:
    scene, rig = bpy.context.scene, bpy.context.object
    key_two_poses(rig, scene)
    yield from write("VIEW_3D", "motiongpt.prompt", "a person bows")
    scene.frame_set(20)
    yield from click("VIEW_3D", "motiongpt.inbetween()")
    yield from until(lambda: not session().busy, 240)
    note(inbetween=action_of(rig), inbetween_error=str(session().error or ""))
    yield from picture("inbetween")


def bake_batch() -> Waits:
    scene = bpy.context.scene
    batch = module("batch.run").batch
    scene.frame_set(1)
    for prompt, seed in (("a person walks forward", 1), ("a person turns around", 2), ("a person jumps", 3)):
        row = scene.motiongpt_batch.rows.add()
        row.prompt, row.seconds, row.seed, row.tags = prompt, 1.0, seed, "demo"
    scene.motiongpt_batch.assets = scene.motiongpt_batch.previews = True
    nla = split_off_nla()
    view_all()
    yield from click("VIEW_3D", "motiongpt.bake_batch()")
    yield from until(lambda: batch.fraction > 0.3 or not batch.running, 240)
    yield from picture("baking")
    yield from until(lambda: not batch.running, 400)
    note(baked=batch.outcome.summary, bake_error=str(batch.error or ""))
    scene.frame_end = 120
    window = next(region for region in nla.regions if region.type == "WINDOW")
    with bpy.context.temp_override(window=bpy.context.window_manager.windows[0], area=nla, region=window):
        bpy.ops.nla.view_all()
    yield from picture("baked")


def key_two_poses(rig: bpy.types.Object, scene: bpy.types.Scene) -> None:
    """A pose at frame 1 and another at frame 48, in an action of their own."""
    rig.animation_data.action = None
    for frame, bend in ((1, 0.0), (48, 0.6)):
        scene.frame_set(frame)
        for bone in rig.pose.bones:
            bone.matrix_basis.identity()
        rig.pose.bones["spine1"].rotation_quaternion = (1.0, bend, 0.0, 0.0)
        for bone in rig.pose.bones:
            bone.keyframe_insert("rotation_quaternion", frame=frame)
        rig.pose.bones["pelvis"].keyframe_insert("location", frame=frame)


def until(condition: Callable[[], bool], seconds: float) -> Waits:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"still waiting; {session().words}")
        yield 0.02


def picture(name: str) -> Waits:
    """Of the whole screen, by ImageMagick: without a graphics card Blender's own pictures of its window stay black."""
    yield 0.3
    subprocess.run(["import", "-window", "root", str(OUT / f"{name}.png")], check=True)


def split_off_nla() -> bpy.types.Area:
    """The lower part of the 3D View, as an NLA editor."""
    with view():
        bpy.ops.screen.area_split(direction="HORIZONTAL", factor=0.3)
    nla = min((area for area in bpy.context.window_manager.windows[0].screen.areas if area.type == "VIEW_3D"), key=lambda area: area.y)
    nla.type = "NLA_EDITOR"
    return nla


def show_panel() -> None:
    """Open the sidebar of the 3D View on the extension's tab, with those sub-panels open that there is room for."""
    for name, closed in (("poses", True), ("backend", False), ("batch", False), ("batch_options", True)):
        panel = getattr(bpy.types, f"MOTIONGPT_PT_{name}")
        bpy.utils.unregister_class(panel)
        panel.bl_options = {"DEFAULT_CLOSED"} if closed else set()
        bpy.utils.register_class(panel)
    area = area_of("VIEW_3D")
    area.spaces.active.show_region_ui = True
    bpy.context.preferences.view.ui_scale = 0.9
    area.tag_redraw()
    bpy.ops.wm.redraw_timer(type="DRAW_WIN_SWAP", iterations=1)
    region_of("VIEW_3D").active_panel_category = "MotionGPT"


def view():
    area = area_of("VIEW_3D")
    region = next(region for region in area.regions if region.type == "WINDOW")
    return bpy.context.temp_override(window=bpy.context.window_manager.windows[0], area=area, region=region)


def view_all() -> None:
    with view():
        bpy.ops.view3d.view_all()


def action_of(rig: bpy.types.Object) -> str:
    action = rig.animation_data.action
    return f"{action.name} {tuple(action.frame_range)}" if action else ""


def session():
    return module("jobs").session


def module(name: str):
    return __import__(f"{PACKAGE}.motiongpt_blender.{name}", fromlist=["*"])


def note(**values: object) -> None:
    report.update(values)
    (OUT / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


main()
