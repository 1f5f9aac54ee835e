"""The keys of an F-curve, read and written all at once, and new ones among those that stay."""

from collections.abc import Iterable

import bpy
import numpy as np

from .keys import KeyedValues

Table = dict[str, np.ndarray]  # fields of `bpy.types.Keyframe`, a row a key

_POINTS = ("co", "handle_left", "handle_right")
_ENUMS = ("interpolation", "easing", "type", "handle_left_type", "handle_right_type")
_NUMBERS = ("back", "amplitude", "period")
_FLAGS = ("select_control_point", "select_left_handle", "select_right_handle")
_UNSAID = {"easing": "AUTO", "type": "GENERATED", "handle_left_type": "AUTO_CLAMPED", "handle_right_type": "AUTO_CLAMPED"}
_NEAR = 0.01  # frames


def new_keys(keys: KeyedValues, index: int, start: int) -> Table:
    """Column `index` of `keys`, frame 0 at `start`; what a key does not say otherwise is Blender's default."""
    values = keys.values[:, index]
    co = np.stack([keys.frames + start, values], axis=-1).astype(np.float64)
    if keys.slopes is None:
        return {"co": co, "interpolation": np.full(len(co), _value("interpolation", "LINEAR"))}
    before, after = np.diff(co[:, 0], prepend=co[0, 0] - 1) / 3, np.diff(co[:, 0], append=co[-1, 0] + 1) / 3
    along = np.stack([np.ones(len(co)), keys.slopes[:, index]], axis=-1)
    aligned = np.full(len(co), _value("handle_left_type", "ALIGNED"))
    return {
        "co": co,
        "handle_left": co - along * before[:, None],
        "handle_right": co + along * after[:, None],
        "handle_left_type": aligned,
        "handle_right_type": aligned,
        "interpolation": np.full(len(co), _value("interpolation", "BEZIER")),
    }


def write_keys(curve: bpy.types.FCurve, table: Table) -> None:
    """Give a curve the keys of `table`, and no others."""
    keys = curve.keyframe_points
    keys.clear()
    keys.add(len(table["co"]))
    for name, values in table.items():
        keys.foreach_set(name, values.ravel())
    curve.update()


def read_keys(curve: bpy.types.FCurve) -> Table:
    """All that is known of a curve's keys, by time."""
    keys, table = curve.keyframe_points, {}
    for names, width, kind in ((_POINTS, 2, np.float64), (_ENUMS, 1, np.int64), (_NUMBERS, 1, np.float64), (_FLAGS, 1, bool)):
        for name in names:
            values = np.empty(len(keys) * width, dtype=kind)
            keys.foreach_get(name, values)
            table[name] = values.reshape(-1, width) if width > 1 else values
    return table


def put_keys(curve: bpy.types.FCurve, added: Table, first: float, last: float, kept: Iterable[float] = ()) -> None:
    """Put keys into a curve in place of those from `first` to `last`; keys at the frames `kept` stay, and what lies outside.

    The new keys are marked as generated. The curve outside keeps its shape: handles that point away from the new keys no longer
    follow their neighbours.
    """
    old = read_keys(curve)
    at = old["co"][:, 0]
    near = np.zeros(len(at), dtype=bool)
    for frame in kept:
        near |= np.abs(at - frame) < _NEAR
    stays = (at < first - _NEAR) | (at > last + _NEAR) | near
    old = {name: values[stays] for name, values in old.items()}
    taken = np.abs(added["co"][:, :1] - at[near]).min(axis=1, initial=np.inf) < _NEAR
    added = {name: values[~taken] for name, values in added.items()}
    if not len(added["co"]):
        return
    _hold_handles(old, added["co"][0, 0], added["co"][-1, 0])
    write_keys(curve, _merge(old, added))


def keyed_frames(curves: Iterable[bpy.types.FCurve], selected: bool = False) -> np.ndarray:
    """The frames of keys that are not marked as generated, or of those among them that are selected, in order."""
    frames, generated = [np.empty(0)], _value("type", "GENERATED")
    for curve in curves:
        table = read_keys(curve)
        counts = table["type"] != generated
        frames.append(table["co"][counts & table["select_control_point"] if selected else counts, 0])
    return np.unique(np.concatenate(frames))


def _hold_handles(old: Table, first: float, last: float) -> None:
    free = _value("handle_left_type", "FREE")
    before, after = np.flatnonzero(old["co"][:, 0] < first), np.flatnonzero(old["co"][:, 0] > last)
    if len(before):
        old["handle_left_type"][before[-1]] = free
    if len(after):
        old["handle_right_type"][after[0]] = free


def _merge(old: Table, added: Table) -> Table:
    order = np.argsort(np.concatenate([old["co"], added["co"]])[:, 0], kind="stable")
    return {name: np.concatenate([values, _column(added, name, values.dtype)])[order] for name, values in old.items()}


def _column(added: Table, name: str, dtype: np.dtype) -> np.ndarray:
    if name in added:
        return added[name]
    if name in _POINTS:
        return added["co"]  # automatic handles are set when the curve is updated
    return np.full(len(added["co"]), _value(name, _UNSAID[name]) if name in _UNSAID else 0, dtype=dtype)


def _value(field: str, item: str) -> int:
    return bpy.types.Keyframe.bl_rna.properties[field].enum_items[item].value
