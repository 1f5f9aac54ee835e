"""Starting and ending the backend process, and putting its end into words."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...backend.files import make_folder, reason_of
from ...backend.protocol.errors import Code, MotionGPTError

_LOG_TAIL_BYTES = 4096
_LOG_TAIL_LINES = 8
_LOG_KEPT_SECONDS = 14 * 86400.0
_SET_UP_AGAIN = "Press Check and Mend in the preferences of MotionGPT, or mend the environment that they name."
_ENDINGS = {  # exit status -> what it means and what to do: POSIX signals negated, then Windows exceptions
    -15: ("it was told to end", "Start it again."),
    -9: ("the system killed it, most often because memory ran out", "Close other programs or use a smaller model."),
    -4: ("this processor lacks an instruction that it needs", _SET_UP_AGAIN),
    -6: ("it aborted", _SET_UP_AGAIN),
    -11: ("it crashed (segmentation fault)", _SET_UP_AGAIN),
    0xC0000005: ("it crashed (access violation)", _SET_UP_AGAIN),
    0xC0000017: ("memory ran out", "Close other programs or use a smaller model."),
    0xC000001D: ("this processor lacks an instruction that it needs", _SET_UP_AGAIN),
    0xC0000135: ("a DLL is missing", _SET_UP_AGAIN),
}
_FOREIGN = {
    "PYTHONDONTWRITEBYTECODE",  # every start would compile PyTorch anew
    "PYTHONEXECUTABLE",
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "VIRTUAL_ENV",
    "__PYVENV_LAUNCHER__",
}


def start(python: Path, root: Path, log: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start the backend that lies in the folder `root` with the interpreter `python`; `log` gets its stderr, from empty.

    Other backends' logs beside it that are of long ago are removed.
    MotionGPTError if the interpreter cannot be started (`BACKEND_MISSING`) or the log cannot be written.
    """
    make_folder(log.parent)
    _remove_old_logs(log.parent)
    try:
        stderr = log.open("wb")
    except OSError as error:
        message = f"{log} cannot be written: {reason_of(error)}."
        raise MotionGPTError(Code.INTERNAL_ERROR, message, "Make room, or allow writing there.") from error
    # -P keeps the working directory, where anything may lie, off the module search path.
    command = [str(python), "-P", "-m", "backend", "serve"]
    try:
        with stderr:
            return subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd=log.parent,
                env=backend_environment(root) | dict(environment),
                start_new_session=True,  # Ctrl+C in the terminal that Blender was started from is not meant for it
                creationflags=subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP if sys.platform == "win32" else 0,
            )
    except OSError as error:
        message = f"The backend could not be started: {python}: {reason_of(error)}."
        raise MotionGPTError(Code.BACKEND_MISSING, message, "Set the backend up in the extension's preferences.") from error


def end(process: subprocess.Popen[bytes], grace: float) -> None:
    """Wait `grace` seconds for the process to end by itself, then make it, each way with a short deadline."""
    for way, seconds in ((None, grace), (process.terminate, 1.0), (process.kill, 1.0)):
        if way:
            way()
        try:
            process.wait(seconds)
            return
        except subprocess.TimeoutExpired:
            continue


def describe_end(process: subprocess.Popen[bytes], log: Path) -> MotionGPTError:
    """Why the process ended, from its exit status and the end of its log."""
    status = process.poll()
    lines = _log_tail(log)
    if lines and ("No module named" in lines[-1] or lines[-1].startswith("ImportError")):
        reason, remedy = f"its Python lacks what it needs ({lines[-1]})", _SET_UP_AGAIN
    elif status in _ENDINGS:
        reason, remedy = _ENDINGS[status]
    else:
        reason, remedy = f"exit status {status}", f"The log is {log}."
    message = f"The backend has ended: {reason}."
    return MotionGPTError(Code.BACKEND_ENDED, quote(message, lines) if lines else message, remedy)


def quote(message: str, lines: Sequence[str]) -> str:
    """`message` with the last lines that a process wrote."""
    words = "\n".join(lines)
    return f"{message}\nIts last words:\n{words}"


def clean_environment() -> dict[str, str]:
    """This process's environment without Blender's own Python settings, which must not reach another Python."""
    kept = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    return kept | {"PYTHONUTF8": "1", "PYTHONNOUSERSITE": "1", "PYTHONFAULTHANDLER": "1"}


def backend_environment(root: Path) -> dict[str, str]:
    """What the backend of the extension in `root` is run with."""
    return clean_environment() | {"PYTHONPATH": str(root)}


def _remove_old_logs(folder: Path) -> None:
    for log in folder.glob("backend-*.log"):
        with contextlib.suppress(OSError):  # it may be another Blender that removes it
            if log.stat().st_mtime < time.time() - _LOG_KEPT_SECONDS:
                log.unlink()


def _log_tail(log: Path) -> list[str]:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _LOG_TAIL_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()][-_LOG_TAIL_LINES:]
