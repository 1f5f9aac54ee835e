"""The set-up as Blender's side follows it: a thread does it, `pump` notices its end."""

import threading
import time
from collections.abc import Callable

from ...backend.protocol.errors import Code, MotionGPTError
from .failures import explain_os_error
from .installer import Installer
from .place import Place
from .plan import Plan

_WAIT_INTERVAL_SECONDS = 0.02
_SAYS_LITTLE_SECONDS, _SAYS_LITTLE = 5.0, 0.05
Say = Callable[[str, float], None]


class Job:
    """Sets a backend up or removes it, one thing at a time; in use it is like `Session`.

    `error` is how the last one ended if it did not go well, `remark` what the animator should know after one that did;
    `step` is what is being done, `fraction` the share of the whole that is done.
    """

    def __init__(self, on_end: Callable[[], None] = lambda: None) -> None:
        """`on_end` is called by `pump` at every end, good or not, before `on_done`."""
        self._on_end = on_end
        self.error: MotionGPTError | None = None
        self.remark = ""
        self.fraction = 0.0
        self.step = ""
        self._began = 0.0
        self._cancelled = threading.Event()
        self._thread: threading.Thread | None = None
        self._outcome: MotionGPTError | str = ""
        self._on_done: Callable[[], None] = lambda: None

    @property
    def busy(self) -> bool:
        return self._thread is not None

    @property
    def words(self) -> str:
        """Where things stand, for the animator."""
        left = self.seconds_left()
        if left is None:
            return f"{self.fraction:.0%} done: {self.step}"
        return f"{self.fraction:.0%}, about {time_words(left)} left: {self.step}"

    @property
    def progress(self) -> str:
        """How far it is, without saying what."""
        left = self.seconds_left()
        return f"{self.fraction:.0%} done" if left is None else f"{self.fraction:.0%}, about {time_words(left)} left"

    def seconds_left(self) -> float | None:
        """As it looks from the time and the share so far; None while that says little."""
        seconds = time.monotonic() - self._began
        if seconds < _SAYS_LITTLE_SECONDS or self.fraction < _SAYS_LITTLE:
            return None
        return seconds * (1.0 - self.fraction) / self.fraction

    def set_up(self, plan: Plan, on_done: Callable[[], None]) -> None:
        """Carry out a plan; `on_done` is called by `pump` when it has gone well."""
        self._start(Place(plan.folder), "Setting up", Installer(plan, self._say, self._cancelled).run, on_done)

    def sweep(self, place: Place) -> None:
        """Delete what the last set-up has made needless, of which nothing may run; its remark stays."""
        self._delete(place, "Removing what is no longer needed", place.sweep, self.remark, 1.0)  # the set-up itself is done

    def remove(self, place: Place) -> None:
        """Delete the backend in `place`, of which nothing may run."""
        self._delete(place, "Removing the backend", place.remove)

    def cancel(self) -> None:
        self._cancelled.set()

    def stop(self) -> None:
        """Cancel, and return when nothing runs any more."""
        self.cancel()
        if self._thread:
            self._thread.join()
            self._thread = None

    def pump(self) -> None:
        """Notice the end; never waits."""
        if self._thread is None:
            return
        if self._thread.is_alive():
            return
        self._thread = None
        self._on_end()
        if isinstance(self._outcome, MotionGPTError):
            self.error = self._outcome
            return
        self.remark = self._outcome
        self._on_done()

    def wait(self) -> None:
        """Pump until it is done; its MotionGPTError if it did not go well."""
        while self.busy:
            self.pump()
            time.sleep(_WAIT_INTERVAL_SECONDS)
        if self.error:
            raise self.error

    def _delete(self, place: Place, words: str, work: Callable[[], None], remark: str = "", fraction: float = 0.0) -> None:
        def delete() -> str:
            self._say(words, fraction)
            work()
            return remark

        self._start(place, words, delete, fraction=fraction)

    def _start(
        self, place: Place, doing: str, work: Callable[[], str], on_done: Callable[[], None] = lambda: None, fraction: float = 0.0
    ) -> None:
        if self.busy:
            raise MotionGPTError(Code.BUSY, "The backend is being set up or removed.", "Wait until that is done, or cancel it.")
        self.error, self.remark, self.step, self.fraction = None, "", "", fraction
        self._on_done, self._began = on_done, time.monotonic()
        self._cancelled.clear()

        def run() -> None:
            try:
                with place.alone():
                    self._outcome = work()
            except MotionGPTError as error:
                self._outcome = error
            except OSError as error:
                self._outcome = explain_os_error(doing, error)
            except Exception as error:  # a thread's exceptions are seen by nobody else
                self._outcome = MotionGPTError(
                    Code.INTERNAL_ERROR, f"{type(error).__name__}: {error}", "Please report it, with the log of the set-up."
                )

        self._thread = threading.Thread(target=run, name="motiongpt setup", daemon=True)
        self._thread.start()

    def _say(self, words: str, fraction: float) -> None:
        self.step, self.fraction = words, fraction


def time_words(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{max(1.0, seconds):.0f} s"
