"""A backend that answers at once with motions made here, so that what Blender's side does can be looked at step by step."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from bodies import model_arrays
from installed import module
from rigs import SMPL, some_motion

messages = module("backend.protocol.messages")
errors = module("backend.protocol.errors")
client = module("motiongpt_blender.connection.client")
_clip, _fit, _finish = (module(f"backend.motion.{name}") for name in ("clip", "fit", "finish"))
IDENTITY = module("backend.motion.rotations").IDENTITY

STEPS = 20  # progress notifications of a clip, each with a preview where that is asked for


class ScriptedConnection:
    """Takes the place of `Connection`: every `pump` brings one message."""

    requests: list[Any] = []  # what was asked for, of all connections

    def __init__(self, *_: object) -> None:
        self.ended = None
        self.hello = client.Call(0, messages.Hello(messages.VERSION, "test"), result=messages.HelloReply(messages.VERSION, "0", "cpu", 0))
        self._ids = itertools.count(1)
        self._answers: list[Iterator[None]] = []

    def request(self, message: Any, on_progress: Any = None, on_preview: Any = None, on_done: Callable[..., None] | None = None) -> Any:
        call = client.Call(next(self._ids), message, on_progress, on_preview, on_done)
        self.requests.append(message)
        self._answers.append(self._answer(call, make_reply(message)))  # made here, not in a tick
        return call

    def cancel(self, call: Any) -> None:
        self._answers = [self._refuse(call)]

    def pump(self) -> None:
        if self._answers:
            answer = self._answers[0]
            if next(answer, self) is self:
                self._answers = [other for other in self._answers if other is not answer]

    def close(self, wait: bool = True) -> None:
        self._answers = []

    def _answer(self, call: Any, reply: Any) -> Iterator[None]:
        if not isinstance(call.message, messages.Generate):
            self._end(call, reply)
            return
        first = reply.clips[0]
        for step in range(STEPS):
            yield
            call.progress = messages.Progress(call.id, "Generating", step + 1, STEPS, 10.0)
            if call.on_preview and call.message.preview:
                there = len(first.root_translation) * (step + 1) // STEPS
                call.on_preview(messages.Preview(call.id, 0, first.rotations[:there], first.root_translation[:there]))
        yield
        self._end(call, reply)

    def _refuse(self, call: Any) -> Iterator[None]:
        self._end(call, error=errors.MotionGPTError(errors.Code.CANCELLED, "Cancelled."))
        yield

    def _end(self, call: Any, result: Any = None, error: Any = None) -> None:
        call.result, call.error = result, error
        call.on_done(call)


def make_reply(message: Any) -> Any:
    if isinstance(message, messages.Load):
        return messages.LoadReply("scripted", "none", "cpu", 20.0, 60.0, 0.0, 1.0)
    if isinstance(message, messages.Body):
        return make_body()
    if isinstance(message, messages.Generate):
        clips = tuple(make_clip(message, index) for index in range(message.samples))
        return messages.GenerateReply(clips, message.fps, STEPS, 10.0, 0.1)
    return messages.Done()


def make_body() -> Any:
    """A body as large as SMPL-X makes them."""
    arrays = model_arrays(55)
    names = (*SMPL.joints, *(f"bone{number}" for number in range(55 - len(SMPL))))
    parents = (-1, *arrays["kintree_table"][0, 1:].tolist())
    vertices, corners = arrays["v_template"], arrays["f"]
    faces = np.concatenate([corners, corners[:, ::-1] + [0, 0, 1]])[:-1]  # twice as many as vertices, as there
    return messages.BodyReply("SMPL-X", names, parents, arrays["J_regressor"] @ vertices, vertices, faces, arrays["weights"])


def make_clip(request: Any, index: int) -> Any:
    """A clip that meets the request's poses; another seed or another `index` gives another."""
    cycle = request.frames + request.loop  # its last frame is its first
    local, root = some_motion(cycle, request.seed * 100 + index)
    turn, travel = (IDENTITY, (root[-1] - root[0]) * [1.0, 0.0, 1.0]) if request.loop else (None, None)
    local, root = local[: request.frames], root[: request.frames]
    contacts = (np.arange(len(root))[:, None] // 10 + [0, 0, 1, 1]) % 2 == 0  # the feet by turns
    clip = _clip.Clip(local, root, contacts, request.fps, SMPL)
    poses = [_fit.Constraint(p.frame, p.rotations, p.root_translation, p.only) for p in request.poses]
    clip, _ = _finish.finish(clip, poses, still_feet=False)
    return messages.MadeClip(clip.local, clip.root, clip.joints, clip.contacts, 0.0, 0.0, 0.0, 0.0, turn, travel)
