"""Which bundles lie in some folders; no bpy here."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Found:
    name: str
    folder: Path


def find_bundles(folders: Iterable[Path]) -> list[Found]:
    """The bundles that the folders are or hold, in their order; a folder that cannot be read has none."""
    found = {}
    for folder in folders:
        for description in sorted([*folder.glob("bundle.json"), *folder.glob("*/bundle.json")]):
            try:
                name = json.loads(description.read_text(encoding="utf-8"))["name"]
            except (OSError, ValueError, KeyError, TypeError):
                continue
            found[description.parent] = Found(str(name), description.parent)
    return list(found.values())
