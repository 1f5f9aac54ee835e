"""Prompts to choose from: those that come with the extension, the user's own, and those used lately."""

import contextlib
import json
from functools import lru_cache
from pathlib import Path

from ..backend.files import make_folder, write_whole

_PRESETS = Path(__file__).parent / "presets" / "prompts.json"
_RECENT = 20


@lru_cache
def presets() -> dict[str, tuple[str, ...]]:
    """The prompts that come with the extension, by kind of motion."""
    return {kind: tuple(prompts) for kind, prompts in json.loads(_PRESETS.read_text(encoding="utf-8")).items()}


class PromptBook:
    """The user's prompts, kept in a file: `own`, in the order of the alphabet, and `recent`, the latest first."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def own(self) -> list[str]:
        return self._read()["own"]

    @property
    def recent(self) -> list[str]:
        return self._read()["recent"]

    def add(self, prompt: str) -> None:
        """Keep a prompt among the user's own; MotionGPTError, here and below, if that cannot be written."""
        book = self._read()
        self._write(book | {"own": sorted({*book["own"], prompt}, key=str.casefold)})

    def remove(self, prompt: str) -> None:
        """Keep a prompt no longer; one that is not kept is left at that."""
        book = self._read()
        self._write(book | {"own": [p for p in book["own"] if p != prompt]})

    def note(self, prompt: str) -> None:
        """Put a prompt that was used before all others."""
        book = self._read()
        recent = [prompt, *(p for p in book["recent"] if p != prompt)][:_RECENT]
        if recent != book["recent"]:
            self._write(book | {"recent": recent})

    def _read(self) -> dict[str, list[str]]:
        book: dict[str, list[str]] = {"own": [], "recent": []}
        with contextlib.suppress(OSError, ValueError, AttributeError, TypeError):  # edited by hand: not worth stopping for
            kept = json.loads(self._path.read_text(encoding="utf-8"))
            book |= {name: [str(prompt) for prompt in kept.get(name, ())] for name in book}
        return book

    def _write(self, book: dict[str, list[str]]) -> None:
        make_folder(self._path.parent)
        write_whole(self._path, json.dumps(book, indent=1, ensure_ascii=False).encode("utf-8"))
