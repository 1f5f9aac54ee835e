"""Data across time: what Blender gives may be gone after an undo, so the number that it has in this session is kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import bpy


@dataclass(frozen=True)
class Handle:
    """An object, or other data, by the number that it keeps while Blender runs, and the name that it had."""

    uid: int
    name: str

    @classmethod
    def of(cls, data: bpy.types.ID) -> "Handle":
        return cls(data.session_uid, data.name)

    def find(self) -> bpy.types.Object | None:
        """The object, if it is still in the scene."""
        return self.find_in(bpy.context.scene.objects)

    def find_in(self, collection: Mapping[str, Any]) -> Any | None:
        """What it is of in one of Blender's collections, if it is still there."""
        data = collection.get(self.name)
        if data and data.session_uid == self.uid:
            return data
        return next((d for d in collection.values() if d.session_uid == self.uid), None)
