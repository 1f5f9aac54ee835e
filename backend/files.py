"""Writing files so that there is either a whole one or none, the folders for them, and why the system refuses either."""

import contextlib
import os
from pathlib import Path

from .protocol.errors import Code, MotionGPTError


def reason_of(error: OSError) -> str:
    """What was wrong, in the words of the system, which name no file, or else in those of the error itself."""
    return error.strerror or str(error)


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, unless it is there; MotionGPTError where that cannot be done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MotionGPTError(
            Code.INTERNAL_ERROR, f"The folder {folder} cannot be made: {reason_of(error)}.", "Make room, or allow writing there."
        ) from error


def write_whole(path: Path, data: bytes) -> None:
    """Write `data` to `path`, replacing what was there; MotionGPTError, and nothing changed, where that cannot be done."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        message = f"{path} cannot be written: {reason_of(error)}."
        raise MotionGPTError(Code.INTERNAL_ERROR, message, "Choose another place or make room.") from error
    finally:
        with contextlib.suppress(OSError):  # gone already, or never made
            temporary.unlink()
