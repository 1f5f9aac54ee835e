"""Every error that crosses the process boundary: a code, what happened, and what to do about it."""

from enum import IntEnum


class Code(IntEnum):
    """JSON-RPC's reserved codes and, from -32000 down, this protocol's own."""

    PARSE_ERROR = -32700
    INVALID_REQUEST = -32600
    METHOD_NOT_FOUND = -32601
    INVALID_PARAMS = -32602
    INTERNAL_ERROR = -32603
    CANCELLED = -32000
    NOT_LOADED = -32001
    BUNDLE_MISSING = -32002
    BUNDLE_ALTERED = -32003
    BASE_MODEL_MISSING = -32004
    OUT_OF_MEMORY = -32005
    PROTOCOL_MISMATCH = -32006
    BACKEND_MISSING = -32007  # raised on Blender's side: there is no interpreter to start
    BACKEND_ENDED = -32008  # raised on Blender's side: the process is gone
    BUSY = -32009
    SETUP_FAILED = -32010  # raised on Blender's side: the backend's environment could not be made
    OFFLINE = -32011  # raised on Blender's side: Blender has no online access
    FOLDER_MISSING = -32012  # raised on Blender's side: the preferences name a folder that is not there or not what it should be


class MotionGPTError(Exception):
    """An error for the animator: `message` says what happened, `remedy` what to do about it."""

    def __init__(self, code: Code, message: str, remedy: str = "") -> None:
        super().__init__(f"{message} {remedy}".strip())
        self.code = code
        self.message = message
        self.remedy = remedy


def in_seconds(duration: float) -> str:
    """A time as errors give it: with three decimals at most."""
    return f"{duration:.3f}".rstrip("0").rstrip(".")
