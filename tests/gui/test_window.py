"""A real Blender window, where the workplace has one to lend: `blender-gui` draws it on a virtual screen.

The pictures in build/gui are for people to look at; what the window did is tested.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOL = ROOT.parent / "shared" / "tools" / "blender-gui"
OUT = ROOT / "build" / "gui"
SECONDS = 540


@pytest.fixture(scope="module")
def report() -> dict:
    if not TOOL.is_file():
        pytest.skip(f"There is no {TOOL} to open a window with.")
    backend = Path(os.environ.get("MOTIONGPT_BACKEND", ROOT / ".venv-backend")).absolute()
    zips = sorted((ROOT / "build" / "extension").glob("*-linux_x64.zip"))
    zip_file = os.environ.get("MOTIONGPT_ZIP") or (str(zips[-1]) if zips else pytest.skip("There is no extension to test: `make zip`."))
    OUT.mkdir(parents=True, exist_ok=True)
    for old in OUT.iterdir():
        old.unlink()
    environment = os.environ | {
        "MOTIONGPT_ZIP": str(Path(zip_file).resolve()),
        "MOTIONGPT_BACKEND": str(backend),
        "MOTIONGPT_GUI_OUT": str(OUT),
        "BLENDER_GUI_MOUNTS": ":".join({str(ROOT), str(backend.resolve().parent), sys.base_prefix}),
    }
    drive = Path(__file__).with_name("drive.py")
    subprocess.run([TOOL, "shot", drive, OUT / "end.png", str(SECONDS)], env=environment, check=True, timeout=SECONDS + 300)
    return json.loads((OUT / "report.json").read_text(encoding="utf-8"))


def test_every_step_was_taken(report):
    assert "error" not in report, report["error"]
    assert report["finished"]
    for step in ("character", "generating", "generated", "cancelled", "inbetween", "baking", "baked"):
        assert (OUT / f"{step}.png").stat().st_size > 10_000


def test_clips_came_to_be(report):
    assert report["generated"].startswith("a person walks forward")
    assert report["baked"] == "3 made"
    assert not report["generate_error"] and not report["inbetween_error"] and not report["bake_error"]


def test_cancel_left_nothing(report):
    assert report["actions_after_cancel"] == 0
