"""Tables of prompts: CSV with a line of column names, or JSON Lines with an object a line."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ...backend.files import reason_of
from ...backend.protocol.errors import Code, MotionGPTError

_MOST = 2**31 - 1  # of whole numbers that Blender keeps
_YES, _NO = ("yes", "true", "1", "x"), ("no", "false", "0", "")


@dataclass(frozen=True)
class Row:
    """A clip to be made; None and empty leave it to the batch. A length is given in `seconds` or in `frames` of the scene."""

    prompt: str
    seconds: float | None = None
    frames: int | None = None
    seed: int | None = None
    character: str = ""
    name: str = ""
    tags: tuple[str, ...] = ()
    loop: bool | None = None


def load_table(path: Path) -> tuple[Row, ...]:
    """The rows of a .csv or .jsonl file; MotionGPTError names the file, and the line that is wrong."""
    if path.suffix.lower() not in _READERS:
        raise _wrong(f"{path.name} is not a table.", f"Choose a file whose name ends with {' or '.join(_READERS)}.")
    try:
        text = path.read_text(encoding="utf-8-sig")  # spreadsheets put a mark before the first column's name
    except OSError as error:
        raise _wrong(f"{path} cannot be read: {reason_of(error)}.", "Choose another table.") from error
    except UnicodeDecodeError as error:
        raise _wrong(f"{path.name} is not written in UTF-8.", "Save it as CSV UTF-8.") from error
    return read_table(text, path.suffix, path.name)


def read_table(text: str, suffix: str, name: str) -> tuple[Row, ...]:
    """The rows in the text of a table whose file name ends with `suffix`; `name` is what errors call it."""
    rows = []
    for line, values in _READERS[suffix.lower()](text, name):
        try:
            rows.append(_row(values))
        except ValueError as error:
            raise _wrong(f"{name}, line {line}: {error}.", "Correct the table.") from error
    if not rows:
        raise _wrong(f"{name} has no rows.", "Write at least one prompt into it.")
    return tuple(rows)


def _read_csv(text: str, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    columns = [column.strip().lower() for column in _next(reader, name) or ()]
    while (cells := _next(reader, name)) is not None:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) > len(columns):
            raise _wrong(
                f"{name}, line {reader.line_num}: there are {len(cells)} values for {len(columns)} columns.", "Quote texts with commas."
            )
        yield reader.line_num, dict(zip(columns, cells, strict=False))


def _next(reader: Any, name: str) -> list[str] | None:
    try:
        return next(reader, None)
    except csv.Error as error:
        raise _wrong(f"{name}, line {reader.line_num}: this is not CSV ({error}).", "Save the table as CSV UTF-8.") from error


def _read_json_lines(text: str, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except json.JSONDecodeError as error:
            raise _wrong(f"{name}, line {number}: this is not JSON ({error.msg}).", "Write one object a line.") from error
        if not isinstance(values, dict):
            raise _wrong(f"{name}, line {number}: this is not a JSON object.", "Write one object a line.")
        yield number, values


_READERS: dict[str, Callable[[str, str], Iterator[tuple[int, dict[str, Any]]]]] = {".csv": _read_csv, ".jsonl": _read_json_lines}


def _row(values: Mapping[str, Any]) -> Row:
    """The row of a table's `values` by column; ValueError says what is wrong with them."""
    known = [field.name for field in fields(Row)]
    if unknown := [name for name in values if name not in known]:
        raise ValueError(f"there is no column {', '.join(map(repr, unknown))}, only {', '.join(known)}")
    given = {name: value for name, value in values.items() if value is not None and (not isinstance(value, str) or value.strip())}
    row = Row(**{name: _PARSERS[name](name, value) for name, value in {"prompt": "", **given}.items()})
    if not row.prompt:
        raise ValueError("there is no prompt")
    if row.seconds is not None and row.frames is not None:
        raise ValueError("the length is given both in seconds and in frames")
    return row


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a text, not {value!r}")
    return " ".join(value.split())


def _positive(name: str, value: Any) -> float:
    number = _number(name, value)
    if not 0 < number < float("inf"):
        raise ValueError(f"{name} must be a number above 0, not {value!r}")
    return number


def _whole(least: int) -> Callable[[str, Any], int]:
    def parse(name: str, value: Any) -> int:
        number = _number(name, value)
        if not least <= number <= _MOST or number != number // 1:
            raise ValueError(f"{name} must be a whole number from {least} to {_MOST}, not {value!r}")
        return int(number)

    return parse


def _number(name: str, value: Any) -> float:
    try:
        if isinstance(value, bool):
            raise ValueError
        return float(value.replace(",", ".") if isinstance(value, str) else value)  # some spreadsheets write 2,5
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be a number, not {value!r}") from error


def _tags(name: str, value: Any) -> tuple[str, ...]:
    parts = value.replace(",", ";").split(";") if isinstance(value, str) else value
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise ValueError(f"{name} must be texts with ; between them, not {value!r}")
    return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))


def _flag(name: str, value: Any) -> bool:
    word = str(value).strip().lower()
    if word not in (*_YES, *_NO):
        raise ValueError(f"{name} must be yes or no, not {value!r}")
    return word in _YES


def _wrong(message: str, remedy: str) -> MotionGPTError:
    return MotionGPTError(Code.INVALID_PARAMS, message, remedy)


_PARSERS: dict[str, Callable[[str, Any], Any]] = {
    "prompt": _text,
    "seconds": _positive,
    "frames": _whole(2),
    "seed": _whole(0),
    "character": _text,
    "name": _text,
    "tags": _tags,
    "loop": _flag,
}
