"""Objects across time: what Blender gives may be gone after an undo, so the number that an object has in this session is kept."""

from dataclasses import dataclass

import bpy


@dataclass(frozen=True)
class Handle:
    """An object by the number that it keeps while Blender runs, and the name that it had."""

    uid: int
    name: str

    @classmethod
    def of(cls, obj: bpy.types.Object) -> "Handle":
        return cls(obj.session_uid, obj.name)

    def find(self) -> bpy.types.Object | None:
        """The object, if it is still in the scene."""
        objects = bpy.context.scene.objects
        obj = objects.get(self.name)
        if obj and obj.session_uid == self.uid:
            return obj
        return next((o for o in objects if o.session_uid == self.uid), None)
