"""Setting a backend up with the carried uv, broken off and gone on with, and removed."""
# pyright: reportMissingImports=false
# (the package `motiongpt` is made by `tests/conftest.py`)

import dataclasses
import ntpath
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path, PureWindowsPath
from types import SimpleNamespace

import pytest
from miniature import PYTHON_TAG, make_wheel, write_requirements
from motiongpt.backend.protocol.errors import Code, MotionGPTError
from motiongpt.motiongpt_blender.setup import Job, Place, Plan, command, place, torch_builds
from motiongpt.motiongpt_blender.setup.failures import explain
from motiongpt.motiongpt_blender.setup.plan import lock_hash


@pytest.fixture
def job():
    job = Job()
    yield job
    job.stop()


def set_up(job: Job, plan: Plan, until: Callable[[], bool] | None = None) -> list[str]:
    """Carry the plan out, to the end or until something is so; what was said on the way."""
    said: list[str] = []
    ended = []
    job.set_up(plan, lambda: ended.append(True))
    while job.busy and not (until and until()):
        job.pump()
        if job.step not in said[-1:]:
            said.append(job.step)
        time.sleep(0.002)
    if until is None:
        job.wait()
        assert ended
    return said


def works(plan: Plan) -> bool:
    python = Place(plan.folder).python
    return python is not None and subprocess.run([python, "-c", "import torch, other, model"], check=False).returncode == 0


def environments(plan: Plan) -> list[Path]:
    return sorted(path.parent for path in plan.folder.glob("*/pyvenv.cfg"))


def test_backend_is_made_from_a_folder_of_wheels(job: Job, plan: Plan):
    assert Place(plan.folder).current() is None
    before = sorted(plan.root.rglob("*"))
    said = set_up(job, plan)
    place = Place(plan.folder)
    current = place.current()
    assert current and current.lock == lock_hash(plan.root)
    assert current.title == "PyTorch from the folder of wheels"
    assert current.size > 1e6
    assert works(plan)
    assert (place.models / "base").is_file()
    assert "doctor" in place.log.read_text(encoding="utf-8")
    words = [line.partition(":")[0] for line in said]
    for stage in ("Making the Python environment", "Installing PyTorch from the folder of wheels", "Preparing the language model"):
        assert stage in words
    assert job.fraction > 0.9
    assert sorted(path for path in plan.root.rglob("*") if "__pycache__" not in path.parts) == before  # nothing is written there


def test_it_is_gone_on_with_after_a_break(job: Job, plan: Plan, wheels: Path):
    other = wheels / "other-1.0-py3-none-any.whl"
    away = other.rename(wheels / "away")
    with pytest.raises(
        MotionGPTError, match=r"(?s)A package was not found.* The step was: Installing the other packages\..*other"
    ) as caught:
        set_up(job, plan)
    assert caught.value.code is Code.SETUP_FAILED
    assert "lacks that package" in caught.value.remedy
    assert Place(plan.folder).current() is None
    (torch,) = plan.folder.glob("*/lib/python*/site-packages/torch/__init__.py")
    made = torch.stat().st_ctime_ns
    away.rename(other)
    said = set_up(job, plan)
    assert not any("Installing PyTorch" in words for words in said)
    assert torch.stat().st_ctime_ns == made
    assert works(plan)


@pytest.mark.parametrize(
    "error",
    [MotionGPTError(Code.CANCELLED, "Cancelled."), MotionGPTError(Code.SETUP_FAILED, "The system killed it."), RuntimeError("A crash")],
)
def test_environment_is_begun_anew_after_uv_was_ended_while_it_put_packages_in_place(
    job: Job, plan: Plan, monkeypatch: pytest.MonkeyPatch, error: Exception
):
    real = command.run

    def end_while_placing(doing: str, *arguments) -> str:
        said = real(doing, *arguments)
        if doing == "Installing the other packages":
            (package,) = plan.folder.glob("*/lib/python*/site-packages/other")
            shutil.rmtree(package)  # its metadata, by which uv knows it, is there
            raise error
        return said

    monkeypatch.setattr(command, "run", end_while_placing)
    with pytest.raises(MotionGPTError):
        set_up(job, plan)
    monkeypatch.undo()
    said = set_up(job, plan)
    assert any("Making the Python environment" in words for words in said)
    assert works(plan)
    said = set_up(job, plan)
    assert not any("Making the Python environment" in words for words in said)


