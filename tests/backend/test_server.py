"""The backend process at its edges, spoken to with raw bytes; what needs a model is in `test_connection`."""

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any, BinaryIO, cast

import pytest
from bodies import write_model

from backend.protocol import jsonrpc, messages
from backend.protocol.errors import Code, MotionGPTError
from backend.server import MAX_LINE_BYTES, Loader, Server

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-P", "-m", "backend", "serve"]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}
HELLO = messages.Hello(messages.VERSION, "test")


class Peer:
    """The other end of a server's two pipes."""

    def __init__(self, requests: IO[bytes], replies: IO[bytes]) -> None:
        self.requests = requests
        self._received: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=self._read, args=(replies,), daemon=True).start()

    def _read(self, replies: IO[bytes]) -> None:
        for line in replies:
            self._received.put(line)
        self._received.put(b"")

    def send(self, line: bytes) -> None:
        self.requests.write(line)
        self.requests.flush()

    def receive(self) -> dict[str, Any]:
        """The next message; AssertionError at the end of the replies."""
        line = self._received.get(timeout=120.0)  # kernels may have to be compiled first
        assert line, "the server ended"
        return jsonrpc.decode(line)

    def ask(self, id: int, message: Any) -> dict[str, Any]:
        """The answer to a request; notifications on the way are dropped."""
        self.send(jsonrpc.request(id, message))
        while "method" in (answer := self.receive()):
            pass
        assert answer["id"] == id
        return answer


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=ENVIRONMENT) as process:
        yield process
        process.kill()


@pytest.fixture
def peer(process: subprocess.Popen[bytes]) -> Peer:
    assert process.stdin and process.stdout
    return Peer(process.stdin, process.stdout)


def error_code(answer: dict[str, Any]) -> Code:
    return Code(answer["error"]["code"])


def test_hello_tells_version_and_process(peer: Peer, process: subprocess.Popen[bytes]):
    reply = peer.ask(1, HELLO)["result"]
    assert reply["protocol"] == messages.VERSION
    assert reply["version"].count(".") == 2
    assert reply["pid"] == process.pid


def test_starting_does_not_import_torch():
    script = "import sys, backend.cli, backend.server; print(sorted({'torch', 'transformers', 'smplx'} & set(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", script], env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_hello_comes_first(peer: Peer):
    assert error_code(peer.ask(1, messages.Load())) is Code.INVALID_REQUEST
    assert "result" in peer.ask(2, HELLO)


def test_another_version_is_refused_with_a_remedy(peer: Peer):
    answer = peer.ask(1, messages.Hello(messages.VERSION + 1, "test"))
    assert error_code(answer) is Code.PROTOCOL_MISMATCH
    assert answer["error"]["data"]["remedy"]
    assert error_code(peer.ask(2, messages.Unload())) is Code.INVALID_REQUEST


@pytest.mark.parametrize(
    ("line", "id", "code"),
    [
        (b"\n", None, Code.PARSE_ERROR),
        (b"GET / HTTP/1.1\r\n", None, Code.PARSE_ERROR),
        (bytes(range(11, 256)) + b"\n", None, Code.PARSE_ERROR),
        (b'{"jsonrpc":"2.0","id":1,"method":"hello","params":{"protocol":"1","client":"x"}}\n', 1, Code.INVALID_PARAMS),
        (b'{"jsonrpc":"2.0","id":2,"method":"hello","params":[1]}\n', 2, Code.INVALID_PARAMS),
        (b'{"jsonrpc":"2.0","id":3,"method":"__init__"}\n', 3, Code.METHOD_NOT_FOUND),
        (b'[{"jsonrpc":"2.0","id":4,"method":"hello"}]\n', None, Code.INVALID_REQUEST),
    ],
)
def test_nonsense_is_answered_and_survived(peer: Peer, line: bytes, id: int | None, code: Code):
    peer.send(line)
    answer = peer.receive()
    assert (answer["id"], error_code(answer)) == (id, code)
    assert "result" in peer.ask(9, HELLO)


def test_a_line_without_end_is_refused_and_survived(peer: Peer):
    peer.send(b"x" * (MAX_LINE_BYTES + 1000) + b"\n")
    assert error_code(peer.receive()) is Code.INVALID_REQUEST
    assert "result" in peer.ask(1, HELLO)


def test_generating_without_a_model_says_so(peer: Peer):
    peer.ask(1, HELLO)
    assert error_code(peer.ask(2, messages.Generate((messages.Segment("walk", 40),), 20.0))) is Code.NOT_LOADED


def test_a_body_needs_no_model(peer: Peer, tmp_path: Path):
    peer.ask(1, HELLO)
    assert error_code(peer.ask(2, messages.Body("nowhere"))) is Code.INVALID_PARAMS
    assert peer.ask(3, messages.Body(str(write_model(tmp_path / "model.npz"))))["result"]["kind"] == "SMPL"


def test_cancelling_what_does_not_run_changes_nothing(peer: Peer):
    peer.ask(1, HELLO)
    assert peer.ask(2, messages.Cancel(1))["result"] == {"cancelled": False}


def test_shutdown_is_answered_and_ends_the_process(peer: Peer, process: subprocess.Popen[bytes]):
    peer.ask(1, HELLO)
    assert peer.ask(2, messages.Shutdown())["result"] == {}
    assert process.wait(10.0) == 0


@pytest.mark.parametrize("unfinished", [b"", b'{"jsonrpc":"2.0","id":1,"meth'])
def test_the_end_of_stdin_ends_the_process(process: subprocess.Popen[bytes], unfinished: bytes):
    assert process.stdin
    process.stdin.write(unfinished)
    process.stdin.close()
    assert process.wait(10.0) == 0


