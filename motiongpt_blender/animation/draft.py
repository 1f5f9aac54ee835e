"""Actions while they are written, in steps between which Blender goes on. Nothing plays them before they are done.

Drafts are marked as such, so that one that an undo step brings back can be removed.
"""

import bpy

from ..handle import Handle

KEY = "motiongpt_draft"


class Gone(Exception):
    """A draft is not there any more, or what it was made from: something was undone, or somebody has removed it."""


class Drafts:
    """Drafts that belong together, as a context: what has not been taken out at its end is removed."""

    def __init__(self) -> None:
        self._drafts: list[Handle] = []

    def __enter__(self) -> "Drafts":
        return self

    def __exit__(self, *_: object) -> None:
        for draft in self._drafts:
            if action := draft.find_in(bpy.data.actions):
                bpy.data.actions.remove(action)

    def add(self, action: bpy.types.Action) -> Handle:
        action[KEY] = True
        self._drafts.append(Handle.of(action))
        return self._drafts[-1]

    def find(self, draft: Handle) -> bpy.types.Action:
        """The action of a draft; Gone if there is none any more."""
        action = draft.find_in(bpy.data.actions)
        if action is None:
            raise Gone
        return action

    def take(self, draft: Handle) -> bpy.types.Action:
        """The action of a draft, which is none from now on."""
        action = self.find(draft)
        del action[KEY]
        self._drafts.remove(draft)
        return action


def heal() -> None:
    """Remove drafts that an undo step or a file brings back. One that is being written is then begun anew."""
    bpy.data.batch_remove([action for action in bpy.data.actions if KEY in action])