def test_cancel_ends_what_runs_with_its_children(job: Job, plan: Plan, extension: Path, tmp_path: Path):
    """The self-test stands for a long download: it starts a child and both would run for a minute."""
    pid = tmp_path / "pid"
    main = extension / "backend" / "__main__.py"
    code = main.read_text(encoding="utf-8")
    child = f"import os, pathlib, time; pathlib.Path({str(pid)!r}).write_text(str(os.getpid())); time.sleep(60)"
    main.write_text(f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {child!r}])\n", encoding="utf-8")
    set_up(job, plan, until=lambda: pid.is_file() and bool(pid.read_text(encoding="utf-8")))
    job.cancel()
    with pytest.raises(MotionGPTError, match="Cancelled") as caught:
        job.wait()
    assert caught.value.code is Code.CANCELLED
    assert not is_running(int(pid.read_text(encoding="utf-8")))
    assert Place(plan.folder).current() is None
    main.write_text(code, encoding="utf-8")
    said = set_up(job, plan)
    assert not any("Installing" in words for words in said)
    assert works(plan)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").split()[2] if Path("/proc").is_dir() else True


def test_update_keeps_the_old_environment_until_the_new_one_works(job: Job, plan: Plan, extension: Path, wheels: Path):
    set_up(job, plan)
    old = Place(plan.folder).current()
    assert old
    write_requirements(extension, "torch==2.0.0", "other==2.0")
    assert lock_hash(extension) != old.lock
    with pytest.raises(MotionGPTError, match="not found"):
        set_up(job, plan)
    assert Place(plan.folder).current() == old
    assert works(plan)
    make_wheel(wheels, "other", "2.0", "")
    set_up(job, plan)
    new = Place(plan.folder).current()
    assert new and new.lock == lock_hash(extension)
    assert works(plan)
    assert (plan.folder / "cache").is_dir()
    job.remark = "The driver is too old."
    job.sweep(Place(plan.folder))
    assert job.busy and job.fraction == 1.0  # for the animator it is the end of the set-up
    job.wait()
    assert job.remark == "The driver is too old."
    assert [path.name for path in environments(plan)] == [new.environment]
    assert works(plan)
    assert not (plan.folder / "cache").exists()  # else no room would have become free
    swept = Place(plan.folder).current()
    assert swept and swept.size == pytest.approx(Place(plan.folder).size(), abs=1000)
    assert swept.size < new.size


def test_setting_up_again_mends(job: Job, plan: Plan):
    set_up(job, plan)
    python = Place(plan.folder).python
    assert python
    python.unlink()
    assert not works(plan) if python.exists() else True
    set_up(job, plan)
    assert works(plan)
    (package,) = plan.folder.glob("*/lib/python*/site-packages/other-1.0.dist-info")
    for file in package.iterdir():
        file.unlink()
    package.rmdir()
    set_up(job, plan)
    assert package.is_dir()


def test_environment_whose_python_is_gone_is_made_anew(job: Job, plan: Plan, tmp_path: Path):
    set_up(job, plan)
    (environment,) = environments(plan)
    config = environment / "pyvenv.cfg"
    whole = config.read_text(encoding="utf-8")
    config.write_text("\n".join(f"home = {tmp_path / 'gone'}" if "home" in line else line for line in whole.splitlines()), encoding="utf-8")
    set_up(job, plan)
    assert config.read_text(encoding="utf-8") == whole
    assert works(plan)


def test_python_of_a_windows_environment_is_looked_for_where_it_was_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(place, "sys", SimpleNamespace(platform="win32"))
    base = tmp_path / "Python 3.12" / "python.exe"
    copy = place.interpreter(tmp_path / "environment")
    for python in (base, copy):
        python.parent.mkdir(parents=True)
        python.touch()
    assert not place.has_base(tmp_path / "environment")
    (tmp_path / "environment" / "pyvenv.cfg").write_text(f"home = {base.parent}\nuv = 0.13.9\n", encoding="utf-8")
    assert place.has_base(tmp_path / "environment")
    base.unlink()  # its folder, with what was installed into it, stays
    assert not place.has_base(tmp_path / "environment")