@pytest.mark.skipif(os.name == "nt", reason="there, stdin ends with the parent")
def test_the_end_of_the_parent_ends_the_process():
    parent = f"import subprocess; subprocess.run({COMMAND!r})"
    with subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=ENVIRONMENT) as process:
        assert process.stdin and process.stdout  # the backend has inherited both; our end of stdin stays open
        process.stdin.write(jsonrpc.request(1, HELLO))
        process.stdin.flush()
        process.stdout.readline()
        process.kill()
        backend_ends = threading.Thread(target=process.stdout.read)
        backend_ends.start()
        backend_ends.join(10.0)
        outlived = backend_ends.is_alive()
        process.stdin.close()
    assert not outlived


def test_a_generation_does_not_outlive_stdin_and_prints_only_protocol(peer: Peer, process: subprocess.Popen[bytes]):
    peer.ask(1, HELLO)
    assert "result" in peer.ask(2, messages.Load(device="cpu"))
    peer.send(jsonrpc.request(3, messages.Generate((messages.Segment("a person walks", 190),), 20.0)))
    while "result" not in (said := peer.receive()) and said["params"]["done"] < 3:
        pass
    peer.requests.close()
    assert process.wait(5.0) == 0
    with pytest.raises(AssertionError, match="ended"):
        while peer.receive():
            pass


def test_only_the_protocol_gets_the_real_stdout():
    script = "\n".join(
        [
            "import os, subprocess, sys",
            "from backend.server import claim_stdio",
            "requests, replies = claim_stdio()",
            "print('print'); sys.__stdout__.write('sys'); sys.__stdout__.flush(); os.write(1, b'write')",
            "subprocess.run([sys.executable, '-c', 'import sys; print(\"child\", sys.stdin.read())'], check=True)",
            "replies.write(b'answer to ' + requests.readline()); replies.flush()",
        ]
    )
    said = subprocess.run([sys.executable, "-c", script], input=b"request\n", env=ENVIRONMENT, capture_output=True, check=True)
    assert said.stdout == b"answer to request\n"
    assert all(word in said.stderr for word in (b"print", b"sys", b"write", b"child"))


@pytest.fixture
def serve() -> Iterator[Any]:
    """Runs a server with a given loader in this process; greeted already."""
    ends: list[BinaryIO] = []

    def start(load: Any) -> Peer:
        (request_end, our_requests), (our_replies, reply_end) = os.pipe(), os.pipe()
        requests, replies = os.fdopen(our_requests, "wb"), os.fdopen(our_replies, "rb")
        server = Server(os.fdopen(request_end, "rb"), os.fdopen(reply_end, "wb"), cast(Loader, load))
        threading.Thread(target=server.run, daemon=True).start()
        ends.append(requests)
        peer = Peer(requests, replies)
        peer.ask(0, HELLO)
        return peer

    yield start
    for end in ends:
        end.close()


@pytest.mark.parametrize(
    ("error", "code", "word"),
    [
        (MemoryError(), Code.OUT_OF_MEMORY, "memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."), Code.OUT_OF_MEMORY, "memory"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"), Code.OUT_OF_MEMORY, "memory"),
        (ModuleNotFoundError("No module named 'torch'"), Code.INTERNAL_ERROR, "torch"),
        (MotionGPTError(Code.BUNDLE_MISSING, "No bundle there.", "Choose another."), Code.BUNDLE_MISSING, "No bundle there."),
        (ValueError("unexpected"), Code.INTERNAL_ERROR, "ValueError: unexpected"),
    ],
)
def test_what_goes_wrong_in_a_job_is_told_and_survived(serve: Any, error: Exception, code: Code, word: str):
    def load(wanted: messages.Load, on_progress: Any) -> Any:
        raise error

    peer = serve(load)
    answer = peer.ask(1, messages.Load())
    assert error_code(answer) is code
    assert word in answer["error"]["message"]
    assert answer["error"]["data"]["remedy"]
    assert error_code(peer.ask(2, messages.Generate((messages.Segment("walk", 40),), 20.0))) is Code.NOT_LOADED


def test_loading_reports_its_stages_refuses_other_work_and_can_be_cancelled(serve: Any):
    go_on = threading.Event()

    def load(wanted: messages.Load, on_progress: Any) -> Any:
        on_progress("Reading weights", 1, 2)
        go_on.wait(10.0)
        on_progress("Reading weights", 2, 2)
        return SimpleNamespace()

    peer = serve(load)
    peer.send(jsonrpc.request(1, messages.Load()))
    assert peer.receive()["params"] == {"id": 1, "stage": "Reading weights", "done": 1, "total": 2, "per_second": 0.0}
    assert error_code(peer.ask(2, messages.Load())) is Code.BUSY
    assert error_code(peer.ask(3, messages.Unload())) is Code.BUSY
    assert peer.ask(4, messages.Cancel(1))["result"] == {"cancelled": True}
    go_on.set()
    answer = peer.receive()
    assert (answer["id"], error_code(answer)) == (1, Code.CANCELLED)
    assert peer.ask(5, messages.Unload())["result"] == {}


def test_a_reply_that_cannot_be_sent_becomes_an_error(serve: Any):
    info = {"bundle": "b", "base_model": "m", "device": "cpu", "fps": float("nan"), "max_seconds": 9.8, "memory_mb": 1.0}
    peer = serve(lambda *_: SimpleNamespace(info=SimpleNamespace(**info)))
    assert error_code(peer.ask(1, messages.Load())) is Code.INTERNAL_ERROR
