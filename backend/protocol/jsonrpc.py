"""JSON-RPC 2.0 around the messages: every envelope is one line of ASCII that ends with a newline."""

import json
from typing import Any

from . import messages, wire
from .errors import Code, MotionGPTError

MAX_LINE_BYTES = 16 * 2**20  # of a request; one with a hundred poses has some hundred thousand
_REQUEST_NAMES = {kind: name for name, (kind, _) in messages.REQUESTS.items()}
_NOTIFICATION_NAMES = {kind: name for name, kind in messages.NOTIFICATIONS.items()}


def request(id: int, message: Any) -> bytes:
    return _line({"id": id, "method": _REQUEST_NAMES[type(message)], "params": wire.pack(message)})


def notification(message: Any) -> bytes:
    return _line({"method": _NOTIFICATION_NAMES[type(message)], "params": wire.pack(message)})


def result(id: int, reply: Any) -> bytes:
    return _line({"id": id, "result": wire.pack(reply)})


def failure(id: int | None, error: MotionGPTError) -> bytes:
    """The answer to a request that failed; `id` is None where the request could not be read."""
    return _line({"id": id, "error": {"code": int(error.code), "message": error.message, "data": {"remedy": error.remedy}}})


def decode(line: bytes) -> dict[str, Any]:
    """The envelope in a line; MotionGPTError (`PARSE_ERROR`, `INVALID_REQUEST`) where it is none."""
    try:
        envelope = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise MotionGPTError(Code.PARSE_ERROR, f"A message is not JSON: {line[:60]!r}.") from error
    if not isinstance(envelope, dict) or envelope.get("jsonrpc") != "2.0":
        raise MotionGPTError(Code.INVALID_REQUEST, f"A message is not JSON-RPC 2.0: {line[:60]!r}.")
    return envelope


def decode_request(line: bytes) -> tuple[int, str, Any]:
    """Id, method and packed parameters of the request in a line; MotionGPTError as for `decode`."""
    envelope = decode(line)
    id, method = envelope.get("id"), envelope.get("method")
    if not isinstance(id, int) or isinstance(id, bool) or not isinstance(method, str):
        raise MotionGPTError(Code.INVALID_REQUEST, "A request needs a whole number as id and the name of a method.")
    return id, method, envelope.get("params", {})


def to_error(error: dict[str, Any]) -> MotionGPTError:
    """The error that a `failure` carries."""
    known = error.get("code") in set(Code)
    code = Code(error["code"]) if known else Code.INTERNAL_ERROR
    return MotionGPTError(code, error.get("message", ""), error.get("data", {}).get("remedy", ""))


def _line(envelope: dict[str, Any]) -> bytes:
    return json.dumps({"jsonrpc": "2.0", **envelope}, separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n"
