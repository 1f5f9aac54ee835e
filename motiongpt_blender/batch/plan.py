"""From a table's rows to tasks, and from what came of them to a report."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ...backend.protocol import messages
from ...backend.protocol.errors import Code, MotionGPTError
from ..orders import Order
from .naming import check_rule, fitting, name_by, told_apart
from .store import Task
from .table import Row


@dataclass(frozen=True)
class Defaults:
    """What a row does not say: its length, at `fps` frames a second, its seed, whether it loops, and its name.

    In names that `rule` makes stands what `shorten` makes of the prompt.
    """

    seconds: float
    seed: int
    loop: bool
    rule: str
    fps: float
    shorten: Callable[[str], str]


@dataclass
class Outcome:
    """What became of a batch: names of actions `made` and of those that were `there` before, and why the others `failed`.

    `skipped` is how many were not asked for, because they were there, `notes` what else is to be said.
    """

    total: int
    made: list[str] = field(default_factory=list)
    there: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    end: str = ""
    skipped: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def summary(self) -> str:
        parts = [f"{len(self.made)} made"]
        parts += [f"{len(self.there)} were there"] if self.there else []
        parts += [f"{len(self.failed)} failed"] if self.failed else []
        left = self.total - len(self.made) - len(self.there) - len(self.failed)
        parts += [f"{left} not made"] if left else []
        return ", ".join(parts + ([f"{self.skipped} skipped"] if self.skipped else []))

    @property
    def report(self) -> str:
        """For the animator to read: a line for each action, what failed first."""
        lines = [f"MotionGPT batch of {self.total}: {self.summary}", *([self.end] if self.end else []), *self.notes]
        lines += ["", "Failed:", *(f"  {name}: {why}" for name, why in self.failed.items())] if self.failed else []
        for title, names in (("Made:", self.made), ("Were there:", self.there)):
            lines += ["", title, *(f"  {name}" for name in names)] if names else []
        return "\n".join([*lines, ""])


def plan_tasks(
    rows: Iterable[Row], characters: Sequence[str], known: Collection[str], defaults: Defaults, order_for: Callable[..., Order]
) -> list[Task]:
    """A task for each row and each of the `characters`, or for the row's own; MotionGPTError names rows that cannot be made.

    `known` are the characters there are. `order_for(character, segments, seed, loop)` gives a clip's order.
    """
    check_rule(defaults.rule)
    drafts = list(_drafts(rows, characters, defaults))
    if missing := sorted({character for _, _, character, _ in drafts} - set(known)):
        raise MotionGPTError(
            Code.INVALID_PARAMS, f"There is no character {', '.join(missing)} in the scene.", "Name armatures of the scene."
        )
    names = told_apart(name for name, *_ in drafts)

    def order(row: Row, character: str, seed: int) -> Order:
        return order_for(character, _segments(row, defaults), seed, defaults.loop if row.loop is None else row.loop)

    return [
        Task(name, character, row.tags, order(row, character, seed)) for name, (_, row, character, seed) in zip(names, drafts, strict=True)
    ]


def _drafts(rows: Iterable[Row], characters: Sequence[str], defaults: Defaults) -> Iterator[tuple[str, Row, str, int]]:
    """Name, row, character and seed of each task."""
    for index, row in enumerate(rows, start=1):
        seed = defaults.seed if row.seed is None else row.seed
        if not row.prompt:
            raise MotionGPTError(Code.INVALID_PARAMS, f"Row {index} has no prompt.", "Say what the character does, or remove the row.")
        if not row.character and not characters:
            raise MotionGPTError(
                Code.INVALID_PARAMS, f"Row {index}, {row.prompt!r}, has no character.", "Select characters, or name them in the table."
            )
        for character in (row.character,) if row.character else characters:
            name = fitting(row.name) or name_by(defaults.rule, defaults.shorten(row.prompt), index, character, seed)
            yield name, row, character, seed


def _segments(row: Row, defaults: Defaults) -> tuple[messages.Segment, ...]:
    frames = row.frames or max(2, round((row.seconds or defaults.seconds) * defaults.fps))
    return (messages.Segment(row.prompt, frames),)
