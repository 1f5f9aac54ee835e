"""One backend and what is being done with it, without Blender: it is started when needed and says in words where it stands."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..backend.protocol import messages
from ..backend.protocol.errors import Code, MotionGPTError
from .connection import Call, Connection, State

_WAIT_INTERVAL_SECONDS = 0.005

OnClip = Callable[[messages.GenerateReply], None]


@dataclass(frozen=True)
class Settings:
    """What to start, and what to load into it."""

    python: Path
    root: Path
    log: Path
    model: messages.Load


class Session:
    """Follows one request at a time. `pump` moves everything on; only `wait` and `stop` wait.

    `model` is what is loaded, `reply` the clips made last, `error` how the last request ended if it did not go well,
    `start_seconds` the time that starting the process took.
    """

    def __init__(self) -> None:
        self.model: messages.LoadReply | None = None
        self.reply: messages.GenerateReply | None = None
        self.error: MotionGPTError | None = None
        self.start_seconds = 0.0
        self._started = 0.0
        self._settings: Settings | None = None
        self._connection: Connection | None = None
        self._call: Call | None = None
        self._abandoned: MotionGPTError | None = None

    @property
    def running(self) -> bool:
        return self._connection is not None

    @property
    def busy(self) -> bool:
        return self._call is not None

    @property
    def words(self) -> str:
        """Where things stand, for the animator."""
        if self._connection is None:
            return "Backend is not running"
        if self._connection.hello.state is State.RUNNING:
            return "Starting"
        if self._call is None:
            if self.error and self.error.code is Code.CANCELLED:
                return self.error.message
            return "Ready" if self.model else "No model is loaded"
        progress = self._call.progress
        if isinstance(self._call.message, messages.Load):
            return f"Loading the model: {progress.stage}" if progress else "Loading the model"
        if progress is None:
            return "Generating"
        return f"Generating {progress.done} of {progress.total} tokens, {progress.per_second:.0f} tokens/s"

    @property
    def fraction(self) -> float:
        """How much of the current request is done, 0 to 1."""
        progress = self._call.progress if self._call else None
        return progress.done / progress.total if progress and progress.total else 0.0

    def start(self, settings: Settings) -> None:
        """Start the backend and load the model where that is not done yet; MotionGPTError if it cannot be started."""
        self._prepare(settings)
        if self.model is None:
            self._load(settings.model, lambda: None)

    def generate(self, settings: Settings, request: messages.Generate, on_clip: OnClip) -> None:
        """Have a clip made, after whatever `start` has to do first; `on_clip` gets it from `pump` and may raise MotionGPTError."""
        self._prepare(settings)
        if self.model is None:
            self._load(settings.model, lambda: self._generate(request, on_clip))
        else:
            self._generate(request, on_clip)

    def cancel(self) -> None:
        """Have the current request end before its next token."""
        if self._connection and self._call:
            self._connection.cancel(self._call)

    def abandon(self, why: str) -> None:
        """Cancel the current request, and even if it is too late for that, take nothing from it."""
        if self.busy:
            self._abandoned = MotionGPTError(Code.CANCELLED, why)
            self.cancel()

    def stop(self) -> None:
        """End the backend, within seconds whatever it does."""
        if self._connection:
            self._connection.close()
        self._connection = self._call = self._abandoned = self.model = None

    def pump(self) -> None:
        """Handle what has arrived; never waits."""
        if self._connection is None:
            return
        self._connection.pump()
        if self._connection and self._connection.ended:
            self.error = self._connection.ended
            self.stop()

    def wait(self) -> None:
        """Pump until the current request is done; its MotionGPTError if it did not go well."""
        while self.busy:
            self.pump()
            time.sleep(_WAIT_INTERVAL_SECONDS)
        if self.error:
            raise self.error

    def _prepare(self, settings: Settings) -> None:
        if self.busy:
            raise MotionGPTError(Code.BUSY, "The backend is busy.", "Wait until it is done, or cancel what it is doing.")
        self.pump()  # the process may have ended since
        if settings != self._settings:
            self.stop()
        self.error = None
        if self._connection is None:
            self._started = time.perf_counter()
            self._connection = Connection(settings.python, settings.root, settings.log)
            self._settings = settings

    def _load(self, model: messages.Load, then: Callable[[], None]) -> None:
        def on_done(call: Call) -> None:
            self._finish(call)
            if self.error:
                return
            self.model = call.result
            self.start_seconds = time.perf_counter() - self._started - call.result.seconds
            then()

        self._request(model, on_done)

    def _generate(self, request: messages.Generate, on_clip: OnClip) -> None:
        def on_done(call: Call) -> None:
            self._finish(call)
            if self.error:
                return
            self.reply = call.result
            try:
                on_clip(call.result)
            except MotionGPTError as error:
                self.error = error

        self._request(request, on_done)

    def _request(self, message: messages.Load | messages.Generate, on_done: Callable[[Call], None]) -> None:
        assert self._connection
        self._call = self._connection.request(message, on_done=on_done)

    def _finish(self, call: Call) -> None:
        self._call, self.error, self._abandoned = None, self._abandoned or call.error, None
