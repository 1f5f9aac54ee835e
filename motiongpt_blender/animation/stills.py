"""What a character's action and its NLA strips move, as it was where clips were ordered.

Clips in actions of their own leave all that they do not move, the object as well, as it stands; and until they are there the
animator may have gone to another frame, or let the scene play.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

import bpy

from .action import channelbag, plays_strips, slot_bag

Still = bool | int | float | str | tuple[bool | int | float, ...]
Stills = Mapping[str, Still]  # by data paths
NONE: Stills = MappingProxyType({})


def read_stills(obj: bpy.types.Object) -> dict[str, Still]:
    """The values of all that the action of `obj` and its strips move."""
    return _values(obj, {curve.data_path for bag in _bags(obj) for curve in bag.fcurves})


def set_stills(obj: bpy.types.Object, stills: Stills) -> None:
    """Set these values, as far as there still is what has them."""
    for path, value in stills.items():
        is_custom = path.endswith('"]')
        owner, _, name = path.rpartition('["' if is_custom else ".")
        with contextlib.suppress(ValueError, TypeError, AttributeError, KeyError):  # renamed, or of another kind by now
            holder = obj.path_resolve(owner) if owner else obj
            if is_custom:
                holder[bpy.utils.unescape_identifier(name.removesuffix('"]'))] = value
            else:
                setattr(holder, name, value)


@contextlib.contextmanager
def standing(obj: bpy.types.Object, depsgraph: bpy.types.Depsgraph, stills: Stills) -> Iterator[None]:
    """`obj` is evaluated with these values in place of its own."""
    before = _values(obj, stills)
    if all(stills[path] == value for path, value in before.items()):
        yield
        return
    set_stills(obj, stills)
    obj.update_tag()
    depsgraph.update()
    try:
        yield
    finally:
        set_stills(obj, before)
        obj.update_tag()


def _bags(obj: bpy.types.Object) -> Iterator[bpy.types.ActionChannelbag]:
    """The curves that move `obj`."""
    if bag := channelbag(obj):
        yield bag
    for track in obj.animation_data.nla_tracks if plays_strips(obj) else ():
        for strip in track.strips if not track.mute else ():
            if strip.action and strip.action_slot and (bag := slot_bag(strip.action, strip.action_slot)):
                yield bag


def _values(obj: bpy.types.Object, paths: Iterable[str]) -> dict[str, Still]:
    values = {}
    for path in paths:
        with contextlib.suppress(ValueError):  # a curve of something that is not there
            value = obj.path_resolve(path)
            values[path] = value if isinstance(value, bool | int | float | str) else tuple(value)
    return values
