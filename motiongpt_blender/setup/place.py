"""The folder that holds all of the extension's own backend."""

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ...backend.files import write_whole
from ...backend.protocol.errors import Code, MotionGPTError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_FIXED = ("uv", "cache", "python", "models")


@dataclass(frozen=True)
class Current:
    """The environment that works: its folder's name, the hash of what the extension pinned then, what it is in words, and bytes on disk."""

    environment: str
    lock: str
    title: str
    size: int


@dataclass(frozen=True)
class Place:
    """Where things lie in the folder of a backend, which need not exist."""

    folder: Path

    @property
    def log(self) -> Path:
        return self.folder / "setup.log"

    @property
    def models(self) -> Path:
        """Where the backend keeps the models that it has converted."""
        return self.folder / "models"

    @property
    def variables(self) -> dict[str, str]:
        """What the backend's process is told so that it keeps to this place."""
        return {"MOTIONGPT_CACHE": str(self.models)}

    @property
    def python(self) -> Path | None:
        """The interpreter of the environment that works; None while there is none."""
        current = self.current()
        return interpreter(self.folder / current.environment) if current else None

    def current(self) -> Current | None:
        try:
            return Current(**json.loads((self.folder / "current.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def publish(self, current: Current) -> None:
        """From now on this is the environment that works."""
        write_whole(self.folder / "current.json", json.dumps(asdict(current), indent=1).encode())

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """While nobody else changes this place, another Blender included; MotionGPTError (`BUSY`) if somebody does already.

        The lock is the system's, so it goes with the process that has it, and lies beside the folder, so that this can be deleted.
        """
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with self.folder.with_name(f"{self.folder.name}.lock").open("ab") as file:
            if not _lock(file.fileno()):
                raise MotionGPTError(
                    Code.BUSY, "Another Blender is setting the backend up or removing it.", "Wait until that is done, then try again."
                )
            yield

    def sweep(self, keep: str = "") -> None:
        """Delete the environments that are neither the current one nor `keep`; what another process still uses stays.

        Without `keep` uv's cache goes with them: it holds the same files under other names, so no room would become free.
        """
        current = self.current()
        kept = {*_FIXED, keep, current.environment if current else ""}
        old = [path for path in self.folder.glob("*/") if path.name not in kept]
        for path in old:
            shutil.rmtree(_deep(path), ignore_errors=True)
        if old and not keep:
            shutil.rmtree(_deep(self.folder / "cache"), ignore_errors=True)
            if current:
                self.publish(replace(current, size=self.size()))

    def is_empty(self) -> bool:
        """Whether there is nothing to remove but a log."""
        return not any(self.folder.glob("*/"))

    def remove(self) -> None:
        """Delete everything; OSError names what cannot be deleted, and nothing is used any more all the same."""
        with contextlib.suppress(FileNotFoundError):
            (self.folder / "current.json").unlink()
        if self.folder.is_dir():
            shutil.rmtree(_deep(self.folder))

    def size(self) -> int:
        """Bytes on disk, a file with several names counted once."""
        return sum({(s.st_dev, s.st_ino): s.st_size for s in _stats(self.folder)}.values())


def interpreter(environment: Path) -> Path:
    return environment / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def has_base(environment: Path) -> bool:
    """Whether the Python that an environment is built upon is still there: on Windows the environment has a python.exe all the same."""
    try:
        lines = (environment / "pyvenv.cfg").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return False
    homes = [Path(value.strip()) for name, _, value in (line.partition("=") for line in lines) if name.strip() == "home"]
    base = "python.exe" if sys.platform == "win32" else ""
    return interpreter(environment).exists() and all((home / base).exists() for home in homes)


def _lock(file: int) -> bool:
    """Lock an open file until it is closed; False if somebody else has."""
    with contextlib.suppress(OSError):  # not every network drive has locks
        try:
            if sys.platform == "win32":
                msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            return False
    return True


def _deep(folder: Path) -> str:
    """The folder in the form in which Windows takes paths of more than 260 characters, as some of PyTorch's are."""
    if sys.platform != "win32":
        return str(folder)
    path = os.path.abspath(folder)  # noqa: PTH100 - this form may hold neither `..` nor slashes
    return f"\\\\?\\UNC{path[1:]}" if path.startswith("\\\\") else f"\\\\?\\{path}"


def _stats(folder: Path) -> Iterator[os.stat_result]:
    for path, _, names in os.walk(_deep(folder)):
        for name in names:
            with contextlib.suppress(OSError):
                yield (Path(path) / name).lstat()
