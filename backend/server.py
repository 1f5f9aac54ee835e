"""The process beside Blender: requests from stdin, answers and progress to the real stdout, one job at a time.

A thread reads, so that a cancel is seen while a clip is being made; `load`, `generate`, `body` and `unload` run on the main thread.
The process ends after `shutdown`, when stdin ends, and when its parent is gone.
"""

import gc
import logging
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from . import __version__
from .body import build_body
from .protocol import jsonrpc, messages, wire
from .protocol.errors import Code, MotionGPTError
from .protocol.jsonrpc import MAX_LINE_BYTES

if TYPE_CHECKING:
    from .generation import Generator
    from .motion.clip import Clip

_GRACE_SECONDS = 0.5  # for the running job to stop by itself
_PARENT_INTERVAL_SECONDS = 1.0

_LOG = logging.getLogger(__name__)
Loader = Callable[[messages.Load, Callable[[str, int, int], None]], "Generator"]


@dataclass(frozen=True)
class _Job:
    id: int
    message: Any
    cancelled: threading.Event = field(default_factory=threading.Event)


class Server:
    """Answers the lines of `requests` on `replies`; `load` makes the generator that a message asks for and tells of its progress."""

    def __init__(self, requests: BinaryIO, replies: BinaryIO, load: Loader) -> None:
        self.stopped = threading.Event()
        self._requests = requests
        self._replies = replies
        self._load = load
        self._generator: Generator | None = None
        self._greeted = False
        self._jobs: queue.Queue[_Job | None] = queue.Queue()
        self._job: _Job | None = None
        self._state = threading.Lock()  # guards _job
        self._writing = threading.Lock()

    def run(self) -> None:
        """Answer until `shutdown` or the end of the requests; returns when the running job has stopped."""
        threading.Thread(target=self._read, name="requests", daemon=True).start()
        while job := self._jobs.get():
            self._work(job)

    def stop(self) -> None:
        """Cancel the running job and let `run` return after it."""
        with self._state:
            if self._job:
                self._job.cancelled.set()
        self._jobs.put(None)
        self.stopped.set()

    def _read(self) -> None:
        for line in self._lines():
            if self._receive(line):
                break
        self.stop()

    def _lines(self) -> Iterator[bytes]:
        while line := self._requests.readline(MAX_LINE_BYTES):
            if line.endswith(b"\n"):
                yield line
                continue
            while line and not line.endswith(b"\n"):
                line = self._requests.readline(MAX_LINE_BYTES)
            limit = f"A message is longer than {MAX_LINE_BYTES // 2**20} MiB or has no end."
            self._send(jsonrpc.failure(None, MotionGPTError(Code.INVALID_REQUEST, limit)))

    def _receive(self, line: bytes) -> bool:
        """Answer a request or hand it to the main thread; True if it is the last."""
        id = None
        try:
            id, method, params = jsonrpc.decode_request(line)
            if method not in messages.REQUESTS:
                raise MotionGPTError(Code.METHOD_NOT_FOUND, f"There is no method {method!r:.60}.")
            message = wire.unpack(messages.REQUESTS[method][0], params)
            if not self._greeted and not isinstance(message, messages.Hello):
                raise MotionGPTError(Code.INVALID_REQUEST, "The first request must be hello.")
            if isinstance(message, (messages.Load, messages.Generate, messages.Body, messages.Unload)):
                self._accept(_Job(id, message))
                return False
            self._send(jsonrpc.result(id, self._answer(message)))
            return isinstance(message, messages.Shutdown)
        except MotionGPTError as error:
            self._send(jsonrpc.failure(id, error))
            return False

    def _accept(self, job: _Job) -> None:
        with self._state:
            if self._job:
                raise MotionGPTError(Code.BUSY, "The backend is busy.", "Wait until it is done, or cancel what it is doing.")
            self._job = job
        self._jobs.put(job)

    def _answer(self, message: messages.Hello | messages.Cancel | messages.Shutdown) -> Any:
        match message:
            case messages.Hello():
                return self._greet(message)
            case messages.Cancel():
                return messages.CancelReply(self._cancel(message.id))
            case messages.Shutdown():
                return messages.Done()

    def _greet(self, hello: messages.Hello) -> messages.HelloReply:
        if hello.protocol != messages.VERSION:
            raise MotionGPTError(
                Code.PROTOCOL_MISMATCH,
                f"The backend speaks version {messages.VERSION} of the protocol and {hello.client} version {hello.protocol}.",
                "Restart Blender, so that both sides are those of the installed extension.",
            )
        self._greeted = True
        device = self._generator.info.device if self._generator else ""
        return messages.HelloReply(messages.VERSION, __version__, device, os.getpid())

    def _cancel(self, id: int) -> bool:
        with self._state:
            if self._job is None or self._job.id != id:
                return False
            self._job.cancelled.set()
            return True

    def _work(self, job: _Job) -> None:
        began = time.perf_counter()
        try:
            answer = jsonrpc.result(job.id, self._do(job))
        except Exception as error:
            answer = jsonrpc.failure(job.id, _readable(error))
        _LOG.info("%s took %.2f s", type(job.message).__name__.lower(), time.perf_counter() - began)
        with self._state:
            self._job = None  # before the answer, so that the next request does not find the server busy
        if job.cancelled.is_set():
            answer = jsonrpc.failure(job.id, _cancelled())
        self._send(answer)

    def _do(self, job: _Job) -> Any:
        match job.message:
            case messages.Load():
                return self._do_load(job)
            case messages.Generate():
                return self._do_generate(job)
            case messages.Body():
                return build_body(job.message)
            case messages.Unload():
                self._generator = None
                _free_memory()
                return messages.Done()

    def _do_load(self, job: _Job) -> messages.LoadReply:
        def on_progress(stage: str, done: int, total: int) -> None:
            if job.cancelled.is_set():
                raise _cancelled()
            self._send(jsonrpc.notification(messages.Progress(job.id, stage, done, total)))

        start = time.perf_counter()
        self._generator = None  # two models at once may not fit
        _free_memory()
        self._generator = self._load(job.message, on_progress)
        info = self._generator.info
        return messages.LoadReply(
            info.bundle, info.base_model, info.device, info.fps, info.max_seconds, time.perf_counter() - start, info.memory_mb
        )

    def _do_generate(self, job: _Job) -> messages.GenerateReply:
        if self._generator is None:
            raise MotionGPTError(Code.NOT_LOADED, "No model is loaded.", "Load one first.")
        start = time.perf_counter()

        def on_token(done: int, total: int) -> None:
            per_second = done / max(time.perf_counter() - start, 1e-9)
            self._send(jsonrpc.notification(messages.Progress(job.id, "Generating", done, total, per_second)))

        def on_preview(first: int, clip: "Clip") -> None:
            rotations, root = clip.local.astype(np.float32), clip.root.astype(np.float32)
            self._send(jsonrpc.notification(messages.Preview(job.id, first, rotations, root)))

        wanted = on_preview if job.message.preview else None
        return self._generator.generate(job.message, on_token, job.cancelled.is_set, wanted)

    def _send(self, line: bytes) -> None:
        try:
            with self._writing:
                self._replies.write(line)
                self._replies.flush()
        except OSError:  # nobody listens any more
            self.stop()


