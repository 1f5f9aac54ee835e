"""Run by Blender, in a window: use the extension as an animator does, and leave pictures and a report in a folder.

What to use comes in environment variables: MOTIONGPT_ZIP, MOTIONGPT_BACKEND, and MOTIONGPT_GUI_OUT for the folder.
Each step is written to the report as it ends, so that a run that is cut off says how far it came.
"""

import json
import os
import subprocess
import time
import traceback
from collections.abc import Generator
from pathlib import Path

import bpy

OUT = Path(os.environ["MOTIONGPT_GUI_OUT"])
PACKAGE = "bl_ext.user_default.motiongpt"
PROMPT = "a person walks forward and waves with the right hand"

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
            note(error=traceback.format_exc())
        bpy.ops.wm.quit_blender()
        return None

    bpy.app.timers.register(advance, first_interval=1.0)


def run() -> Generator[float, None, None]:
    """The steps, with the seconds to wait in between: Blender draws and its timers run while they wait."""
    bpy.ops.extensions.package_install_files(filepath=os.environ["MOTIONGPT_ZIP"], repo="user_default", enable_on_install=True)
    preferences = bpy.context.preferences.addons[PACKAGE].preferences
    preferences.backend_folder, preferences.device = os.environ["MOTIONGPT_BACKEND"], "cpu"
    note(installed=True)
    for name in ("Cube", "Light", "Camera"):
        bpy.data.objects.remove(bpy.data.objects[name])
    scene, settings = bpy.context.scene, bpy.context.scene.motiongpt
    with view():
        bpy.ops.motiongpt.add_smpl_rig()
    rig = bpy.context.object
    show_panel()
    yield 1.0
    with view():
        bpy.ops.view3d.view_all()
    yield 1.0
    yield from picture("character")

    settings.prompt, settings.seconds, settings.seed = PROMPT, 3.0, 1
    press("generate")
    yield from until(lambda: session().words.startswith("Generating") and session().fraction > 0.4, 400)
    yield from picture("generating")
    yield from until(lambda: not session().busy, 240)
    note(generated=action_of(rig), generate_error=str(session().error or ""))
    scene.frame_set(30)
    with view():
        bpy.ops.view3d.view_all()
    yield from picture("generated")

    actions = len(bpy.data.actions)
    settings.seconds = 9.0
    press("generate")
    yield from until(lambda: session().fraction > 0.05, 120)
    press("cancel")
    yield from until(lambda: not session().busy, 60)
    note(actions_after_cancel=len(bpy.data.actions) - actions)
    yield from picture("cancelled")

    key_two_poses(rig, scene)
    settings.prompt = "a person bows"
    scene.frame_set(20)
    press("inbetween")
    yield from until(lambda: not session().busy, 240)
    note(inbetween=action_of(rig), inbetween_error=str(session().error or ""))
    yield from picture("inbetween")

    yield from bake_batch()


def bake_batch() -> Generator[float, None, None]:
    scene = bpy.context.scene
    batch = module("batch.run").batch
    scene.frame_set(1)
    for prompt, seed in (("a person walks forward", 1), ("a person turns around", 2), ("a person jumps", 3)):
        row = scene.motiongpt_batch.rows.add()
        row.prompt, row.seconds, row.seed, row.tags = prompt, 1.0, seed, "demo"
    scene.motiongpt_batch.assets = scene.motiongpt_batch.previews = True
    nla = split_off_nla()
    with view():
        bpy.ops.view3d.view_all()
    scroll_panel()
    press("bake_batch")
    yield from until(lambda: batch.fraction > 0.5 or not batch.running, 240)
    yield from picture("baking")
    yield from until(lambda: not batch.running, 400)
    note(baked=batch.outcome.summary, bake_error=str(batch.error or ""))
    scene.frame_end = 120
    with bpy.context.temp_override(window=bpy.context.window_manager.windows[0], area=nla, region=region_of(nla, "WINDOW")):
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


def press(name: str) -> None:
    """Call an operator as its button does."""
    with view():
        getattr(bpy.ops.motiongpt, name)("INVOKE_DEFAULT")


def until(condition, seconds: float) -> Generator[float, None, None]:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"still waiting; {session().words}")
        yield 0.02


def picture(name: str) -> Generator[float, None, None]:
    """Of the whole screen, by ImageMagick: without a graphics card Blender's own pictures of its window stay black."""
    yield 1.0
    subprocess.run(["import", "-window", "root", str(OUT / f"{name}.png")], check=True)


def scroll_panel() -> None:
    """Turn the mouse wheel over the sidebar until its end."""
    region = region_of(area_of("VIEW_3D"), "UI")
    x, y = region.x + region.width // 2, bpy.context.window_manager.windows[0].height - region.y - region.height // 2
    subprocess.run(["xdotool", "mousemove", str(x), str(y), "click", "--repeat", "60", "--delay", "20", "5"], check=True)


def split_off_nla() -> bpy.types.Area:
    """The lower part of the 3D View, as an NLA editor."""
    with view():
        bpy.ops.screen.area_split(direction="HORIZONTAL", factor=0.3)
    nla = min((area for area in bpy.context.window_manager.windows[0].screen.areas if area.type == "VIEW_3D"), key=lambda area: area.y)
    nla.type = "NLA_EDITOR"
    return nla


def show_panel() -> None:
    """Open the sidebar of the 3D View on the extension's tab, with those sub-panels open that there is room for."""
    for name, closed in (("poses", True), ("batch", False), ("batch_options", True)):
        panel = getattr(bpy.types, f"MOTIONGPT_PT_{name}")
        bpy.utils.unregister_class(panel)
        panel.bl_options = {"DEFAULT_CLOSED"} if closed else set()
        bpy.utils.register_class(panel)
    area = area_of("VIEW_3D")
    area.spaces.active.show_region_ui = True
    bpy.context.preferences.view.ui_scale = 0.9
    area.tag_redraw()
    bpy.ops.wm.redraw_timer(type="DRAW_WIN_SWAP", iterations=1)
    region_of(area, "UI").active_panel_category = "MotionGPT"


def view():
    area = area_of("VIEW_3D")
    return bpy.context.temp_override(window=bpy.context.window_manager.windows[0], area=area, region=region_of(area, "WINDOW"))


def area_of(kind: str) -> bpy.types.Area:
    return next(area for area in bpy.context.window_manager.windows[0].screen.areas if area.type == kind)


def region_of(area: bpy.types.Area, kind: str) -> bpy.types.Region:
    return next(region for region in area.regions if region.type == kind)


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
