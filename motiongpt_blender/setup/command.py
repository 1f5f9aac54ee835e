"""Running a command to its end with its output in the log, ready to be ended at any moment with all its children."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ...backend.protocol.errors import Code, MotionGPTError
from .failures import explain, explain_os_error

_INTERVAL_SECONDS = 0.1
_TAIL_BYTES = 4096


def run(
    doing: str,
    command: Sequence[str | Path],
    environment: Mapping[str, str],
    log: Path,
    cancelled: threading.Event,
    on_line: Callable[[str], None] = lambda line: None,
) -> str:
    """What the command said. `on_line` is called several times a second with its latest line.

    MotionGPTError: `CANCELLED` if `cancelled` was set, `SETUP_FAILED` saying why `doing` it failed.
    """
    arguments = [str(part) for part in command]
    with log.open("ab") as output:
        output.write(f"\n> {' '.join(arguments)}\n".encode())
        output.flush()
        began = output.tell()
        try:
            process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=log.parent,
                env=dict(environment),
                start_new_session=True,
                creationflags=subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP if sys.platform == "win32" else 0,
            )
        except OSError as error:
            raise explain_os_error(doing, error) from error
    while process.poll() is None:
        if cancelled.wait(_INTERVAL_SECONDS):
            _end(process)
            raise MotionGPTError(Code.CANCELLED, "Cancelled. Setting up again goes on from here.")
        on_line(_tail(log, began).rpartition("\n")[2])
    said = _tail(log, began)
    if process.returncode:
        raise explain(doing, process.returncode, said)
    return said


def _tail(log: Path, began: int) -> str:
    with log.open("rb") as file:
        file.seek(max(began, log.stat().st_size - _TAIL_BYTES))
        return file.read().decode("utf-8", errors="replace").strip()


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and its children, which ending it alone would leave running."""
    if sys.platform == "win32":
        command = ["taskkill", "/PID", str(process.pid), "/T", "/F"]
        subprocess.run(command, capture_output=True, creationflags=subprocess.CREATE_NO_WINDOW, check=False)
    else:
        for way in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, way)
            except (ProcessLookupError, PermissionError):  # macOS: what has ended, and is not waited for yet, may not be told anything
                break
            time.sleep(_INTERVAL_SECONDS)
    process.wait()