def serve() -> int:
    """Be the backend process; does not return before the process may end."""
    server = Server(*claim_stdio(), _load_generator)
    for watch in (_end_stuck_process, _stop_without_parent):
        threading.Thread(target=watch, args=(server,), name=watch.__name__, daemon=True).start()
    server.run()
    sys.stderr.flush()
    os._exit(0)  # an orderly end would wait for the thread that may still sit in a read


def claim_stdio() -> tuple[BinaryIO, BinaryIO]:
    """The real stdin and stdout, for the protocol alone: others find an empty stdin, and what they print goes to stderr."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    # On Windows a library that merely asks what stdin is would wait for the pending read if both were the same pipe.
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return requests, replies


def _load_generator(wanted: messages.Load, on_progress: Callable[[str, int, int], None]) -> "Generator":
    from .generation import Generator  # here, because it imports torch

    return Generator.load(wanted, on_progress)


def _end_stuck_process(server: Server) -> None:
    server.stopped.wait()
    time.sleep(_GRACE_SECONDS)
    os._exit(0)


def _stop_without_parent(server: Server) -> None:
    """Covers a POSIX parent that left its end of stdin open in another child; elsewhere stdin ends with the parent."""
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(_PARENT_INTERVAL_SECONDS)
    server.stop()


def _cancelled() -> MotionGPTError:
    return MotionGPTError(Code.CANCELLED, "Cancelled.")


def _readable(error: Exception) -> MotionGPTError:
    if isinstance(error, MotionGPTError):
        return error
    traceback.print_exception(error, file=sys.stderr)
    sys.stderr.flush()
    if _is_out_of_memory(error):
        traceback.clear_frames(error.__traceback__)  # they hold the tensors
        _free_memory()
        return MotionGPTError(
            Code.OUT_OF_MEMORY,
            "There is not enough memory.",
            "Ask for a shorter clip, close other programs, or load the model on the CPU or a smaller model.",
        )
    if isinstance(error, ImportError):
        return MotionGPTError(
            Code.INTERNAL_ERROR,
            f"The backend is incomplete: {error}.",
            "Press Check and Mend in the preferences of MotionGPT, or mend the environment that they name.",
        )
    return MotionGPTError(Code.INTERNAL_ERROR, f"{type(error).__name__}: {error}", "The log says where. Please report it.")


def _is_out_of_memory(error: Exception) -> bool:
    """Python's error, or torch's on any device (on some it is a plain RuntimeError)."""
    words = ("out of memory", "can't allocate memory")
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and any(w in str(error).lower() for w in words))


def _free_memory() -> None:
    gc.collect()
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_available():
        torch.cuda.empty_cache()
