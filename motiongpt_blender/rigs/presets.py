"""The maps there are: those that come with the extension, and the animator's own, saved as presets."""

import contextlib
import json
import re
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from ...backend.files import make_folder, reason_of, write_whole
from ...backend.protocol.errors import Code, MotionGPTError
from ..preferences import user_folder
from .detection import Mapping, RigMap, load_map

_FOLDER = Path(__file__).parent / "maps"


@lru_cache
def rig_maps() -> tuple[RigMap, ...]:
    """All maps, the animator's own first, each by file name; own files that hold none are left out."""
    own = []
    for path in sorted(_own_folder().glob("*.json")):
        with contextlib.suppress(MotionGPTError):
            own.append(replace(load_map(path), own=True))
    return (*own, *(load_map(path) for path in sorted(_FOLDER.glob("*.json"))))


def find_map(name: str) -> RigMap:
    """The map called `name`; MotionGPTError if there is none."""
    rig_map = next((rig_map for rig_map in rig_maps() if rig_map.name == name), None)
    if rig_map is None:
        raise MotionGPTError(Code.INVALID_PARAMS, f"There is no map called {name}.", "Choose one of the list.")
    return rig_map


def own_maps() -> tuple[RigMap, ...]:
    return tuple(rig_map for rig_map in rig_maps() if rig_map.own)


def save_map(name: str, mapping: Mapping) -> None:
    """Save a mapping as the animator's own map `name`, in place of the one of that name; MotionGPTError if that cannot be done."""
    stem = re.sub(r"\W+", "_", name).strip("_").casefold()
    if not stem:
        raise MotionGPTError(Code.INVALID_PARAMS, "The preset has no name.", "Give it a name with letters or digits.")
    fields: dict[str, object] = {"name": name.strip(), "bones": mapping.bones}
    if mapping.controls:
        fields["controls"] = find_map(mapping.kind).controls
    make_folder(_own_folder())
    write_whole(_own_folder() / f"{stem}.json", json.dumps(fields, ensure_ascii=False, indent=2).encode("utf-8"))
    rig_maps.cache_clear()


def remove_map(name: str) -> None:
    """Remove the animator's own map `name`; MotionGPTError if there is none, or if it cannot be removed."""
    rig_map = next((rig_map for rig_map in own_maps() if rig_map.name == name), None)
    if rig_map is None:
        raise MotionGPTError(Code.INVALID_PARAMS, f"There is no preset called {name}.", "Choose one of the list.")
    try:
        rig_map.path.unlink(missing_ok=True)
    except OSError as error:
        message = f"{rig_map.path} cannot be removed: {reason_of(error)}."
        raise MotionGPTError(Code.INTERNAL_ERROR, message, "Allow writing there.") from error
    rig_maps.cache_clear()


def _own_folder() -> Path:
    return user_folder("rigs")
