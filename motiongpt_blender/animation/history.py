"""What an action remembers of how it was made, in custom properties of its own."""

from dataclasses import dataclass, replace
from uuid import uuid4

import bpy

from ...backend import __version__
from ...backend.protocol.errors import Code, MotionGPTError
from ..orders import Order, from_text, to_text

KEY = "motiongpt"


@dataclass(frozen=True)
class Record:
    """How an action was made: clip `variation` of `variations` of one order, which all carry the same `group`."""

    order: Order
    bundle: str
    group: str
    variation: int
    variations: int


def stamp(action: bpy.types.Action, record: Record) -> None:
    order = record.order
    action[KEY] = {
        "version": __version__,
        "bundle": record.bundle,
        "prompt": order.prompt,
        "seed": order.request.seed,
        "poses": [order.start + frame for frame in order.met],
        "group": record.group,
        "variation": record.variation,
        "variations": record.variations,
        "order": to_text(order),
    }


def is_made(action: bpy.types.Action) -> bool:
    return KEY in action


def prompt_of(action: bpy.types.Action) -> str:
    return action[KEY]["prompt"]


def read_order(action: bpy.types.Action) -> Order:
    """The order that made the action; MotionGPTError if it was not made here, or by a version that kept it otherwise."""
    if not is_made(action):
        raise MotionGPTError(Code.INVALID_PARAMS, f"The action {action.name} was not generated.", "Choose one that was.")
    return from_text(action[KEY]["order"])


def variations_of(action: bpy.types.Action) -> list[bpy.types.Action]:
    """All that are left of the clips that were made together with this one, it included, in order."""
    if not is_made(action):
        return []
    group = action[KEY]["group"]
    if action[KEY]["variations"] == 1:
        return [action]
    return sorted((a for a in bpy.data.actions if is_made(a) and a[KEY]["group"] == group), key=lambda a: a[KEY]["variation"])


def set_apart(action: bpy.types.Action) -> None:
    """Let the action be a clip of its own, no longer one of several."""
    action[KEY] = action[KEY].to_dict() | {"group": uuid4().hex, "variation": 1, "variations": 1}


def again(armature: bpy.types.Object, seed: int | None) -> Order:
    """The order of the action that the character plays, with another seed if one is given; MotionGPTError if there is none."""
    action = armature.animation_data and armature.animation_data.action
    if action is None:
        raise MotionGPTError(
            Code.INVALID_PARAMS, f"{armature.name} plays no action.", "Generate one first, or assign one that was generated."
        )
    order = read_order(action)
    return order if seed is None else replace(order, request=replace(order.request, seed=seed))
