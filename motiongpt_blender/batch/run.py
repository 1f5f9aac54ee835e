"""A batch at work: one request after another, and at the end all actions and strips in one undo step."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import bpy
import numpy as np

from ...backend.motion.clip import Clip
from ...backend.protocol import messages
from ...backend.protocol.errors import Code, MotionGPTError
from .. import jobs, orders
from ..animation import result
from ..animation.action import require_animatable
from ..animation.history import Record, stamp
from ..animation.stills import Stills, read_stills, set_stills
from ..handle import Handle, scene_of
from ..preferences import backend_settings
from ..session import unexpected
from ..steps import TICK_SECONDS, Steps, advance
from . import nla
from .picture import draw_clip
from .plan import Outcome
from .store import Store, Task

KEY = "motiongpt_batch"  # custom property of an action: the batch that it is from, and its name in there
REPORT = "MotionGPT Batch"
_RECIPE = "motiongpt_batch_recipe"  # custom property of an action: what it was made from
_WAITS = "motiongpt_batch_waits"  # custom property of an action that is not where it belongs yet
_INTERVAL_SECONDS = 0.05
_WRITING_INTERVAL_SECONDS = 0.005
_WAIT_INTERVAL_SECONDS = 0.005
_TRIES = 2  # when the backend ends, which may not be the request's fault
_ROUNDS = 2  # of writing, when an undo takes away what is written: with another one in the second, the rest is left to Resume
_ITEMS = (Code.INVALID_PARAMS, Code.OUT_OF_MEMORY, Code.INTERNAL_ERROR, Code.BACKEND_ENDED)  # errors of one clip; others stop the batch


@dataclass(frozen=True)
class Character:
    """An armature, and what its action moves, as that was when the batch was begun."""

    handle: Handle
    stills: Stills


class Batch:
    """Follows one batch at a time. `pump` moves it on; only `wait` waits.

    `outcome` is what has become of the last one, `error` why it stopped before its end, `unfinished` how many actions of the
    last batch of this file are not in it. `store` is the name of that batch's folder, if it was begun since the file was opened.
    """

    def __init__(self) -> None:
        self.outcome: Outcome | None = None
        self.error: MotionGPTError | None = None
        self.unfinished = 0
        self.store = ""
        self._steps: Steps[None] | None = None
        self._store: Store | None = None
        self._characters: dict[str, Character] = {}  # by the names that the batch knows them by
        self._made = self._wanted = 0
        self._started = 0.0

    @property
    def running(self) -> bool:
        return self._steps is not None

    @property
    def writing(self) -> bool:
        """Whether all clips that can be made are made."""
        return self.running and self._made == self._wanted

    @property
    def words(self) -> str:
        """Where things stand, for the animator."""
        if not self.running:
            return self.outcome.summary if self.outcome else "No batch has been made"
        if self.writing:
            return "Writing the batch's keyframes"
        left = self._seconds_left()
        return f"Clip {self._made + 1} of {self._wanted}: {jobs.session.words}" + (f", {left / 60:.0f} min for all" if left > 90 else "")

    @property
    def fraction(self) -> float:
        """How much of the clips is made, 0 to 1."""
        return (self._made + jobs.session.fraction) / self._wanted if self._wanted and self._made < self._wanted else 1.0

    def start(self, store: Store) -> None:
        """Make what is missing in `store`, then write all of it; returns at once. MotionGPTError if something else is being made."""
        if self.running or jobs.session.busy:
            raise MotionGPTError(Code.BUSY, "The backend is busy.", "Wait until it is done, or cancel what it is doing.")
        self.error = None
        self.outcome = Outcome(len(store.plan.tasks), skipped=store.plan.skipped)
        self._made, self._wanted, self._started = 0, len(store.missing()), time.monotonic()
        self._characters = _find_characters(store, self._characters if self.store == store.folder.name else {})
        self.store, self._store = store.folder.name, store
        self._note_in_scene()
        self._steps = self._run(store)
        if not bpy.app.timers.is_registered(_tick):
            bpy.app.timers.register(_tick, persistent=True)

    def abandon(self, why: str, remedy: str) -> None:
        """Write nothing, because what it is for goes away; what has been made is kept for when that is back."""
        self.store = ""
        if self._steps is not None:
            self._steps.close()
            self._stop(MotionGPTError(Code.CANCELLED, why, remedy))
        if bpy.app.timers.is_registered(_tick):
            bpy.app.timers.unregister(_tick)

    def pump(self) -> None:
        """Take steps of writing, or one of waiting for clips; never waits."""
        if self._steps is None:
            return
        try:
            if not advance(self._steps, TICK_SECONDS if self.writing else 0.0):
                self._steps = None
        except Exception as error:  # else the timer would end with it, and the batch would run for ever
            self._stop(unexpected(error))
            self._report()

    def wait(self, on_words: Callable[[str], None] = lambda words: None) -> None:
        """Pump until the batch is done, and tell `on_words` where it stands; MotionGPTError if it stopped before its end."""
        while self.running:
            jobs.session.pump()
            self.pump()
            on_words(self.words)
            if not self.writing:
                time.sleep(_WAIT_INTERVAL_SECONDS)
        if self.error:
            raise self.error

    def _seconds_left(self) -> float:
        done = self._made + jobs.session.fraction
        return (time.monotonic() - self._started) / done * (self._wanted - done) if self._made else 0.0

    def _run(self, store: Store) -> Steps[None]:
        assert self.outcome
        whys = {}
        try:
            for task in store.missing():
                if why := (yield from self._make(store, task)):
                    whys[task.key] = why
                self._made += 1
        except MotionGPTError as error:
            self.error = error
            self.outcome.end = str(error)
        self._made = self._wanted
        yield from _write(store, self._characters, whys, self.outcome)
        self._finish()

    def _make(self, store: Store, task: Task) -> Steps[str]:
        """Have the clip of a task made and kept; why it cannot be, or MotionGPTError if no other could be either."""

        def keep(reply: messages.GenerateReply) -> Steps[None]:
            store.save(task, reply.clips[0])
            yield

        error = None
        for _ in range(_TRIES):
            try:
                while jobs.session.busy:  # with something else that came in between
                    yield
                jobs.session.generate(backend_settings(bpy.context), task.order.request, keep)
                jobs.watch()
                while jobs.session.busy:
                    yield
                error = jobs.session.error
            except MotionGPTError as raised:
                error = raised
            if error is None:
                return ""
            if error.code not in _ITEMS:
                raise error
            if error.code is not Code.BACKEND_ENDED:
                break
        return str(error)

    def _note_in_scene(self) -> None:
        bpy.context.scene.motiongpt_batch.store = self.store

    def _stop(self, error: MotionGPTError) -> None:
        """End at once, because of an error."""
        assert self.outcome and self._store
        self._steps, self.error, self.outcome.end = None, error, str(error)
        self.unfinished = count_unfinished(self._store)

    def _report(self) -> None:
        assert self.outcome
        text = bpy.data.texts.get(REPORT) or bpy.data.texts.new(REPORT)
        text.from_string(self.outcome.report)

    def _finish(self) -> None:
        assert self._store
        self._note_in_scene()  # once more: an undo may have taken it away
        self.unfinished = count_unfinished(self._store)
        self._report()
        jobs.push_undo("Bake Batch")  # one for all: hundreds would leave no room for the animator's own
        jobs.redraw()


def count_unfinished(store: Store) -> int:
    """How many actions of a batch are not in this file, where they belong."""
    return len(store.plan.tasks) - len(placed(store))


def placed(store: Store) -> set[str]:
    """The names of the tasks whose actions are in this file, where they belong."""
    actions = _actions()
    marked = ((task.name, actions.get(_mark(store, task))) for task in store.plan.tasks)
    return {name for name, action in marked if action and _is_placed(store, action)}


def not_made_yet(tasks: Iterable[Task]) -> list[Task]:
    """The tasks but for those of whose actions batches have put as many in this file."""
    made = Counter(action.get(_RECIPE, "") for action in _actions().values() if _WAITS not in action)
    left = []
    for task in tasks:
        if made[task.recipe]:
            made[task.recipe] -= 1
        else:
            left.append(task)
    return left


def _write(store: Store, characters: Mapping[str, Character], whys: Mapping[str, str], outcome: Outcome) -> Steps[None]:
    """Write the actions of all clips that there are, lay them out, and tell by the file what has become of each."""
    before, failed = placed(store), {}
    for _ in range(_ROUNDS):
        failed.clear()
        written = yield from _write_missing(store, characters, failed)
        yield
        there = _actions()
        if all(_mark(store, task) in there for task in written):
            break
    # No step between here and the undo step: an undo can take the actions from strips and leave the strips, and Blender crashes.
    failed |= _lay_out_all(store, characters, outcome)
    now = placed(store)
    for task in store.plan.tasks:
        if task.name in now:
            (outcome.there if task.name in before else outcome.made).append(task.name)
        elif why := whys.get(task.key) or failed.get(task.name):
            outcome.failed[task.name] = why


def _write_missing(store: Store, characters: Mapping[str, Character], failed: dict[str, str]) -> Steps[list[Task]]:
    """Write the actions that are not in this file, of the clips that there are; the tasks whose actions then were.

    Characters are looked up anew each time, for anything may have happened. `failed` gets why the others cannot be written.
    """
    ends: dict[str, messages.Pose] = {}
    written = []
    for task in store.plan.tasks:
        yield
        if not store.has(task):
            continue
        try:
            clip = _place(store, task, ends)
            if _mark(store, task) not in _actions():
                yield
                yield from _write_task(store, task, characters, clip)
            written.append(task)
        except MotionGPTError as error:
            failed[task.name] = str(error)
    return written


def _place(store: Store, task: Task, ends: dict[str, messages.Pose]) -> Clip:
    """The clip of a task where it belongs. `ends` are the last poses of the characters' clips before it, and gets that of this one."""
    order, made = task.order, store.load(task)
    if store.plan.travel_on and task.character in ends:
        order = replace(order, stand=ends[task.character])
    clip = orders.finish(order, made, order.request.fps)
    ends[task.character] = messages.Pose(len(clip) - 1, clip.local[-1], clip.root[-1])
    return clip


