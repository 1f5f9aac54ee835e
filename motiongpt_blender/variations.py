"""Going through the clips that were made, those of one order and those of the whole file."""

import bpy

from ..backend.protocol.errors import Code, MotionGPTError
from .animation.action import assign, require_animatable
from .animation.history import is_made, set_apart, variations_of


def are_there(armature: bpy.types.Object) -> bool:
    """Whether the character plays one of several variations that are still in the file."""
    return len(_of(armature)) > 1


def place(armature: bpy.types.Object) -> tuple[int, int]:
    """Which of how many variations the character plays, from 1."""
    there = _of(armature)
    return there.index(armature.animation_data.action) + 1, len(there)


def show(armature: bpy.types.Object, step: int) -> None:
    """Have the character play the variation `step` further on, in a ring."""
    there = _of(armature)
    assign(armature, there[(there.index(armature.animation_data.action) + step) % len(there)])


def keep(armature: bpy.types.Object, remove_others: bool) -> int:
    """Make the played variation a clip of its own, and delete the others that nothing else uses; returns how many."""
    played = armature.animation_data.action
    others = [action for action in _of(armature) if action != played]
    set_apart(played)
    unused = [action for action in others if action.users == int(action.use_fake_user)] if remove_others else []
    bpy.data.batch_remove(unused)
    return len(unused)


def use(armature: bpy.types.Object, name: str) -> None:
    """Have the character play a generated action; MotionGPTError if there is none of that name."""
    action = bpy.data.actions.get(name)
    if action is None or not is_made(action):
        raise MotionGPTError(Code.INVALID_PARAMS, f"There is no generated action called {name!r}.", "Choose one of the list.")
    require_animatable(armature)
    assign(armature, action)


def _of(armature: bpy.types.Object) -> list[bpy.types.Action]:
    action = armature.animation_data and armature.animation_data.action
    return variations_of(action) if action else []
