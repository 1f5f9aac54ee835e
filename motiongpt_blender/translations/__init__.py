"""The interface's texts in other languages: a file for each, named as Blender names the language; no bpy here.

A text that is put together while the program runs is kept with numbered gaps: "There is no folder {0}.".
"""

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

_GAP = re.compile(r"\{\d+\}")


@cache
def texts(language: str) -> dict[str, str]:
    """English texts and what they are in `language`."""
    return json.loads((Path(__file__).parent / f"{language}.json").read_text(encoding="utf-8"))


def languages() -> list[str]:
    return sorted(path.stem for path in Path(__file__).parent.glob("*.json"))


def translate(text: str, look_up: Callable[[str], str]) -> str:
    """A text, put together or not, in another language; `look_up` gives the translation of a text, or the text if there is none."""
    found = look_up(text)
    if found != text:
        return found
    for template, pattern in _templates():
        if match := pattern.fullmatch(text):
            return look_up(template).format(*(translate(part, look_up) for part in match.groups()))
    return text


@cache
def _templates() -> list[tuple[str, re.Pattern[str]]]:
    """Texts with gaps, those that say most by themselves first."""
    gapped = {text for language in languages() for text in texts(language) if _GAP.search(text)}
    ordered = sorted(gapped, key=lambda text: len(_GAP.sub("", text)), reverse=True)
    return [(text, re.compile("(.*?)".join(map(re.escape, _GAP.split(text))), re.DOTALL)) for text in ordered]