def _write_task(store: Store, task: Task, characters: Mapping[str, Character], clip: Clip) -> Steps[None]:
    """Write the action of a task, which is to be laid out yet."""
    plan, order, there = store.plan, task.order, partial(_find, characters, task.character)
    there()
    [fitted] = yield from result.fit(there, [clip], order, characters[task.character].stills)
    yield
    pixels = (yield from draw_clip(clip.joints)) if plan.previews else None
    action = yield from result.make_action(there, task.name, order, fitted)
    action.use_fake_user = True
    action[KEY], action[_RECIPE], action[_WAITS] = _mark(store, task), task.recipe, True
    model = jobs.session.model
    stamp(action, Record(order, model.bundle if model else "", store.folder.name, 1, 1))
    if plan.assets:
        _mark_as_asset(action, task)
    if pixels is not None:
        _set_preview(action, pixels)


def _lay_out_all(store: Store, characters: Mapping[str, Character], outcome: Outcome) -> dict[str, str]:
    """Lay out the actions that are not, and see that their scenes last; why some cannot be laid out, by their names."""
    actions, failed = _actions(), {}
    ends: dict[bpy.types.Scene, int] = {}
    for task in store.plan.tasks:
        action = actions.get(_mark(store, task))
        if action is None or _is_placed(store, action):
            continue
        try:
            armature = _find(characters, task.character)
            strip = _lay_out(store, task, armature, action, characters[task.character].stills)
            action.pop(_WAITS, None)
        except MotionGPTError as error:
            failed[task.name] = str(error)
            continue
        if strip:
            scene, end = scene_of(armature), round(strip.frame_start) + task.order.request.frames - 1
            ends[scene] = max(end, ends.get(scene, end))
    extend = any(task.order.delivery.extend_scene for task in store.plan.tasks)
    told = ((end, jobs.reach(scene, end, extend)) for scene, end in ends.items())
    outcome.notes = [f"The strips end at frame {end}. {words}." for end, words in told if words]
    return failed