def test_card_that_cannot_compute_is_passed_over(job: Job, plan: Plan, wheels: Path, monkeypatch: pytest.MonkeyPatch):
    make_wheel(wheels, "torch", "2.0.0+card", "BROKEN = True", "py3")
    make_wheel(wheels, "torch", "2.0.0+processor", "BROKEN = False", "py3")
    (wheels / f"torch-2.0.0+cpu-{PYTHON_TAG}-none-any.whl").unlink()
    builds = [torch_builds.TorchBuild(name, name, "", (), 0.1) for name in ("card", "processor")]
    monkeypatch.setattr(torch_builds, "choose", lambda hardware, only_processor: builds)
    monkeypatch.setattr("motiongpt.motiongpt_blender.setup.installer.torch_wheel", lambda plan: None)
    real = Plan.torch
    asked = iter(["card", "processor"])
    monkeypatch.setattr(Plan, "torch", lambda plan: f"{real(plan)}+{next(asked)}")
    set_up(job, plan)
    assert "The graphics card cannot be used" in job.remark
    assert "no kernel image" in job.remark
    current = Place(plan.folder).current()
    assert current and current.title == "processor"


def test_what_does_not_work_at_all_is_told(job: Job, plan: Plan, wheels: Path):
    make_wheel(wheels, "torch", "2.0.0+cpu", "BROKEN = True", PYTHON_TAG)
    with pytest.raises(MotionGPTError, match=r"(?s)does not work.*no kernel image") as caught:
        set_up(job, plan)
    assert "remove the backend" in caught.value.remedy
    assert Place(plan.folder).current() is None


def test_folder_without_pytorch_is_named(job: Job, plan: Plan, wheels: Path):
    for wheel in wheels.glob("torch-*"):
        wheel.unlink()
    with pytest.raises(MotionGPTError, match=r"has no PyTorch 2\.0\.0 for Python 3\.11 to 3\.13\. Put"):
        set_up(job, plan)


def test_too_little_room_is_told_before_anything_is_fetched(job: Job, plan: Plan, monkeypatch: pytest.MonkeyPatch):
    usage = type("Usage", (), {"free": 5e8})
    monkeypatch.setattr("motiongpt.motiongpt_blender.setup.installer.shutil.disk_usage", lambda path: usage)
    with pytest.raises(MotionGPTError, match=r"needs 3 GB of room, and 0\.5 GB are free"):
        set_up(job, plan)
    assert not environments(plan)


def test_folder_that_cannot_be_written_is_told(job: Job, plan: Plan):
    plan.folder.parent.mkdir()
    plan.folder.write_text("a file lies there", encoding="utf-8")
    with pytest.raises(MotionGPTError, match=r"The system refused\. The step was: Setting up\.") as caught:
        set_up(job, plan)
    assert caught.value.remedy


def test_extension_of_another_platform_is_told(job: Job, plan: Plan, extension: Path):
    for wheel in (extension / "wheels").iterdir():
        wheel.unlink()
    with pytest.raises(MotionGPTError, match=r"carries no uv for this computer"):
        set_up(job, plan)


def test_one_thing_at_a_time(job: Job, plan: Plan):
    set_up(job, plan, until=lambda: bool(job.step))
    with pytest.raises(MotionGPTError, match="being set up"):
        job.remove(Place(plan.folder))
    job.cancel()
    with pytest.raises(MotionGPTError, match="Cancelled"):
        job.wait()


def test_two_blenders_do_not_get_in_each_others_way(job: Job, plan: Plan):
    """Each has a job of its own for the same folder."""
    other = Job()
    set_up(job, plan, until=lambda: "Making the Python environment" in job.step)
    for begin in (lambda: other.set_up(plan, lambda: None), lambda: other.remove(Place(plan.folder))):
        begin()
        with pytest.raises(MotionGPTError, match="Another Blender is setting the backend up") as caught:
            other.wait()
        assert caught.value.code is Code.BUSY and caught.value.remedy
    job.wait()
    assert works(plan)
    other.remove(Place(plan.folder))
    other.wait()
    assert not plan.folder.exists()


def test_removal_leaves_nothing(job: Job, plan: Plan):
    set_up(job, plan)
    job.remove(Place(plan.folder))
    job.wait()
    assert not plan.folder.exists()
    job.remove(Place(plan.folder))  # of what is not there
    job.wait()


def test_downloads_are_kept_while_nothing_is_replaced(job: Job, plan: Plan):
    set_up(job, plan)
    job.sweep(Place(plan.folder))
    job.wait()
    assert (plan.folder / "cache").is_dir()


def test_what_a_failed_set_up_has_left_can_be_removed(job: Job, plan: Plan, wheels: Path):
    assert Place(plan.folder).is_empty()
    (wheels / "other-1.0-py3-none-any.whl").unlink()
    with pytest.raises(MotionGPTError):
        set_up(job, plan)
    assert not Place(plan.folder).is_empty()
    job.remove(Place(plan.folder))
    job.wait()
    assert Place(plan.folder).is_empty()


