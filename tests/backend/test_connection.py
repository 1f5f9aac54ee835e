"""Blender's end of the connection, with the real backend process and the default bundle."""
# pyright: reportMissingImports=false
# (the package `motiongpt` is made by `tests/conftest.py`)

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from motiongpt.backend.protocol import messages
from motiongpt.backend.protocol.errors import Code, MotionGPTError
from motiongpt.motiongpt_blender.connection import Call, Connection, State
from motiongpt.motiongpt_blender.session import Session, Settings

ROOT = Path(__file__).parents[2]
PYTHON = Path(sys.executable)
WALK = messages.Generate((messages.Segment("a person walks forward", 60),), 20.0, seed=1)
LONG_WALK = messages.Generate((messages.Segment("a person walks forward", 1200),), 20.0, seed=1)

posix_only = pytest.mark.skipif(os.name == "nt", reason="the stand-in for an interpreter is a shell script")


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    connection = Connection(PYTHON, ROOT, tmp_path / "backend.log")
    yield connection
    connection.close()


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    connection = Connection(PYTHON, ROOT, tmp_path_factory.mktemp("log") / "backend.log")
    connection.wait(connection.request(messages.Load(device="cpu")), 120.0)
    yield connection
    connection.close()


def interpreter(folder: Path, script: str) -> Path:
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def failure(connection: Connection, call: Call, timeout: float = 30.0) -> MotionGPTError:
    with pytest.raises(MotionGPTError) as caught:
        connection.wait(call, timeout)
    return caught.value


