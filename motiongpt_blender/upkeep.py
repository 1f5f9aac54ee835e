"""What is done beside the animator's work, by one timer: following the set-up, the status bar, unloading a model that is not used."""

import bpy

from . import installation, jobs
from .preferences import get
from .translation import say

_BUSY_INTERVAL_SECONDS = 0.1
_IDLE_INTERVAL_SECONDS = 1.0
_AREAS = ("VIEW_3D", "PREFERENCES")

_shown = ""


def register() -> None:
    installation.refresh()
    bpy.app.timers.register(_tick, first_interval=_IDLE_INTERVAL_SECONDS, persistent=True)


def unregister() -> None:
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)
    installation.job.stop()
    _show("")


def pump() -> None:
    """One round of everything; never waits."""
    installation.job.pump()
    minutes = get().idle_unload
    if minutes and jobs.session.idle_seconds() > 60 * minutes:
        jobs.session.unload()
    _show(next((job.words for job in (installation.job, jobs.session) if job.busy), ""))


def _tick() -> float:
    pump()
    return _BUSY_INTERVAL_SECONDS if installation.job.busy or jobs.session.busy else _IDLE_INTERVAL_SECONDS


def _show(words: str) -> None:
    global _shown
    if words != _shown:
        _shown = words
        _write_status(words)


def _write_status(words: str) -> None:
    """Put words into the status bar, or give it back to Blender, and have the panels that say the same drawn again."""
    windows = bpy.context.window_manager.windows
    for workspace in {window.workspace for window in windows} if words else bpy.data.workspaces:
        workspace.status_text_set(f"MotionGPT: {say(words)}" if words else None)
    for window in windows:
        for area in window.screen.areas:
            if area.type in _AREAS:
                area.tag_redraw()
