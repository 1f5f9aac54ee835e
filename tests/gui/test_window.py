"""A real Blender window, where the workplace has one to lend: `blender-gui` draws it on a virtual screen.

In a Blender that has nothing yet the extension is installed and its backend set up, whole and without a network, from a folder of
wheels; then it is used. The buttons are clicked with a mouse. The pictures in build/gui are for people to look at; what the window did
is tested.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TOOL = ROOT.parent / "shared" / "tools" / "blender-gui"
OUT = ROOT / "build" / "gui"
USER = ROOT / "build" / "gui-user"  # what Blender takes for its user's folders
SECONDS = 1500
PICTURES = (
    *("preferences", "not_set_up", "setting_up", "installing", "set_up", "character", "starting", "started"),
    *("generating", "generated", "cancelled", "inbetween", "baking", "baked"),
)


@pytest.fixture(scope="module")
def report() -> Iterator[dict[str, Any]]:
    if not TOOL.is_file():
        pytest.skip(f"There is no {TOOL} to open a window with.")
    wheels = Path(os.environ.get("MOTIONGPT_WHEELS", ROOT / "build" / "wheels")).absolute()
    zips = sorted((ROOT / "build" / "extension").glob("*-linux_x64.zip"))
    zip_file = os.environ.get("MOTIONGPT_ZIP") or (str(zips[-1]) if zips else pytest.skip("There is no extension to test: `make zip`."))
    if not list(wheels.glob("torch-*.whl")):
        pytest.skip(f"There are no wheels in {wheels} to set up the backend from: `make window` fetches them.")
    for folder in (OUT, USER):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    environment = os.environ | {
        "MOTIONGPT_ZIP": str(Path(zip_file).resolve()),
        "MOTIONGPT_WHEELS": str(wheels),
        "MOTIONGPT_GUI_OUT": str(OUT),
        "MOTIONGPT_GUI_SCRIPTS": str(Path(__file__).parent),
        "BLENDER_USER_RESOURCES": str(USER),
        "BLENDER_GUI_MOUNTS": f"{ROOT}:{sys.base_prefix}",
        "PATH": f"{sys.base_prefix}/bin:{os.environ['PATH']}",  # the Python that the wheels are for is found there
    }
    follow([str(TOOL), "shot", str(Path(__file__).with_name("drive.py")), str(OUT / "end.png"), str(SECONDS)], environment)
    yield json.loads((OUT / "report.json").read_text(encoding="utf-8"))
    shutil.rmtree(USER)


def follow(command: list[str], environment: dict[str, str]) -> None:
    """Run the tool until the report has an end; left alone the tool would keep its screen for all of the seconds."""
    stop = time.monotonic() + SECONDS + 300
    with subprocess.Popen(command, env=environment, start_new_session=True) as process:
        while process.poll() is None and time.monotonic() < stop and not has_ended():
            time.sleep(1.0)
        time.sleep(5.0)  # for Blender to quit in peace
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)


def has_ended() -> bool:
    try:
        report = json.loads((OUT / "report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return "finished" in report or "error" in report


def test_every_step_was_taken(report):
    assert "error" not in report, report["error"]
    assert report["finished"]
    for name in PICTURES:
        assert (OUT / f"{name}.png").stat().st_size > 10_000


def test_backend_was_set_up_and_its_progress_seen(report):
    assert not report["set_up_error"]
    assert report["backend"].startswith("PyTorch from the folder of wheels, ")
    steps, shares = zip(*report["set_up"], strict=True)
    for step in ("Installing PyTorch from the folder of wheels", "Installing the other packages", "Preparing the language model"):
        assert step in steps
    assert list(shares) == sorted(shares)
    assert report["started"] == "Ready"
    assert not report["start_error"]


def test_clips_came_to_be(report):
    assert report["generated"].startswith("a person walks forward")
    assert report["baked"] == "3 made"
    assert not report["generate_error"] and not report["inbetween_error"] and not report["bake_error"]


def test_cancel_left_nothing(report):
    assert report["after_cancel"] == "Cancelled."
    assert report["actions_after_cancel"] == 0