def test_every_end_is_told(plan: Plan, wheels: Path):
    ends: list[bool] = []
    job = Job(lambda: ends.append(job.busy))
    for wheel in wheels.glob("torch-*"):
        wheel.unlink()
    with pytest.raises(MotionGPTError):
        set_up(job, plan)
    assert ends == [False]
    job.remove(Place(plan.folder))
    job.wait()
    assert ends == [False, False]


@pytest.mark.parametrize(
    ("path", "deep"),
    [
        (r"C:\Users\Zoë\backend", r"\\?\C:\Users\Zoë\backend"),
        (r"C:/Users/Zoë/../Ann/backend", r"\\?\C:\Users\Ann\backend"),
        (r"\\server\share\backend", r"\\?\UNC\server\share\backend"),
    ],
)
def test_windows_is_given_paths_that_may_be_long(path: str, deep: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(place, "sys", SimpleNamespace(platform="win32"))
    monkeypatch.setattr(place, "os", SimpleNamespace(path=ntpath))
    removed: list[str] = []
    monkeypatch.setattr(place, "shutil", SimpleNamespace(rmtree=removed.append))
    folder = PureWindowsPath(path)
    monkeypatch.setattr(PureWindowsPath, "is_dir", lambda path: True, raising=False)
    monkeypatch.setattr(PureWindowsPath, "unlink", lambda path: None, raising=False)
    Place(folder).remove()  # pyright: ignore[reportArgumentType]
    assert removed == [deep]


def test_interpreter_of_last_resort_is_blenders(job: Job, plan: Plan, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "nowhere")
    set_up(job, dataclasses.replace(plan, python=Path(sys.executable)))
    assert works(plan)


def test_nothing_of_it_waits(job: Job, plan: Plan):
    job.set_up(plan, lambda: None)
    longest = 0.0
    while job.busy:
        began = time.thread_time()  # what other programs take is not counted
        job.pump()
        longest = max(longest, time.thread_time() - began)
        time.sleep(0.01)
    assert longest < 0.05
    assert threading.active_count() < 10


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ("error: failed to write to file: No space left on device (os error 28)", "disk is full"),
        ("There is not enough space on the disk. (os error 112)", "disk is full"),
        ("  cause: error sending request for url (https://pypi.org/simple/torch/)\n  cause: dns error", "could not be downloaded"),
        ("cause: operation timed out", "could not be downloaded"),
        ("cause: invalid peer certificate: UnknownIssuer", "not trusted"),
        ("error: Access is denied. (os error 5)", "virus scanner"),
        ("The process cannot access the file because it is being used by another process. (os error 32)", "is in use"),
        ("Hash mismatch for `torch==2.13.0`", "arrived damaged"),
        ("  x No solution found when resolving dependencies:", "was not found for this computer"),
        ("error: No interpreter found for Python 3.12", "no Python"),
        ("OSError: [WinError 126] The specified module could not be found. Error loading c10.dll", "does not start"),
        ("Microsoft Visual C++ Redistributable is not installed, this may lead to the DLL load failure.", "Visual C++ runtime"),
        ("something never seen", "exit status 2"),
        ("", "exit status 2"),
    ],
)
def test_failures_are_put_into_words(said: str, what: str):
    error = explain("Installing", 2, said)
    assert error.code is Code.SETUP_FAILED
    assert what in error.message
    assert error.remedy
    assert said.rpartition("\n")[2].strip() in error.message


def test_failures_of_the_self_test_are_quoted_whatever_it_says_after_them():
    said = "\n".join(["ok    Python 3.12.3", "FAIL  device: no kernel image", *(f"ok    check {number}" for number in range(6))])
    assert explain("Testing", 1, said).message.endswith("\nFAIL  device: no kernel image")


def test_missing_runtime_of_windows_is_named_whatever_fails_without_it(job: Job, plan: Plan, extension: Path):
    (extension / "backend" / "__main__.py").write_text(
        "print('Microsoft Visual C++ Redistributable is not installed, this may lead to the DLL load failure.')\n"
        "print('FAIL  device: [WinError 126] Error loading c10.dll')\nraise SystemExit(1)\n",
        encoding="utf-8",
    )
    with pytest.raises(MotionGPTError, match=r"(?s)does not work.*Visual C\+\+ runtime.*c10\.dll") as caught:
        set_up(job, plan)
    assert "vc_redist" in caught.value.remedy


def test_a_killed_command_is_told():
    assert "memory" in explain("Installing", -9, "").message
