"""From the button to the keyframes: what a clip is asked for is read from the scene, and its reply is written to the rig."""

import contextlib
from dataclasses import dataclass
from typing import Literal

import bpy
import numpy as np

from ..backend.motion.clip import Clip
from ..backend.motion.skeleton import SMPL
from ..backend.protocol import messages
from ..backend.protocol.errors import Code, MotionGPTError
from .animation.action import require_animatable
from .animation.clip import write_clip
from .preferences import backend_settings
from .rigs.character import find_character
from .rigs.rig import read_pose, read_rig
from .session import Session

_BUSY_INTERVAL_SECONDS = 0.05
_IDLE_INTERVAL_SECONDS = 0.5

session = Session()


@dataclass(frozen=True)
class Order:
    """A clip as the animator asks for it."""

    prompt: str
    seconds: float
    seed: int
    pose_use: Literal["FIRST", "LAST", "NONE"]
    lock_feet: bool


@dataclass(frozen=True)
class _Destination:
    """Where a clip goes. Blender's objects may be gone by then, so this holds the character's number in this session."""

    character: int
    name: str
    start: int
    stand_at: np.ndarray | None  # joints (22, 3) of the pose that a clip bound to none starts beside
    fixed: tuple[int, ...]  # frames of the clip that were read from the character


def start_backend(context: bpy.types.Context) -> None:
    """Start the backend and load the model; returns at once. MotionGPTError if there is none."""
    session.start(backend_settings(context))
    _watch()


def stop_backend() -> None:
    session.stop()
    _redraw()


def order_clip(context: bpy.types.Context, order: Order) -> None:
    """Have a clip made and keyed on the selected character; returns at once. MotionGPTError if that cannot be done."""
    armature = find_character(context)
    require_animatable(armature)
    rig = read_rig(armature)
    fps = context.scene.render.fps / context.scene.render.fps_base
    frames = _frame_count(order, fps)
    pose, root = read_pose(rig, armature, context.evaluated_depsgraph_get())
    at = {"FIRST": 0, "LAST": frames - 1, "NONE": None}[order.pose_use]
    poses = () if at is None else (messages.Pose(at, pose, root),)
    start = context.scene.frame_current - (at or 0)
    stand_at = SMPL.forward(pose, root) if at is None else None
    destination = _Destination(armature.session_uid, armature.name, start, stand_at, tuple(p.frame for p in poses))
    request = messages.Generate((messages.Segment(order.prompt.strip(), frames),), fps, order.seed, poses, lock_feet=order.lock_feet)
    session.generate(backend_settings(context), request, lambda reply: _deliver(destination, order.prompt, reply))
    _watch()


def cancel(wait: bool) -> None:
    """Cancel what is being done; with `wait`, return when it has ended."""
    session.cancel()
    if wait:
        with contextlib.suppress(MotionGPTError):
            session.wait()


def abandon() -> None:
    """What is being made has nowhere to go any more, because another file is opened."""
    session.abandon("Another file was opened, so the clip was not written.")


def _frame_count(order: Order, fps: float) -> int:
    if not order.prompt.strip() and order.pose_use == "NONE":
        raise MotionGPTError(Code.INVALID_PARAMS, "There is no prompt.", "Say what the character does, or use its current pose.")
    longest = session.model.max_seconds if session.model else float("inf")
    frames = round(order.seconds * fps)
    if frames < 2 or order.seconds > longest:
        limit = f" and at most {longest:g}" if session.model else ""
        raise MotionGPTError(
            Code.INVALID_PARAMS, f"A clip of {order.seconds:g} seconds cannot be made.", f"Ask for at least two frames{limit} seconds."
        )
    return frames


def _deliver(destination: _Destination, prompt: str, reply: messages.GenerateReply) -> None:
    context = bpy.context
    armature = next((o for o in context.scene.objects if o.session_uid == destination.character), None)
    if armature is None:
        raise MotionGPTError(
            Code.INVALID_PARAMS, f"{destination.name} is no longer in the scene, so the clip was not written.", "Generate it again."
        )
    require_animatable(armature)
    made = reply.clips[0]
    clip = Clip(made.rotations, made.root_translation, made.contacts, reply.fps, SMPL)
    if destination.stand_at is not None:
        clip = clip.placed(0, destination.stand_at)
    write_clip(armature, context.evaluated_depsgraph_get(), clip, destination.start, prompt, destination.fixed)
    context.scene.frame_end = max(context.scene.frame_end, destination.start + len(clip) - 1)
    bpy.ops.ed.undo_push(message="Generate Motion")  # there is no operator that could do it: the button's has ended long ago


def _watch() -> None:
    """Follow the session with a timer until the backend ends."""
    if not bpy.app.timers.is_registered(_tick):
        bpy.app.timers.register(_tick, persistent=True)
    _redraw()


def _tick() -> float | None:
    before = session.words
    session.pump()
    if session.words != before:
        _redraw()
    if not session.running:
        return None
    return _BUSY_INTERVAL_SECONDS if session.busy else _IDLE_INTERVAL_SECONDS


def _redraw() -> None:
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                area.tag_redraw()
