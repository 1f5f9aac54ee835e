"""From the button to the keyframes: orders go to the backend, what comes back is shown, and then keyed on the character."""

import contextlib
import random
from collections.abc import Callable
from functools import partial

import bpy

from ..backend.protocol import messages
from ..backend.protocol.errors import Code, MotionGPTError
from . import orders
from .animation import history, result
from .animation.action import require_animatable, require_seen
from .animation.preview import Preview
from .animation.stills import Stills, read_stills
from .asking import make_inbetween_order, make_order
from .handle import Handle, scene_of
from .keyed import between_keys
from .orders import Order
from .path import distance_from
from .preferences import backend_settings, user_folder
from .prompts import PromptBook
from .properties import Asked
from .rigs.character import find_character
from .rigs.smpl import add_body
from .session import Session
from .steps import Steps

_BUSY_INTERVAL_SECONDS = 0.05
_DELIVERING_INTERVAL_SECONDS = 0.005
_IDLE_INTERVAL_SECONDS = 0.5

Deliver = Callable[[messages.GenerateReply], Steps[None]]

session = Session()
preview = Preview()


def start_backend(context: bpy.types.Context) -> None:
    """Start the backend and load the model; returns at once. MotionGPTError if there is none."""
    session.start(backend_settings(context))
    watch()


def stop_backend(wait: bool = True) -> None:
    """End the backend; without `wait` that goes on after this has returned."""
    preview.end()
    session.stop(wait)
    redraw()


def order_clip(context: bpy.types.Context, asked: Asked) -> None:
    """Have clips made and keyed on the selected character; returns at once. MotionGPTError if that cannot be done."""
    armature = find_character(context)
    submit(context, armature, make_order(context, armature, asked, longest=_longest()))
    if prompt := asked.prompt.strip():
        with contextlib.suppress(MotionGPTError):  # a clip is worth more than its place in a menu
            prompt_book().note(prompt)


def order_inbetween(context: bpy.types.Context, asked: Asked) -> None:
    """Have what lies between keyed poses made; returns at once. MotionGPTError if that cannot be done."""
    armature = find_character(context)
    submit(context, armature, make_inbetween_order(context, armature, asked, between_keys(context, armature), _longest()))


def order_again(context: bpy.types.Context, another_seed: bool) -> None:
    """Have the clip that the selected character plays made again; returns at once. MotionGPTError if that cannot be done."""
    armature = find_character(context)
    submit(context, armature, history.again(armature, random_seed() if another_seed else None))


def prompt_book() -> PromptBook:
    """The user's own prompts, the same in every file."""
    return PromptBook(user_folder("prompts") / "prompts.json")


def order_body(context: bpy.types.Context, request: messages.Body) -> None:
    """Have a body built and added at the 3D cursor; returns at once. MotionGPTError if that cannot be done."""
    session.build_body(backend_settings(context), request, _add_body)
    watch()


def random_seed() -> int:
    return random.randrange(2**31)


def submit(context: bpy.types.Context, armature: bpy.types.Object, order: Order, deliver: Deliver | None = None) -> None:
    """Have the clips of an order made; returns at once. MotionGPTError if that cannot be done.

    `deliver` gets the reply and takes what it does in steps, between which anything may happen to Blender's data; without it
    the clips are put where the order says, and that can be undone.
    """
    require_animatable(armature)
    require_seen(armature)
    order = result.leave_others(armature, order)
    result.require_target(armature, order.delivery.mode)
    character, stills = Handle.of(armature), read_stills(armature)
    on_preview = preview.follow(armature, order) if order.request.preview else None
    deliver = deliver or (lambda reply: _deliver(character, order, stills, reply))
    session.generate(backend_settings(context), order.request, deliver, on_preview)
    watch()


def find(character: Handle) -> bpy.types.Object:
    """The character's armature, in whatever scene, fit to be keyed; MotionGPTError if it is not, or gone."""
    armature = character.find_in(bpy.data.objects)
    if armature is None or not armature.users_scene:
        raise MotionGPTError(
            Code.INVALID_PARAMS, f"{character.name} is no longer in the scene, so the clip was not written.", "Generate it again."
        )
    require_animatable(armature)
    return armature


def cancel(wait: bool) -> None:
    """Cancel what is being done; with `wait`, return when it has ended."""
    session.cancel()
    preview.end()
    if wait:
        with contextlib.suppress(MotionGPTError):
            session.wait()


def abandon() -> None:
    """What is being made has nowhere to go any more, because another file is opened."""
    preview.end()
    session.error = None
    session.abandon("Another file was opened, so the clip was not written.")


def forget_note() -> None:
    """Tell of the clip that was made last no longer: it may be gone."""
    session.note = ""


def watch() -> None:
    """Follow the session with a timer until the backend ends."""
    if not bpy.app.timers.is_registered(_tick):
        bpy.app.timers.register(_tick, persistent=True)
    redraw()


def redraw() -> None:
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                area.tag_redraw()


def _add_body(built: messages.BodyReply) -> Steps[None]:
    yield from add_body(built)
    push_undo("Add Body")


def _deliver(character: Handle, order: Order, stills: Stills, reply: messages.GenerateReply) -> Steps[None]:
    preview.end()
    there = partial(find, character)
    clips, off_path = [], 0.0
    for made in reply.clips:
        yield
        clip = orders.finish(order, made, reply.fps)
        if order.request.path is not None and not order.delivery.in_place:
            off_path = max(off_path, distance_from(order.request.path, clip))
        clips.append(clip)
    fitted = yield from result.fit(there, clips, order, stills)
    actions = yield from result.put(there, order, fitted, session.model.bundle if session.model else "", stills)
    session.note = _tell(order, scene_of(there()), actions[0], off_path)
    push_undo("Generate Motion")


def push_undo(message: str) -> None:
    """Make what was done one undo step: there is no operator that could do it, the button's has ended long ago."""
    bpy.ops.ed.undo_push(message=message)


def _tell(order: Order, scene: bpy.types.Scene, action: bpy.types.Action, off_path: float) -> str:
    """What has become of the order, in words; the character's scene is lengthened where that was asked for."""
    words = [f"{action.name}: frames {order.start} to {order.end}"]
    if off_path:
        words.append(f"At most {off_path * 100:.0f} cm off the path")
    if told := reach(scene, order.end, order.delivery.extend_scene):
        words.append(told)
    return ". ".join(words)


def reach(scene: bpy.types.Scene, end: int, extend: bool) -> str:
    """Have the scene last until frame `end` where that is asked for; what is to be said of it, if it ends before."""
    if end <= scene.frame_end:
        return ""
    if not extend:
        return f"The scene ends at {scene.frame_end}"
    scene.frame_end = end
    return "The scene now ends there"


def _longest() -> float:
    return session.model.max_seconds if session.model else float("inf")


def _tick() -> float | None:
    before = session.words
    session.pump()
    preview.show()
    if not session.busy:
        preview.end()
    if session.words != before:
        redraw()
    if not session.running:
        return None
    if session.delivering:
        return _DELIVERING_INTERVAL_SECONDS
    return _BUSY_INTERVAL_SECONDS if session.busy else _IDLE_INTERVAL_SECONDS
