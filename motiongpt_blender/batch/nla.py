"""Actions as strips on a character's NLA tracks."""

from collections.abc import Callable

import bpy

TRACK = "MotionGPT"
_STASH = "[Action Stash]"  # Blender's own name for such a track


def stash_active_action(obj: bpy.types.Object) -> bool:
    """Move the action that `obj` plays to a muted track, as Blender's Stash does: it would play over all strips. Whether it had one."""
    data = obj.animation_data or obj.animation_data_create()
    if data.action is None:
        return False
    action, slot = data.action, data.action_slot
    track = data.nla_tracks.new()
    track.name = _STASH
    _put(track, action, slot, round(action.frame_range[0]))
    track.mute = track.lock = True
    data.action = None
    return True


def add_to_lane(
    obj: bpy.types.Object, action: bpy.types.Action, start: int, span: range, belongs: Callable[[bpy.types.Action], bool]
) -> bpy.types.NlaStrip:
    """A strip from frame `start` on, which holds its last pose.

    It goes to the track that has strips of actions that it `belongs` with, else to one of ours with room in `span`, else to a new one.
    Tracks that are not played are left alone, and those of a library file, as what an override adds to them is not saved.
    """
    data = obj.animation_data or obj.animation_data_create()
    free = (track for track in data.nla_tracks if not (track.lock or track.mute or _is_of_library(obj, track)))
    ours = [track for track in free if track.name.startswith(TRACK)]
    together = (t for t in ours if any(s.action and belongs(s.action) for s in t.strips) and _has_room(t, start, start + _length(action)))
    track = next(together, None) or next((t for t in ours if _has_room(t, span[0], span[-1])), None)
    if track is None:
        track = data.nla_tracks.new()
        track.name = TRACK
    strip = _put(track, action, action.slots[0], start)
    strip.extrapolation = "HOLD_FORWARD"
    return strip


def add_on_own_track(obj: bpy.types.Object, action: bpy.types.Action, start: int, muted: bool) -> bpy.types.NlaStrip:
    """A strip from frame `start` on, on a new track of its name, which acts within its frames only."""
    track = (obj.animation_data or obj.animation_data_create()).nla_tracks.new()
    track.name = action.name
    strip = _put(track, action, action.slots[0], start)
    strip.extrapolation = "NOTHING"
    track.mute = muted
    return strip


def _is_of_library(obj: bpy.types.Object, track: bpy.types.NlaTrack) -> bool:
    """Whether `obj` is an override and has a track from what it overrides."""
    return bool(obj.override_library) and track.is_override_data


def _has_room(track: bpy.types.NlaTrack, first: float, last: float) -> bool:
    return all(last <= strip.frame_start or strip.frame_end <= first for strip in track.strips)


def _length(action: bpy.types.Action) -> float:
    return action.frame_range[1] - action.frame_range[0]


def _put(track: bpy.types.NlaTrack, action: bpy.types.Action, slot: bpy.types.ActionSlot, start: int) -> bpy.types.NlaStrip:
    strip = track.strips.new(action.name, start, action)
    strip.action_slot = slot
    return strip
