"""Messages and arrays as JSON values: `pack` on one side, `unpack` on the other."""

import base64
import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

from .errors import Code, MotionGPTError

Message = TypeVar("Message")
_DTYPES = ("<f4", "<f8", "<i4", "<i8", "|b1")  # what may travel: plain numbers, no objects


def pack(value: Any) -> Any:
    """A message, array, sequence or plain value as something that `json.dumps` takes."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: pack(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, np.ndarray):
        array = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
        return {"dtype": array.dtype.str, "shape": list(value.shape), "data": base64.b64encode(array.tobytes()).decode("ascii")}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (list, tuple)):
        return [pack(v) for v in value]
    return value


def unpack(kind: type[Message], value: Any) -> Message:
    """The message of type `kind` in a JSON value; MotionGPTError (`INVALID_PARAMS`) names the field that is wrong."""
    return _unpack(kind, value, kind.__name__)


def _unpack(kind: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return _unpack_message(kind, value, where)
    if kind is np.ndarray:
        return _unpack_array(value, where)
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise _wrong(where, "a list", value)
        return tuple(_unpack(typing.get_args(kind)[0], v, f"{where}[{i}]") for i, v in enumerate(value))
    if isinstance(kind, types.UnionType):
        return None if value is None else _unpack(typing.get_args(kind)[0], value, where)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError as error:
            raise _wrong(where, "a number that is not so large", value) from error
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise _wrong(where, kind.__name__, value)
    return value


def _unpack_message(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, Mapping):
        raise _wrong(where, "an object", value)
    hints = typing.get_type_hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind)}
    if unknown := set(value) - set(fields):
        raise MotionGPTError(Code.INVALID_PARAMS, f"{where} has no field {', '.join(sorted(unknown))}.")
    required = [name for name, f in fields.items() if f.default is dataclasses.MISSING]
    if missing := [name for name in required if name not in value]:
        raise MotionGPTError(Code.INVALID_PARAMS, f"{where} lacks {', '.join(missing)}.")
    return kind(**{name: _unpack(hints[name], v, f"{where}.{name}") for name, v in value.items()})


def _unpack_array(value: Any, where: str) -> np.ndarray:
    try:
        if value["dtype"] not in _DTYPES:
            raise _wrong(where, f"an array of one of {', '.join(_DTYPES)}", value["dtype"])
        data = base64.b64decode(value["data"], validate=True)
        array = np.frombuffer(data, dtype=value["dtype"]).reshape(value["shape"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise _wrong(where, "an array", type(value).__name__) from error
    if not np.isfinite(array).all():
        raise MotionGPTError(Code.INVALID_PARAMS, f"{where} holds numbers that are not finite (NaN or infinity).")
    return array


def _wrong(where: str, wanted: str, value: Any) -> MotionGPTError:
    return MotionGPTError(Code.INVALID_PARAMS, f"{where} must be {wanted}, not {value!r:.60}.")
