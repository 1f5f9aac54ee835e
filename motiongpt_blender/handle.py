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
        """The object, if it is in the scene that is shown."""
        return self.find_in(bpy.context.scene.objects)

    def find_in(self, collection: Mapping[str, Any]) -> Any | None:
        """What it is of in one of Blender's collections, if it is still there."""
        data = collection.get(self.name)
        if data and data.session_uid == self.uid:
            return data
        return next((d for d in collection.values() if d.session_uid == self.uid), None)


def scene_of(obj: bpy.types.Object) -> bpy.types.Scene:
    """The scene that is shown if the object is in it, else another one that it is in."""
    scenes = obj.users_scene
    return bpy.context.scene if bpy.context.scene in scenes else scenes[0]


def depsgraph_of(obj: bpy.types.Object) -> bpy.types.Depsgraph:
    """What the object's scene looks like now, brought up to date, which takes Blender as long as it takes."""
    scene = scene_of(obj)
    if scene == bpy.context.scene:
        return bpy.context.evaluated_depsgraph_get()
    layer = next((layer for layer in scene.view_layers if obj.name in layer.objects), scene.view_layers[0])
    layer.update()
    return layer.depsgraph
