"""The client of the backend process: requests go out and answers come in on threads, callbacks run where `pump` is called."""

import contextlib
import itertools
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, BinaryIO

from ...backend.protocol import jsonrpc, messages, wire
from ...backend.protocol.errors import Code, MotionGPTError
from . import process

_SHUTDOWN_SECONDS = 1.5
_PUMP_SECONDS = 0.003  # of one tick of a timer
_WAIT_INTERVAL_SECONDS = 0.05


class State(Enum):
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(eq=False)
class Call:
    """A request on its way. `result` is set once it is done, `error` once it has failed; `progress` is the latest."""

    id: int
    message: Any
    on_progress: Callable[[messages.Progress], None] | None = None
    on_preview: Callable[[messages.Preview], None] | None = None
    on_done: Callable[["Call"], None] | None = None
    result: Any = None
    error: MotionGPTError | None = None
    progress: messages.Progress | None = None

    @property
    def state(self) -> State:
        if self.error is not None:
            return State.FAILED
        return State.RUNNING if self.result is None else State.DONE


@dataclass(frozen=True)
class _Answer:
    """How the call `id` ended."""

    id: int
    result: Any = None
    error: MotionGPTError | None = None


class Connection:
    """A running backend. All methods are for one thread, Blender's main one, and none but `wait` and `close` waits."""

    def __init__(
        self,
        python: Path,
        root: Path,
        log: Path,
        environment: Mapping[str, str] | None = None,
        client: str = "Blender",
        handshake_seconds: float = 60.0,
    ) -> None:
        """Start the backend of the extension in `root` with the interpreter `python`, its stderr in the file `log`.

        `environment` holds variables that it gets besides those that it inherits.

        MotionGPTError (`BACKEND_MISSING`) if it cannot be started.
        """
        self.log = log
        self._process = process.start(python, root, log, environment or {})
        self._handshake_deadline = time.monotonic() + handshake_seconds
        self._ids = itertools.count(1)
        self._calls: dict[int, Call] = {}
        self._ended: MotionGPTError | None = None
        self._inbox: queue.Queue[_Answer | messages.Progress | messages.Preview | MotionGPTError | None] = queue.Queue()
        self._outbox: queue.Queue[bytes | None] = queue.Queue()
        assert self._process.stdin and self._process.stdout
        for work, pipe in ((self._read, self._process.stdout), (self._write, self._process.stdin)):
            threading.Thread(target=work, args=(pipe,), name=f"motiongpt {work.__name__}", daemon=True).start()
        self.hello = self.request(messages.Hello(messages.VERSION, client))

    @property
    def alive(self) -> bool:
        """Whether requests can be made. What has ended is noticed by `pump`."""
        return self._ended is None

    @property
    def ended(self) -> MotionGPTError | None:
        """Why there is no backend any more; None while there is."""
        return self._ended

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """None while the process runs; negative after a signal."""
        return self._process.poll()

    def request(
        self,
        message: Any,
        on_progress: Callable[[messages.Progress], None] | None = None,
        on_preview: Callable[[messages.Preview], None] | None = None,
        on_done: Callable[[Call], None] | None = None,
    ) -> Call:
        """Send a message; `pump` tells `on_progress` and `on_preview` of each notification and `on_done` of the end, good or not.

        MotionGPTError if the backend is no longer there (`BACKEND_ENDED`) or would not read so long a message (`INVALID_PARAMS`).
        """
        if self._ended:
            raise self._ended
        call = Call(next(self._ids), message, on_progress, on_preview, on_done)
        line = jsonrpc.request(call.id, message)
        if len(line) > jsonrpc.MAX_LINE_BYTES:
            raise MotionGPTError(
                Code.INVALID_PARAMS,
                f"The poses and the path are more than the backend takes at once ({len(line) / 2**20:.0f} MiB).",
                "Give fewer poses, or a path of fewer points.",
            )
        self._calls[call.id] = call
        self._outbox.put(line)
        return call

    def cancel(self, call: Call) -> None:
        """Ask for the end of a call; it then fails with `CANCELLED`. A call that is done stays as it is."""
        if self.alive and call.state is State.RUNNING:
            self.request(messages.Cancel(call.id))

    def pump(self, seconds: float = _PUMP_SECONDS) -> None:
        """Handle what has arrived, starting nothing new after `seconds`; never waits."""
        stop = time.monotonic() + seconds
        while self._handle_next(0.0) and time.monotonic() < stop:
            pass

    def wait(self, call: Call, timeout: float | None = None) -> Any:
        """Pump until `call` is done and give its result, or raise its error; TimeoutError after `timeout` seconds."""
        stop = None if timeout is None else time.monotonic() + timeout
        while call.state is State.RUNNING:
            if stop is not None and time.monotonic() > stop:
                raise TimeoutError(f"No answer within {timeout:g} seconds.")
            self._handle_next(_WAIT_INTERVAL_SECONDS)
        if call.error:
            raise call.error
        return call.result

    def close(self, wait: bool = True) -> None:
        """End the process, within seconds whatever it does; without `wait` that goes on after this has returned.

        Open calls fail; their `on_done` is not called.
        """
        if not self._ended:
            self.request(messages.Shutdown())
            self._fail(MotionGPTError(Code.BACKEND_ENDED, "The backend was stopped.", "Start it again."), notify=False)
        if wait:
            process.end(self._process, _SHUTDOWN_SECONDS)
        else:  # no daemon: if Blender ends meanwhile, it waits for this
            threading.Thread(target=process.end, args=(self._process, _SHUTDOWN_SECONDS), name="motiongpt end").start()

    def _handle_next(self, timeout: float) -> bool:
        """Handle one arrival, waiting up to `timeout` seconds for it; False if there was none."""
        try:
            arrival = self._inbox.get(block=timeout > 0.0, timeout=timeout)
        except queue.Empty:
            if self._ended is None and self.hello.state is State.RUNNING and time.monotonic() > self._handshake_deadline:
                self._give_up("does not answer")
            return False
        if self._ended:
            return False
        if arrival is None:
            self._fail(process.describe_end(self._process, self.log))
        elif isinstance(arrival, MotionGPTError):
            self._give_up(f"sent what is no message ({arrival.message})")
        elif isinstance(arrival, _Answer):
            self._complete(arrival)
        else:
            self._notify(arrival)
        return True

    def _notify(self, told: messages.Progress | messages.Preview) -> None:
        call = self._calls.get(told.id)
        if call is None:
            return
        if isinstance(told, messages.Preview):
            if call.on_preview:
                call.on_preview(told)
            return
        call.progress = told
        if call.on_progress:
            call.on_progress(told)

    def _complete(self, answer: _Answer) -> None:
        call = self._calls.pop(answer.id, None)
        if call is None:
            return
        call.result, call.error = answer.result, answer.error
        if call is self.hello and call.error:
            self._process.kill()
            self._fail(call.error)
        if call.on_done:
            call.on_done(call)

    def _give_up(self, what: str) -> None:
        self._process.kill()
        self._fail(MotionGPTError(Code.BACKEND_ENDED, f"The backend {what} and was ended.", f"Start it again. The log is {self.log}."))

    def _fail(self, error: MotionGPTError, notify: bool = True) -> None:
        """The connection is over: so are its calls."""
        self._ended = error
        self._outbox.put(None)
        calls, self._calls = list(self._calls.values()), {}
        for call in calls:
            call.error = error
        for call in calls if notify else ():
            if call.on_done:
                call.on_done(call)

    def _read(self, pipe: BinaryIO) -> None:
        try:
            for line in pipe:
                if arrival := self._unpack(jsonrpc.decode(line)):
                    self._inbox.put(arrival)
        except MotionGPTError as error:
            self._inbox.put(error)
        pipe.close()
        process.end(self._process, _SHUTDOWN_SECONDS)  # here, so that the exit status is known and `pump` need not wait for it
        self._inbox.put(None)

    def _unpack(self, envelope: dict[str, Any]) -> _Answer | messages.Progress | messages.Preview | None:
        """What an envelope holds; None if nobody waits for it. Here, on the reading thread, because clips are large."""
        if "method" in envelope:
            kind = messages.NOTIFICATIONS.get(envelope["method"])
            return wire.unpack(kind, envelope.get("params")) if kind else None
        call = self._calls.get(envelope.get("id", 0))
        if call is None:
            return None
        if "error" in envelope:
            return _Answer(call.id, error=jsonrpc.to_error(envelope["error"]))
        try:
            return _Answer(call.id, wire.unpack(_reply_type(call.message), envelope.get("result")))
        except MotionGPTError as error:
            return _Answer(call.id, error=error)

    def _write(self, pipe: BinaryIO) -> None:
        """A thread of its own, because a pipe whose reader is slow blocks."""
        with contextlib.suppress(OSError):  # if the process is gone, the reading thread reports it
            while line := self._outbox.get():
                pipe.write(line)
                pipe.flush()
        with contextlib.suppress(OSError):
            pipe.close()


def _reply_type(message: Any) -> type:
    return next(reply for request, reply in messages.REQUESTS.values() if request is type(message))
