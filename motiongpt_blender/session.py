"""One backend and what is being done with it, without Blender: it is started when needed and says in words where it stands."""

import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..backend.protocol import messages
from ..backend.protocol.errors import Code, MotionGPTError
from .connection import Call, Connection, State
from .steps import Steps, advance

_WAIT_INTERVAL_SECONDS = 0.005

OnReply = Callable[[messages.GenerateReply], Steps[None]]
OnBody = Callable[[messages.BodyReply], Steps[None]]
OnPreview = Callable[[messages.Preview], None]


@dataclass(frozen=True)
class Settings:
    """What to start, and what to load into it."""

    python: Path
    root: Path
    log: Path
    model: messages.Load
    environment: Mapping[str, str] = field(default_factory=dict)


def unexpected(error: Exception) -> MotionGPTError:
    """For the animator, what should not have happened; the console gets where it did."""
    traceback.print_exception(error)
    return MotionGPTError(Code.INTERNAL_ERROR, f"{type(error).__name__}: {error}", "Please report it, with what Blender's console says.")


class Session:
    """Follows one request at a time. `pump` moves everything on; only `wait` and `stop` wait.

    `model` is what is loaded, `reply` the clips made last, `error` how the last request ended if it did not go well, `note`
    what is to be said of one that did, `start_seconds` the time that starting the process took.
    """

    def __init__(self) -> None:
        self.model: messages.LoadReply | None = None
        self.reply: messages.GenerateReply | None = None
        self.error: MotionGPTError | None = None
        self.note = ""
        self.start_seconds = 0.0
        self._started = self._finished = 0.0
        self._settings: Settings | None = None
        self._connection: Connection | None = None
        self._call: Call | None = None
        self._delivery: Steps[None] | None = None
        self._delivery_words = ""
        self._abandoned: MotionGPTError | None = None

    @property
    def running(self) -> bool:
        return self._connection is not None

    @property
    def busy(self) -> bool:
        return self._call is not None or self._delivery is not None

    @property
    def generating(self) -> bool:
        """Whether a clip is being made, loading and delivering left out."""
        return self._call is not None and isinstance(self._call.message, messages.Generate)

    @property
    def delivering(self) -> bool:
        """Whether what came back is being put into the file."""
        return self._delivery is not None

    @property
    def words(self) -> str:
        """Where things stand, for the animator."""
        if self._connection is None:
            return "Backend is not running"
        if self._connection.hello.state is State.RUNNING:
            return "Starting"
        if self._delivery is not None:
            return self._delivery_words
        if self._call is None:
            if self.error and self.error.code is Code.CANCELLED:
                return self.error.message
            return "Ready" if self.model else "No model is loaded"
        progress = self._call.progress
        if isinstance(self._call.message, messages.Body):
            return "Building the body"
        if isinstance(self._call.message, messages.Load):
            return progress.stage if progress else "Loading the model"
        if isinstance(self._call.message, messages.Unload):
            return "Unloading the model"
        if progress is None:
            return "Generating"
        left = self.seconds_left
        return f"Generating {self.fraction:.0%}, {progress.per_second:.0f} tokens/s" + (f", {left:.0f} s left" if left else "")

    @property
    def fraction(self) -> float:
        """How much of the current request is done, 0 to 1."""
        if self._delivery is not None:
            return 1.0
        progress = self._call.progress if self._call else None
        return progress.done / progress.total if progress and progress.total else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Until the current clip's tokens are there; None while that cannot be said."""
        progress = self._call.progress if self._call else None
        if progress is None or not progress.per_second:
            return None
        return (progress.total - progress.done) / progress.per_second

    def start(self, settings: Settings) -> None:
        """Start the backend and load the model where that is not done yet; MotionGPTError if it cannot be started."""
        self._prepare(settings)
        if self.model is None:
            self._load(settings.model, lambda: None)

    def generate(self, settings: Settings, request: messages.Generate, on_reply: OnReply, on_preview: OnPreview | None = None) -> None:
        """Have clips made, after whatever `start` has to do first; `pump` tells `on_preview` of what there is so far.

        `on_reply` gets the clips and delivers them in short steps, between which Blender goes on; it may raise MotionGPTError.
        """
        self._prepare(settings)
        self.note = ""
        if self.model is None:
            self._load(settings.model, lambda: self._generate(request, on_reply, on_preview))
        else:
            self._generate(request, on_reply, on_preview)

    def build_body(self, settings: Settings, request: messages.Body, on_body: OnBody) -> None:
        """Have a body built, which needs no model; `on_body` gets it and delivers it in steps. It may raise MotionGPTError."""
        self._prepare(settings)

        def on_done(call: Call) -> None:
            self._finish(call)
            if not self.error:
                self._delivery, self._delivery_words = on_body(call.result), "Building the body"

        self._request(request, on_done)

    def cancel(self) -> None:
        """Have the current request end before its next token, or what it brought not be delivered."""
        if self._delivery is not None:
            self._drop_delivery(MotionGPTError(Code.CANCELLED, "Cancelled."))
        elif self._connection and self._call:
            self._connection.cancel(self._call)

    def abandon(self, why: str) -> None:
        """Cancel the current request, and even if it is too late for that, take nothing from it."""
        cancelled = MotionGPTError(Code.CANCELLED, why)
        if self._delivery is not None:
            self._drop_delivery(cancelled)
        elif self.busy:
            self._abandoned = cancelled
            self.cancel()

    def stop(self, wait: bool = True) -> None:
        """End the backend, within seconds whatever it does; without `wait` that goes on after this has returned."""
        if self._connection:
            self._connection.close(wait)
        if self.busy and not self.error:
            self.error = MotionGPTError(Code.CANCELLED, "Cancelled.")
        self._drop_delivery(self.error)
        self._connection = self._call = self._abandoned = self.model = None

    def pump(self) -> None:
        """Handle what has arrived, or take a few steps of delivering it; never waits."""
        if self._delivery is not None:
            self._deliver()
            return
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
            if not self.delivering:
                time.sleep(_WAIT_INTERVAL_SECONDS)
        if self.error:
            raise self.error

    def unload(self) -> None:
        """Have the backend give the model's memory back; the next clip loads it again."""
        if self._connection and self.model and not self.busy:
            self.error, self.model = None, None
            self._call = self._connection.request(messages.Unload(), on_done=self._finish)

    def idle_seconds(self) -> float:
        """For how long a loaded model has had nothing to do."""
        return time.monotonic() - self._finished if self.model and not self.busy else 0.0

    def _prepare(self, settings: Settings) -> None:
        if self.busy:
            raise MotionGPTError(Code.BUSY, "The backend is busy.", "Wait until it is done, or cancel what it is doing.")
        self.pump()  # the process may have ended since
        if settings != self._settings:
            self.stop()
        self.error = None
        if self._connection is None:
            self._started = time.perf_counter()
            self._connection = Connection(settings.python, settings.root, settings.log, settings.environment)
            self._settings = settings

    def _load(self, model: messages.Load, then: Callable[[], None]) -> None:
        def on_done(call: Call) -> None:
            self._finish(call)
            if self.error:
                return
            self.model = call.result
            self.start_seconds = time.perf_counter() - self._started - call.result.seconds
            try:
                then()
            except MotionGPTError as error:  # nobody else would hear of it
                self.error = error

        self._request(model, on_done)

    def _generate(self, request: messages.Generate, on_reply: OnReply, on_preview: OnPreview | None) -> None:
        def on_done(call: Call) -> None:
            self._finish(call)
            if self.error:
                return
            self.reply = call.result
            self._delivery, self._delivery_words = on_reply(call.result), "Writing keyframes"

        self._request(request, on_done, on_preview)

    def _deliver(self) -> None:
        """Take steps of delivering."""
        assert self._delivery
        try:
            if not advance(self._delivery):
                self._delivery = None
        except MotionGPTError as error:
            self._delivery, self.error = None, error
        except Exception as error:  # else the timer would end with it, and nothing would ever be ready again
            self._delivery, self.error = None, unexpected(error)

    def _drop_delivery(self, error: MotionGPTError | None) -> None:
        """Deliver no more; what there is of it so far goes."""
        if self._delivery is not None:
            self._delivery.close()
        self._delivery, self.error = None, error

    def _request(
        self,
        message: messages.Load | messages.Generate | messages.Body,
        on_done: Callable[[Call], None],
        on_preview: OnPreview | None = None,
    ) -> None:
        assert self._connection
        self._call = self._connection.request(message, on_preview=on_preview, on_done=on_done)

    def _finish(self, call: Call) -> None:
        self._call, self.error, self._abandoned = None, self._abandoned or call.error, None
        self._finished = time.monotonic()
