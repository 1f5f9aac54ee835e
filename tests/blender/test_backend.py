"""The backend as the animator looks after it: set up, started, unloaded, removed, and what the preferences do to it."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import bpy
import pytest
from installed import ROOT, module, preferences
from rigs import add_rig

jobs = module("motiongpt_blender.jobs")
installation = module("motiongpt_blender.installation")
upkeep = module("motiongpt_blender.upkeep")
interpreter = module("motiongpt_blender.setup.place").interpreter
settings_of = module("motiongpt_blender.preferences").backend_settings
MotionGPTError = module("backend.protocol.errors").MotionGPTError


@pytest.fixture(autouse=True)
def defaults():
    yield
    if installation.job.busy:
        bpy.ops.motiongpt.backend_setup_cancel(wait=True)
    installation.job.error = jobs.session.error = None
    bpy.context.preferences.system.use_online_access = False
    for name in type(preferences()).__annotations__:
        preferences().property_unset(name)
    installation.refresh()


@pytest.fixture(scope="module")
def torch_wheel(tmp_path_factory) -> Path:
    """A folder with PyTorch's wheel, if pip is told of a place that has one for this Python."""
    folder = tmp_path_factory.mktemp("wheels")
    lines = (ROOT / "backend" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    torch = next(line for line in lines if line.startswith("torch=="))
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-index", "--no-deps", "--dest", str(folder), torch]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip(f"pip knows of no folder with a wheel of {torch} for this Python.")
    return folder


def test_set_up_needs_online_access_or_a_folder_of_wheels(tmp_path):
    with pytest.raises(RuntimeError, match=r"no online access.*Allow it in the preferences"):
        bpy.ops.motiongpt.backend_setup()
    preferences().wheels_folder = str(tmp_path / "nothing")
    with pytest.raises(RuntimeError, match=r"no folder of wheels .*nothing\. Choose another"):
        bpy.ops.motiongpt.backend_setup()
    preferences().wheels_folder = str(tmp_path)
    with pytest.raises(RuntimeError, match=r"has no PyTorch .* Put the wheels"):
        bpy.ops.motiongpt.backend_setup(wait=True)
    assert not installation.job.busy
    assert not installation.state.installed


def test_what_a_failed_set_up_has_left_is_removed(tmp_path):
    """The wheel is none, but its name has uv, which finds out only when it has been unpacked and has made an environment."""
    lines = (ROOT / "backend" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    version = next(line.partition("==")[2] for line in lines if line.startswith("torch=="))
    (tmp_path / f"torch-{version}-cp3{sys.version_info.minor}-none-any.whl").touch()
    preferences().wheels_folder = str(tmp_path)
    with pytest.raises(RuntimeError):
        bpy.ops.motiongpt.backend_setup(wait=True)
    assert (installation.state.installed, installation.state.there) == (False, True)
    assert installation.state.removal.startswith("This deletes what is left of a set-up.")
    bpy.ops.motiongpt.backend_remove(wait=True)
    assert not installation.state.there
    assert not installation.place().folder.exists()


def test_what_an_update_replaces_is_deleted_on_a_thread(monkeypatch):
    threads = []
    monkeypatch.setattr(type(installation.place()), "sweep", lambda place: threads.append(threading.current_thread()))
    installation._after_set_up()
    assert installation.job.busy
    installation.job.wait()
    assert threads and threads[0] is not threading.main_thread()


def test_backend_is_set_up_used_and_removed_from_inside_blender(torch_wheel):
    """The whole way with the real packages: broken off, gone on with, started, a clip made, updated, removed."""
    bpy.context.preferences.system.use_online_access = True
    preferences().wheels_folder = str(torch_wheel)
    preferences().device = "cpu"
    job = installation.job
    assert installation.state.button == "Set Up Backend"

    bpy.ops.motiongpt.backend_setup()
    assert job.busy
    with pytest.raises(RuntimeError, match="being set up"):
        bpy.ops.motiongpt.backend_setup()
    wait_until(lambda: "Installing PyTorch" in job.words)
    bpy.ops.motiongpt.backend_setup_cancel(wait=True)
    assert not job.busy
    assert not installation.state.installed

    bpy.ops.motiongpt.backend_setup(wait=True)
    assert installation.state.usable
    assert "GB" in installation.state.words
    assert installation.place().log.is_file()
    assert not list((Path(installation.ROOT) / "wheels").glob("uv")), "nothing is unpacked into the extension"

    preferences().device = "cpu"
    rig = add_rig()
    bpy.ops.motiongpt.generate(prompt="a person walks forward", seconds=1.0, seed=1, wait=True)
    assert rig.animation_data.action
    assert str(installation.place().folder) in str(jobs.session._settings.python)
    assert list(installation.place().models.rglob("model.safetensors"))

    current = installation.place().folder / "current.json"
    current.write_text(json.dumps(json.loads(current.read_text(encoding="utf-8")) | {"lock": "older"}), encoding="utf-8")
    installation.refresh()
    assert (installation.state.button, installation.state.usable) == ("Update Backend", False)
    bpy.ops.motiongpt.backend_setup(wait=True)
    assert installation.state.usable

    bpy.ops.motiongpt.backend_start(wait=True)
    bpy.ops.motiongpt.backend_remove(wait=True)
    assert not jobs.session.running
    assert not installation.place().folder.exists()
    assert installation.state.words == "The backend is not installed"


def wait_until(so, seconds: float = 120.0) -> None:
    stop = time.monotonic() + seconds
    while not so():
        upkeep.pump()
        assert installation.job.busy, installation.job.error
        assert time.monotonic() < stop
        time.sleep(0.005)


def test_buttons_that_cannot_be_pressed_say_why(tmp_path):
    jobs.stop_backend()
    for operator, why in (
        ("backend_remove", "No backend was set up here"),
        ("backend_unload", "No model is loaded"),
        ("backend_stop", "not running"),
        ("backend_setup_cancel", "Nothing is being set up"),
        ("bundle_folder_remove", "list is empty"),
    ):
        with pytest.raises(RuntimeError, match=why):
            getattr(bpy.ops.motiongpt, operator)()
    preferences().backend_folder = str(tmp_path)
    with pytest.raises(RuntimeError, match="a backend of your own"):
        bpy.ops.motiongpt.backend_setup()


def test_folder_that_the_preferences_name_has_to_have_a_backend(tmp_path):
    preferences().backend_folder = str(tmp_path)
    installation.look_again()
    assert installation.is_pressing()
    assert installation.state.words == "There is no backend in the folder that the preferences name"
    with pytest.raises(RuntimeError, match=rf"no backend in {re.escape(str(tmp_path))}\. Choose another in the preferences"):
        bpy.ops.motiongpt.backend_start()
    interpreter(tmp_path).parent.mkdir()
    interpreter(tmp_path).touch()
    installation.look_again()
    assert not installation.is_pressing()
    assert installation.state.words == "A backend of your own is used"
    assert jobs.session.error is None


def test_what_was_put_right_is_said_no_longer(tmp_path):
    with pytest.raises(RuntimeError, match="no online access"):
        bpy.ops.motiongpt.backend_setup()
    assert installation.trouble()
    bpy.context.preferences.system.use_online_access = True
    assert installation.trouble() is None
    preferences().wheels_folder = str(tmp_path / "nothing")
    with pytest.raises(RuntimeError, match="no folder of wheels"):
        bpy.ops.motiongpt.backend_setup()
    assert installation.trouble()
    preferences().property_unset("wheels_folder")
    installation.look_again()
    assert installation.trouble() is None


def test_backend_that_is_not_set_up_is_named():
    with pytest.raises(RuntimeError, match=r"The backend is not installed\. Press Set Up Backend"):
        bpy.ops.motiongpt.backend_start()


def test_model_is_unloaded_and_loaded_again(session):
    bpy.ops.motiongpt.backend_start(wait=True)
    bpy.ops.motiongpt.backend_unload(wait=True)
    assert session.running
    assert session.words == "No model is loaded"
    bpy.ops.motiongpt.backend_start(wait=True)
    assert session.words == "Ready"


@pytest.mark.parametrize("wait", [False, True])
def test_backend_is_stopped_and_waited_for_only_if_that_is_wanted(session, monkeypatch, wait):
    bpy.ops.motiongpt.backend_start(wait=True)
    connection = session._connection
    asked = []
    real = connection.close
    monkeypatch.setattr(connection, "close", lambda wait=True: (asked.append(wait), real()))
    bpy.ops.motiongpt.backend_stop(wait=wait)
    assert asked == [wait]
    assert not session.running
    assert connection.exit_status == 0


def test_model_that_is_not_used_is_unloaded(session, monkeypatch):
    bpy.ops.motiongpt.backend_start(wait=True)
    assert 0.0 <= session.idle_seconds() < 60.0
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 31 * 60)
    preferences().idle_unload = 0
    upkeep.pump()
    assert session.model
    preferences().idle_unload = 30
    upkeep.pump()
    assert session.words == "Unloading the model"
    session.wait()
    assert session.model is None
    assert session.idle_seconds() == 0.0


def test_preferences_reach_the_backend(session, tmp_path):
    chosen = preferences()
    chosen.precision, chosen.memory_limit, chosen.bundle_folder, chosen.log_level = "int8", 4096, str(tmp_path), "debug"
    settings = settings_of(bpy.context)
    assert (settings.model.device, settings.model.precision, settings.model.memory_limit_mb) == ("cpu", "int8", 4096)
    assert settings.model.bundle == str(tmp_path)
    assert settings.environment["MOTIONGPT_LOG_LEVEL"] == "debug"


def test_precisions_are_called_as_the_backends_errors_call_them():
    items = preferences().bl_rna.properties["precision"].enum_items
    assert all(item.identifier in item.name for item in items if item.identifier != "auto")


def test_each_blender_has_a_log_of_its_own(monkeypatch, tmp_path):
    """That of the last one is shown until there is one."""
    settings = module("motiongpt_blender.preferences")
    monkeypatch.setattr(settings, "user_folder", lambda name: tmp_path)
    own = settings.log_file()
    monkeypatch.setattr(os, "getpid", lambda: -1)
    other = settings.log_file()
    assert other != own and installation.log() == other
    own.touch()
    assert installation.log() == own
    other.touch()
    os.utime(other, (0, 0))
    assert installation.log() == other


def test_log_says_as_much_as_is_wanted(session):
    log = module("motiongpt_blender.preferences").log_file()
    preferences().log_level = "info"
    bpy.ops.motiongpt.backend_start(wait=True)
    assert "load" in log.read_text(encoding="utf-8")
    jobs.stop_backend()
    preferences().log_level = "warning"
    bpy.ops.motiongpt.backend_start(wait=True)
    assert "load" not in log.read_text(encoding="utf-8")


def test_bundles_are_found_in_the_folders_of_the_list(tmp_path):
    for name in ("one", "two"):
        (tmp_path / "many" / name).mkdir(parents=True)
        (tmp_path / "many" / name / "bundle.json").write_text(json.dumps({"name": name.title()}), encoding="utf-8")
    (tmp_path / "many" / "broken").mkdir()
    (tmp_path / "many" / "broken" / "bundle.json").write_text("{", encoding="utf-8")
    for folder in (tmp_path / "many", tmp_path / "many" / "two", tmp_path / "nothing"):
        assert will_be_saved(lambda folder=folder: bpy.ops.motiongpt.bundle_folder_add(directory=str(folder)))
    found = module("motiongpt_blender.preferences").bundles(bpy.context)
    assert [name for name, _ in found] == ["Default", "One", "Two"]
    assert will_be_saved(lambda: bpy.ops.motiongpt.bundle_choose(folder=found[1][1]))
    assert preferences().bundle_folder == str(tmp_path / "many" / "one")
    preferences().bundle_folder_index = 2
    assert will_be_saved(bpy.ops.motiongpt.bundle_folder_remove)
    assert [Path(folder.path).name for folder in preferences().bundle_folders] == ["many", "two"]
    assert preferences().bundle_folder_index == 1


def will_be_saved(change) -> bool:
    """Whether Blender knows of a change to the preferences, and so saves them when it quits."""
    bpy.context.preferences.is_dirty = False
    change()
    return bpy.context.preferences.is_dirty


def test_status_bar_follows_what_is_done_and_is_given_back(session, monkeypatch):
    shown = []
    monkeypatch.setattr(upkeep, "_write_status", shown.append)
    jobs.stop_backend()
    bpy.ops.motiongpt.backend_start()
    upkeep.pump()
    session.wait()
    upkeep.pump()
    assert shown[0].startswith("Starting")
    assert shown[-1] == ""
    upkeep.pump()
    assert shown.count("") == 1


def test_disabling_takes_the_timer_back():
    package = upkeep.__name__.partition(".motiongpt_blender")[0]
    assert bpy.app.timers.is_registered(upkeep._tick)
    bpy.ops.preferences.addon_disable(module=package)
    assert not bpy.app.timers.is_registered(upkeep._tick)
    bpy.ops.preferences.addon_enable(module=package)