def _lay_out(store: Store, task: Task, armature: bpy.types.Object, action: bpy.types.Action, stills: Stills) -> bpy.types.NlaStrip | None:
    """The strip of the action, if there is to be one. What moved the character before leaves it with `stills`."""
    plan = store.plan
    if plan.layout == "ACTIONS":
        return None
    if nla.stash_active_action(armature):
        set_stills(armature, stills)
    mates = [t for t in plan.tasks if t.character == task.character]
    if plan.layout == "TRACKS":
        return nla.add_on_own_track(armature, action, plan.frame, muted=task is not mates[0])
    span, mine = range(plan.frame, plan.span(mates[-1]).stop), f"{store.folder.name}/"
    return nla.add_to_lane(armature, action, plan.span(task).start, span, lambda other: other.get(KEY, "").startswith(mine))


def _find_characters(store: Store, known: Mapping[str, Character]) -> dict[str, Character]:
    """The characters of a batch that there are: those `known` already, whatever they are called by now, the others by their names."""
    names = {task.character for task in store.plan.tasks}
    found = {name: (name in known and known[name].handle.find_in(bpy.data.objects)) or _armature_called(name) for name in names}
    return {name: Character(Handle.of(armature), read_stills(armature)) for name, armature in found.items() if armature}


def _armature_called(name: str) -> bpy.types.Object | None:
    """The armature of this name, the one in the scene that is shown if there are several, as with a library override."""
    armatures = [obj for obj in bpy.data.objects if obj.name == name and obj.type == "ARMATURE"]
    return max(armatures, key=lambda armature: bpy.context.scene in armature.users_scene, default=None)


