"""From the table and what is in the scene to the plan of a batch."""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cache

import bpy

from ...backend.protocol import messages
from ...backend.protocol.errors import MotionGPTError
from ..animation.action import action_name, require_animatable
from ..asking import make_order, scene_rate
from ..orders import Order
from ..properties import Asked
from ..rigs.character import find_character
from .plan import Defaults, plan_tasks
from .run import not_made_yet
from .store import Plan
from .table import Row

_NOT_ASKED = {"pose_use": "NONE", "mode": "NEW", "key_poses": (), "path": None, "variations": 1, "preview": False}


def make_plan(context: bpy.types.Context, asked: Asked, rows: Iterable[Row], characters: Sequence[str] = ()) -> Plan:
    """The plan of a batch for the `characters` of these names, or else for those that are selected.

    MotionGPTError says what cannot be made, before anything is.
    """
    scene, clip = context.scene, context.scene.motiongpt
    armatures = [obj for obj in scene.objects if obj.type == "ARMATURE"]
    defaults = Defaults(clip.seconds, clip.seed, clip.loop, asked.rule, scene_rate(scene), action_name)
    tasks = plan_tasks(rows, characters or _selected(context), [a.name for a in armatures], defaults, _order_maker(context))
    wanted = not_made_yet(tasks) if asked.skip_existing else tasks
    return Plan(
        blend=bpy.data.filepath,
        tasks=tuple(wanted),
        layout=asked.layout,
        frame=scene.frame_current,
        travel_on=asked.travel_on,
        assets=asked.assets,
        previews=asked.previews,
        skipped=len(tasks) - len(wanted),
    )


def _selected(context: bpy.types.Context) -> list[str]:
    """The names of the characters that the selected objects stand for, or else the active one; none if the rows are to name theirs."""
    return list(_stood_for(context, context.selected_objects) or _stood_for(context, [context.active_object]))


def _stood_for(context: bpy.types.Context, objects: Iterable[bpy.types.Object | None]) -> dict[str, None]:
    """The names of the characters that objects stand for, each by itself, once and in order."""
    names = {}
    for obj in objects:
        with contextlib.suppress(MotionGPTError), context.temp_override(active_object=obj, selected_objects=[]):
            names[find_character(context).name] = None
    return names


def _order_maker(context: bpy.types.Context) -> Callable[[str, Sequence[messages.Segment], int, bool], Order]:
    """Orders as the panel's settings have them, of clips that start beside the pose that their character stands in."""
    asked = Asked(context.scene.motiongpt, **_NOT_ASKED)

    @cache
    def first_order(character: str) -> Order:
        armature = context.scene.objects[character]
        require_animatable(armature)
        return make_order(context, armature, asked, (messages.Segment("any", 2),))

    def order(character: str, segments: Sequence[messages.Segment], seed: int, loop: bool) -> Order:
        first = first_order(character)
        return replace(first, start=1, request=replace(first.request, segments=tuple(segments), seed=seed, loop=loop))

    return order
