"""The extension's own backend: whether it is there, and setting it up, updating and removing it from inside Blender."""

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path

import bpy

from ..backend.protocol.errors import Code, MotionGPTError
from . import jobs
from .preferences import ROOT, get, last_log, named_python, user_folder
from .setup import Job, Place, Plan
from .setup.plan import lock_hash


@dataclass(frozen=True)
class State:
    """What is known of the backend's installation.

    `there`: something can be removed, be it that of a set-up that failed. `foreign`: the preferences name an environment
    that is not the extension's. `missing`: and there is none.
    """

    installed: bool = False
    stale: bool = False
    there: bool = False
    foreign: bool = False
    missing: bool = False
    title: str = ""
    size: int = 0

    @property
    def usable(self) -> bool:
        return not self.missing if self.foreign else self.installed and not self.stale

    @property
    def words(self) -> str:
        if self.missing:
            return "There is no backend in the folder that the preferences name"
        if self.foreign:
            return "A backend of your own is used"
        if not self.installed:
            return "The backend is not installed"
        if self.stale:
            return "The backend is of an older version"
        return f"{self.title}, {self.size / 1e9:.1f} GB on disk"

    @property
    def button(self) -> str:
        if not self.installed:
            return "Set Up Backend"
        return "Update Backend" if self.stale else "Check and Mend"

    @property
    def removal(self) -> str:
        """What removing the backend comes to."""
        if not self.installed:
            return "This deletes what is left of a set-up. Bundles and preferences stay."
        return f"This frees {self.size / 1e9:.1f} GB. Bundles and preferences stay."


job = Job(lambda: refresh())
state = State()


def place() -> Place:
    return Place(user_folder("backend"))


def refresh() -> None:
    """Look at what is installed; panels show what was found last."""
    global state
    current = place().current()
    named = named_python(get())
    state = State(there=not place().is_empty(), foreign=named is not None, missing=named is not None and not named.is_file())
    if current:
        state = replace(state, installed=True, stale=current.lock != lock_hash(ROOT), title=current.title, size=current.size)


def is_pressing() -> bool:
    """Whether the animator should see it first: there is no backend that can be used, or it is being made."""
    return job.busy or not state.usable


def look_again() -> None:
    """Look at what is installed after the preferences have changed, and say no longer what was wrong with them before."""
    for doer in (job, jobs.session):
        if doer.error and doer.error.code in (Code.OFFLINE, Code.FOLDER_MISSING):
            doer.error = None
    refresh()


def trouble() -> MotionGPTError | None:
    """How the last set-up failed, as long as that is of interest: not once there is the online access that it lacked."""
    error = job.error
    if error is None or error.code is Code.CANCELLED or (error.code is Code.OFFLINE and bpy.app.online_access):
        return None
    return error


def set_up(context: bpy.types.Context) -> None:
    """Make or update the backend; returns at once. MotionGPTError if that cannot even be begun."""
    preferences = get(context)
    wheels = Path(bpy.path.abspath(preferences.wheels_folder)) if preferences.wheels_folder else None
    if wheels and not wheels.is_dir():
        raise MotionGPTError(
            Code.FOLDER_MISSING, f"There is no folder of wheels {wheels}.", "Choose another in the preferences, or clear the field."
        )
    if not (bpy.app.online_access or wheels):
        raise MotionGPTError(
            Code.OFFLINE,
            "Blender has no online access, which downloading the backend needs.",
            "Allow it in the preferences (System > Network), or choose a folder of wheels in the preferences of MotionGPT.",
        )
    plan = Plan(ROOT, place().folder, bpy.app.online_access, wheels, only_processor=preferences.device == "cpu")
    job.set_up(plan, _after_set_up)


def remove() -> None:
    """Delete the backend; returns at once."""
    jobs.stop_backend()
    job.remove(place())


def cancel(wait: bool) -> None:
    """Break the set-up off; with `wait`, return when it has ended."""
    job.cancel()
    if wait:
        with contextlib.suppress(MotionGPTError):
            job.wait()


def log() -> Path:
    """The log that says most about what went wrong last: that of the set-up if it failed, else the backend's."""
    return place().log if job.error else last_log()


def _after_set_up() -> None:
    jobs.session.error = None
    if not jobs.session.busy:  # else it is the next set-up that sweeps
        jobs.stop_backend()
        job.sweep(place())
