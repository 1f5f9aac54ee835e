"""Work cut into short steps, between which Blender goes on: generators that yield where they can wait.

Between two steps anything may happen to Blender's data, so what a step needs of it is looked up anew in that step.
"""

import time
from collections.abc import Generator, Iterator
from typing import TypeVar

Result = TypeVar("Result")
Steps = Generator[None, None, Result]

TICK_SECONDS = 0.001  # the longest steps take three times as long, and the window is not to wait for more than 5 ms


def advance(steps: Iterator[None], seconds: float = TICK_SECONDS) -> bool:
    """Take steps, at least one and beginning none after `seconds`; whether there may be more."""
    stop = time.monotonic() + seconds
    return any(time.monotonic() >= stop for _ in steps)


def finish(steps: Steps[Result]) -> Result:
    """Take all steps at once; what they come to."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