def pump_until(connection: Connection, condition, timeout: float = 60.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "nothing came"
        connection.pump()
        time.sleep(0.002)


def test_it_starts_says_hello_and_ends(connection: Connection):
    hello = connection.wait(connection.hello, 30.0)
    assert hello.pid == connection.pid
    assert connection.alive and connection.exit_status is None
    connection.close()
    assert not connection.alive
    assert connection.exit_status == 0
    connection.close()
    with pytest.raises(MotionGPTError, match="stopped"):
        connection.request(messages.Load())


def test_requests_need_not_wait_for_the_handshake(connection: Connection):
    call = connection.request(messages.Generate((messages.Segment("walk", 40),), 20.0))
    assert failure(connection, call).code is Code.NOT_LOADED
    assert connection.hello.state is State.DONE


def test_loading_tells_what_was_loaded(connection: Connection):
    stages = []
    call = connection.request(messages.Load(device="cpu"), on_progress=lambda p: stages.append(p.stage))
    info = connection.wait(call, 120.0)
    assert (info.device, info.fps, info.max_seconds) == ("cpu", 20.0, 600.0)
    assert info.memory_mb > 0 and info.bundle and info.base_model
    assert stages
    connection.wait(connection.request(messages.Unload()))
    assert failure(connection, connection.request(WALK)).code is Code.NOT_LOADED


def test_a_bundle_that_is_not_there_is_named(connection: Connection, tmp_path: Path):
    error = failure(connection, connection.request(messages.Load(bundle=str(tmp_path / "none"))))
    assert error.code is Code.BUNDLE_MISSING
    assert "none" in error.message and error.remedy


def test_generating_reports_every_token_and_gives_the_clip(loaded: Connection):
    progress: list[messages.Progress] = []
    done: list[Call] = []
    call = loaded.request(WALK, on_progress=progress.append, on_done=done.append)
    reply = loaded.wait(call, 120.0)
    assert done == [call] and call.state is State.DONE
    assert [p.done for p in progress] == list(range(1, reply.tokens + 1))
    assert {p.total for p in progress} == {reply.tokens} == {15}
    assert progress[-1].per_second > 0
    clip = reply.clips[0]
    assert clip.rotations.shape == (60, 22, 4) and clip.joints.shape == (60, 22, 3)
    assert clip.root_translation.shape == (60, 3) and clip.contacts.shape == (60, 4)
    np.testing.assert_allclose(np.linalg.norm(clip.rotations, axis=-1), 1.0, atol=1e-5)


def test_pumping_never_waits(loaded: Connection):
    call = loaded.request(WALK)
    longest = 0.0
    while call.state is State.RUNNING:
        start = time.thread_time()  # of this thread alone: another process may take the processor away
        loaded.pump()
        longest = max(longest, time.thread_time() - start)
        time.sleep(0.01)
    assert longest < 0.02


def test_cancel_ends_a_call_on_its_way(loaded: Connection):
    """That it comes before the next token is tested where no process lies between."""
    call = loaded.request(LONG_WALK)
    pump_until(loaded, lambda: call.progress is not None and call.progress.done >= 2)
    loaded.cancel(call)
    assert failure(loaded, call).code is Code.CANCELLED
    assert call.progress and call.progress.done < call.progress.total
    assert loaded.wait(loaded.request(WALK), 120.0).tokens == 15


def test_a_second_request_is_told_to_wait(loaded: Connection):
    first, second = loaded.request(LONG_WALK), loaded.request(WALK)
    assert failure(loaded, second).code is Code.BUSY
    loaded.cancel(first)
    assert failure(loaded, first).code is Code.CANCELLED


def test_bad_requests_are_refused_in_words(loaded: Connection):
    error = failure(loaded, loaded.request(messages.Generate((messages.Segment("", 40),), 20.0)))
    assert error.code is Code.INVALID_PARAMS
    assert error.message and error.remedy


def test_more_than_the_backend_reads_is_not_sent(loaded: Connection):
    path = np.zeros((2**20, 2))
    with pytest.raises(MotionGPTError, match=r"more than the backend takes at once \(21 MiB\)") as caught:
        loaded.request(messages.Generate((messages.Segment("a person walks forward", 60),), 20.0, path=path))
    assert caught.value.code is Code.INVALID_PARAMS and caught.value.remedy
    assert loaded.alive


def test_what_cannot_be_sent_after_loading_is_told(tmp_path: Path):
    session = Session()
    settings = Settings(PYTHON, ROOT, tmp_path / "backend.log", messages.Load(device="cpu"))
    request = messages.Generate((messages.Segment("a person walks forward", 60),), 20.0, path=np.zeros((2**20, 2)))
    session.generate(settings, request, lambda reply: iter(()))
    with pytest.raises(MotionGPTError, match="more than the backend takes at once"):
        session.wait()
    assert session.model and not session.busy
    session.stop()


def test_waiting_has_a_limit(loaded: Connection):
    call = loaded.request(LONG_WALK)
    with pytest.raises(TimeoutError):
        loaded.wait(call, 0.05)
    loaded.cancel(call)
    assert failure(loaded, call).code is Code.CANCELLED


def test_closing_while_it_generates_takes_a_moment_only(connection: Connection):
    connection.wait(connection.request(messages.Load(device="cpu")), 120.0)
    told: list[Call] = []
    call = connection.request(LONG_WALK, on_done=told.append)
    pump_until(connection, lambda: call.progress is not None)
    start = time.monotonic()
    connection.close()
    assert time.monotonic() - start < 3.0
    assert connection.exit_status == 0
    assert call.state is State.FAILED and not told


def test_a_killed_backend_fails_its_calls_in_words(connection: Connection):
    connection.wait(connection.request(messages.Load(device="cpu")), 120.0)
    told: list[Call] = []
    call = connection.request(LONG_WALK, on_done=told.append)
    pump_until(connection, lambda: call.progress is not None)
    os.kill(connection.pid, getattr(signal, "SIGKILL", signal.SIGTERM))  # on Windows either ends it at once
    error = failure(connection, call)
    assert error.code is Code.BACKEND_ENDED and error.remedy
    assert told == [call] and not connection.alive


def test_a_missing_interpreter_is_named(tmp_path: Path):
    with pytest.raises(MotionGPTError, match="no-such-python") as caught:
        Connection(tmp_path / "no-such-python", ROOT, tmp_path / "backend.log")
    assert caught.value.code is Code.BACKEND_MISSING and caught.value.remedy


@pytest.mark.parametrize(("in_the_way", "words"), [("logs", "cannot be made"), ("logs/backend.log/folder", "cannot be written")])
def test_a_log_that_cannot_be_written_is_named(tmp_path: Path, in_the_way: str, words: str):
    path = tmp_path / in_the_way
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    with pytest.raises(MotionGPTError, match=f"logs.* {words}") as caught:
        Connection(PYTHON, ROOT, tmp_path / "logs" / "backend.log")
    assert caught.value.remedy


def test_a_python_without_the_packages_says_which(tmp_path: Path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    python = tmp_path / "bare" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    connection = Connection(python, ROOT, tmp_path / "backend.log")
    error = failure(connection, connection.hello)
    assert error.code is Code.BACKEND_ENDED
    assert "numpy" in error.message and "Press Check and Mend" in error.remedy
    with pytest.raises(MotionGPTError, match="numpy"):
        connection.request(messages.Load())


def test_it_starts_from_any_folder_and_whatever_blender_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    root = tmp_path / "Ünïcode and spaces" / "motiongpt"
    shutil.copytree(ROOT / "backend", root / "backend", ignore=shutil.ignore_patterns("__pycache__", "*.safetensors"))
    log = tmp_path / "日志" / "backend.log"
    log.parent.mkdir()
    for module in ("backend.py", "numpy.py"):
        (log.parent / module).write_text("raise SystemExit('the wrong module')", encoding="utf-8")
    monkeypatch.setenv("PYTHONHOME", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(log.parent))
    connection = Connection(PYTHON, root, log)
    assert connection.wait(connection.hello, 30.0).version
    connection.close()


def test_logs_of_long_ago_are_removed(tmp_path: Path):
    old, young, other = (tmp_path / name for name in ("backend-1.log", "backend-2.log", "other.log"))
    for log in (old, young, other):
        log.touch()
    for log in (old, other):
        os.utime(log, (0, 0))
    with pytest.raises(MotionGPTError):
        Connection(tmp_path / "no-such-python", ROOT, tmp_path / "backend-3.log")
    assert not old.exists() and young.exists() and other.exists()


@posix_only
def test_a_backend_that_never_answers_is_given_up(tmp_path: Path):
    connection = Connection(interpreter(tmp_path, "exec sleep 60"), ROOT, tmp_path / "backend.log", handshake_seconds=0.5)
    error = failure(connection, connection.hello, 10.0)
    assert error.code is Code.BACKEND_ENDED and "does not answer" in error.message
    assert not connection.alive


@posix_only
def test_what_is_no_protocol_is_told(tmp_path: Path):
    connection = Connection(interpreter(tmp_path, "echo Welcome; exec sleep 60"), ROOT, tmp_path / "backend.log")
    assert "Welcome" in failure(connection, connection.hello, 10.0).message


@posix_only
@pytest.mark.parametrize(("script", "words"), [("kill -9 $$", "memory"), ("kill -11 $$", "crashed"), ("echo broken >&2; exit 3", "broken")])
def test_how_it_ended_is_put_into_words(tmp_path: Path, script: str, words: str):
    connection = Connection(interpreter(tmp_path, script), ROOT, tmp_path / "backend.log")
    error = failure(connection, connection.hello, 10.0)
    assert error.code is Code.BACKEND_ENDED and words in error.message


@posix_only
def test_closing_ends_even_what_does_not_listen(tmp_path: Path):
    connection = Connection(interpreter(tmp_path, "trap '' TERM\nwhile :; do sleep 0.1; done"), ROOT, tmp_path / "backend.log")
    time.sleep(0.3)
    start = time.monotonic()
    connection.close()
    assert time.monotonic() - start < 6.0
    assert connection.exit_status == -9


@posix_only
def test_closing_need_not_be_waited_for(tmp_path: Path):
    connection = Connection(interpreter(tmp_path, "trap '' TERM\nwhile :; do sleep 0.1; done"), ROOT, tmp_path / "backend.log")
    time.sleep(0.3)
    start = time.monotonic()
    connection.close(wait=False)
    assert time.monotonic() - start < 0.5
    assert not connection.alive
    while connection.exit_status is None:
        assert time.monotonic() - start < 6.0
        time.sleep(0.01)
    assert connection.exit_status == -9
