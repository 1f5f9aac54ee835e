"""What a batch has to make and has made, kept on disk as it goes, so that after a crash nothing is made twice."""

import contextlib
import hashlib
import json
import shutil
import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path

from ...backend.files import make_folder, write_whole
from ...backend.protocol import messages
from ...backend.protocol.errors import Code, MotionGPTError
from ...backend.protocol.wire import pack, unpack
from ..orders import Order
from .naming import without_number

_PLAN = "plan.json"
_KEPT_SECONDS = 14 * 86400.0


@dataclass(frozen=True)
class Task:
    """A clip for a character, and the action that it becomes."""

    name: str
    character: str
    tags: tuple[str, ...]
    order: Order

    @property
    def key(self) -> str:
        """Equal for tasks that one clip serves."""
        return _hash(pack(self.order.request))

    @property
    def recipe(self) -> str:
        """Equal for tasks whose actions say the same of the same character, and have the same name but for numbers behind it."""
        delivery = replace(self.order.delivery, extend_scene=False)
        return _hash([without_number(self.name), self.character, pack(self.order.request), pack(delivery)])


@dataclass(frozen=True)
class Plan:
    """A batch: its tasks, and the .blend that they are for (empty if not saved yet).

    `layout`: actions only (ACTIONS), strips one after another on a track (SEQUENCE) or on a track each (TRACKS), from `frame` on.
    With `travel_on` each clip of a character starts where the one before it ended. `assets` are marked, `previews` drawn.
    `skipped` is how many more there would be if their actions were not there already.
    """

    blend: str
    tasks: tuple[Task, ...]
    layout: str
    frame: int
    travel_on: bool
    assets: bool
    previews: bool
    skipped: int = 0

    def span(self, task: Task) -> range:
        """The frames of a task among those of its character, one after another."""
        before = takewhile(lambda other: other.name != task.name, self.tasks)
        start = self.frame + sum(other.order.request.frames for other in before if other.character == task.character)
        return range(start, start + task.order.request.frames)


class Store:
    """A folder with the plan of a batch and the clips made for it so far."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder, self.plan = folder, plan

    @classmethod
    def create(cls, root: Path, plan: Plan) -> "Store":
        """A new store in the folder `root`; those of long ago are removed. MotionGPTError if it cannot be written."""
        for path in root.glob(f"*/{_PLAN}"):
            if path.stat().st_mtime < time.time() - _KEPT_SECONDS:
                shutil.rmtree(path.parent, ignore_errors=True)
        folder = root / _name(time.time_ns())
        make_folder(folder)
        write_whole(folder / _PLAN, json.dumps(pack(plan), indent=1).encode())
        return cls(folder, plan)

    @classmethod
    def latest(cls, root: Path, blend: str, names: Collection[str] = ()) -> "Store | None":
        """The store of the last batch of the file `blend` (empty if it has no name yet) or among those called `names`, if there is one."""
        found = (store for store in _stores(root) if store.folder.name in names or (blend and store.plan.blend == blend))
        return max(found, key=lambda store: store.folder.name, default=None)

    def has(self, task: Task) -> bool:
        return self._clip(task).is_file()

    def missing(self) -> list[Task]:
        """The tasks whose clips are still to be made, one for each clip."""
        return list({task.key: task for task in reversed(self.plan.tasks) if not self.has(task)}.values())[::-1]

    def save(self, task: Task, clip: messages.MadeClip) -> None:
        """Keep the clip of a task; MotionGPTError if it cannot be written."""
        write_whole(self._clip(task), json.dumps(pack(clip)).encode())

    def load(self, task: Task) -> messages.MadeClip:
        """The clip kept for a task; MotionGPTError if there is none that can be read."""
        try:
            return unpack(messages.MadeClip, json.loads(self._clip(task).read_bytes()))
        except (OSError, ValueError, MotionGPTError) as error:
            with contextlib.suppress(OSError):
                self._clip(task).unlink(missing_ok=True)
            raise MotionGPTError(Code.INTERNAL_ERROR, "The clip that was kept cannot be read.", "Resume the batch.") from error

    def _clip(self, task: Task) -> Path:
        return self.folder / f"{task.key}.clip"


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:20]


def _name(now: int) -> str:
    """Names sort by `now`, nanoseconds since 1970. One reading of one clock: what `strftime` reads is milliseconds behind."""
    seconds, rest = divmod(now, 10**9)
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(seconds))}-{rest:09}"


def _stores(root: Path) -> list[Store]:
    """Those in `root`; folders that hold no plan that can be read are none."""
    found = []
    for path in root.glob(f"*/{_PLAN}"):
        with contextlib.suppress(OSError, ValueError, MotionGPTError):
            found.append(Store(path.parent, unpack(Plan, json.loads(path.read_text(encoding="utf-8")))))
    return found
