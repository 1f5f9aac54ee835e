"""What the animator can have done with batches: bake one, go on with one, fill the list from a table."""

from pathlib import Path

import bpy

from ...backend.protocol.errors import Code, MotionGPTError
from ..asking import scene_rate
from ..preferences import user_folder
from ..properties import Asked
from ..properties_batch import MotionGPTBatchRow
from .ask import make_plan
from .run import batch, placed
from .store import Store
from .table import Row, load_table


def bake(context: bpy.types.Context, asked: Asked, table: str, characters: str) -> None:
    """Have a batch made of the file `table`, or of the list in the panel if empty; returns at once.

    `characters` are names with ; between them; the selected ones if empty. MotionGPTError says what cannot be made.
    """
    rows = load_table(Path(bpy.path.abspath(table))) if table else tuple(map(_row, asked.rows))
    if not rows:
        raise MotionGPTError(Code.INVALID_PARAMS, "The batch has no rows.", "Add one, or load a table.")
    plan = make_plan(context, asked, rows, _split(characters))
    if not plan.tasks:
        raise MotionGPTError(Code.INVALID_PARAMS, "All its actions are there already.", "Turn off Skip Existing to make them again.")
    batch.start(Store.create(_folder(), plan))


def resume() -> None:
    """Go on with the last batch of this file: what was made is written, what was not is made; returns at once."""
    store = _last()
    if store is None:
        raise MotionGPTError(Code.INVALID_PARAMS, "There is no batch of this file to go on with.", "Bake one.")
    batch.start(store)


def look_for_unfinished() -> None:
    """Find out whether this file has a batch to go on with."""
    store = _last()
    batch.unfinished = len(store.plan.tasks) - len(placed(store)) if store else 0


def fill_list(context: bpy.types.Context, table: Path) -> int:
    """Put the rows of a table in the panel's list, in place of those that are there; how many there are."""
    settings, fps = context.scene.motiongpt_batch, scene_rate(context.scene)
    rows = load_table(table)
    settings.rows.clear()
    for row in rows:
        item = settings.rows.add()
        item.name, item.prompt, item.character, item.tags = row.name, row.prompt, row.character, "; ".join(row.tags)
        item.seed, item.loop = row.seed or 0, bool(row.loop)
        if row.frames or row.seconds:
            item.seconds = row.frames / fps if row.frames else row.seconds
    return len(rows)


def _last() -> Store | None:
    """The store of the last batch of this file.

    The scene knows it under whatever name the file is saved, but not after a crash since it was saved; then the path leads there.
    """
    return Store.latest(_folder(), bpy.data.filepath, (bpy.context.scene.motiongpt_batch.store, batch.store))


def _row(item: MotionGPTBatchRow) -> Row:
    return Row(item.prompt.strip(), item.seconds, None, item.seed, item.character, item.name.strip(), _split(item.tags), item.loop)


def _split(names: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in names.split(";") if name.strip())


def _folder() -> Path:
    return user_folder("batches")
