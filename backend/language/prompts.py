"""Instructions as pieces of text and codes. The wording of each set lies in `templates/`, a JSON file each.

`paper` is the Alpaca form of MotionGPT with its four tasks and those it lacks (both ends, poses without text); its key poses
carry no times and it knows no length. `timed` is the form of bundles trained here: short, with the length asked for and the
time of every key pose.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

_FOLDER = Path(__file__).parent / "templates"

Piece = str | tuple[int, ...]  # text, or the codes of a position, one for each level


@dataclass(frozen=True)
class PoseCode:
    """The codes of a held pose, one for each level, and where it belongs: `first`, `last`, or a `key` at `seconds`."""

    place: str
    codes: tuple[int, ...]
    seconds: float = 0.0


@dataclass(frozen=True)
class Instruction:
    """What is asked of the model: a caption (may be empty if there are poses), poses, a length in seconds (None: open)."""

    caption: str
    poses: Sequence[PoseCode] = ()
    seconds: float | None = None

    @property
    def task(self) -> str:
        """The task by what is given, as the templates name it, for example `text first last`."""
        places = {pose.place for pose in self.poses}
        given = ["keys"] if "key" in places else [place for place in ("first", "last") if place in places]
        return " ".join(["text"] * bool(self.caption) + given)


@lru_cache
def load_template(name: str) -> dict:
    return json.loads((_FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def build_prompt(instruction: Instruction, template: dict) -> list[Piece]:
    """The prompt of an instruction. KeyError if the template has no wording for its task."""
    order = sorted(instruction.poses, key=lambda p: ({"first": 0, "key": 1, "last": 2}[p.place], p.seconds))
    poses = template["separator"].join(template[p.place].format(code=_mark(p.codes), seconds=p.seconds) for p in order)
    text = template["prompt"].format(
        instruction=template["instructions"][instruction.task] if template["instructions"] else "",
        caption=instruction.caption,
        length="" if instruction.seconds is None else template["length"].format(seconds=instruction.seconds),
        conditions=template["conditions"].format(poses=poses) if poses else "",
    )
    return _split(text)


SIDES = re.compile(r"\b(left|right|(?:counter|anti)[-\s]?clockwise|clockwise)\b", re.IGNORECASE)


def mirrored(caption: str) -> str:
    """The caption with left and right exchanged."""
    others = {"left": "right", "right": "left", "clockwise": "counterclockwise"}
    return SIDES.sub(lambda side: others.get(side[0].lower(), "clockwise"), caption)


def _mark(codes: tuple[int, ...]) -> str:
    return f"\0{','.join(map(str, codes))}\0"


def _split(text: str) -> list[Piece]:
    """Text with marked codes to pieces."""
    parts = re.split("\0([\\d,]+)\0", text)
    pieces: list[Piece] = [tuple(map(int, part.split(","))) if i % 2 else part for i, part in enumerate(parts)]
    return [piece for piece in pieces if piece != ""]