def _find(characters: Mapping[str, Character], name: str) -> bpy.types.Object:
    """The armature of a character, in whatever scene, fit to be keyed; MotionGPTError if it is not, or gone."""
    armature = characters[name].handle.find_in(bpy.data.objects) if name in characters else None
    if armature is None or not armature.users_scene:
        raise MotionGPTError(Code.INVALID_PARAMS, f"{name} is no longer in the scene.", "Resume the batch when it is.")
    require_animatable(armature)
    return armature


def _actions() -> dict[str, bpy.types.Action]:
    """The actions of batches in this file, by their marks."""
    return {action[KEY]: action for action in bpy.data.actions if KEY in action}


def _is_placed(store: Store, action: bpy.types.Action) -> bool:
    """Whether an action is laid out, and is still used where that is on the NLA: a strip can go without it."""
    return _WAITS not in action and (store.plan.layout == "ACTIONS" or action.users > int(action.use_fake_user))


def _mark(store: Store, task: Task) -> str:
    return f"{store.folder.name}/{task.name}"


def _mark_as_asset(action: bpy.types.Action, task: Task) -> None:
    action.asset_mark()
    action.asset_data.description = task.order.prompt
    for tag in task.tags:
        action.asset_data.tags.new(tag, skip_if_exists=True)


def _set_preview(action: bpy.types.Action, pixels: np.ndarray) -> None:
    preview = action.preview_ensure()
    preview.image_size = pixels.shape[:2]
    preview.image_pixels_float.foreach_set(pixels.ravel())


def _tick() -> float | None:
    before = batch.words
    batch.pump()
    if batch.words != before:
        jobs.redraw()
    if not batch.running:
        return None
    return _WRITING_INTERVAL_SECONDS if batch.writing else _INTERVAL_SECONDS


batch = Batch()
