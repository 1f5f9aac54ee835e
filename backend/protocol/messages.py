"""The methods of the protocol, their parameters and replies, and the notifications that come in between.

Arrays are in the conventions of `backend.motion`: metres, Y up, quaternions w, x, y, z, frames first.
"""

from dataclasses import dataclass, field

import numpy as np

GUIDANCE = 4.0  # how strongly a prompt is followed where nothing else is said: less of it meets poses better, and goes its own ways
ATTEMPTS = 8  # that a clip is the best of where nothing else is said
VERSION = 4  # raised whenever a message changes its meaning; both sides must have the same


@dataclass(frozen=True)
class Pose:
    """A pose to be met: parent-relative `rotations (22, 4)` and `root_translation (3,)` at `frame` of the clip, from 0.

    One that is `only` about some hands and feet, by their names in `backend.motion.limbs.LIMBS`, is met when these are where they are
    in it, turned as they are turned in it. `ends (4, 3)` says where limbs really end on the body that it was read from, in the order
    of their names, which rotations alone do not tell of limbs that are stretched or squeezed; the backend has no use for it.
    """

    frame: int
    rotations: np.ndarray
    root_translation: np.ndarray
    only: tuple[str, ...] = ()
    ends: np.ndarray | None = None


@dataclass(frozen=True)
class Hello:
    """The first request of every connection."""

    protocol: int
    client: str


@dataclass(frozen=True)
class HelloReply:
    protocol: int
    version: str
    device: str
    pid: int


@dataclass(frozen=True)
class Load:
    """Load a bundle: the folder `bundle`, or the one that comes with the product if empty.

    `device`: auto, cpu, cuda, mps. `precision` of the weights: auto, float32, bfloat16, int8. `memory_limit_mb` 0 sets no limit.
    """

    bundle: str = ""
    device: str = "auto"
    precision: str = "auto"
    memory_limit_mb: int = 0


@dataclass(frozen=True)
class LoadReply:
    bundle: str
    base_model: str
    device: str
    fps: float
    max_seconds: float
    seconds: float
    memory_mb: float


@dataclass(frozen=True)
class Segment:
    """`frames` frames of a clip in which `prompt` happens."""

    prompt: str
    frames: int


@dataclass(frozen=True)
class Generate:
    """Make clips at `fps`: the segments one after another without a seam, together as long as their frames.

    Without a prompt in any segment at least one pose must be given, and a whole one beside those of hands and feet alone. `samples`
    clips are made, each of `candidates` the one that the prompt explains best and that comes nearest to the poses by itself.
    `loop` joins the last frame to the first, one frame after it. `path (P, 2)` are points x, z on the floor that the root
    follows; `face_path` turns the character along it. `guidance` says how strongly the prompt is followed: 1 as the model
    does by itself, more to exaggerate it. With `preview` the first clip is sent while it is being made: that of its attempts which leads.
    """

    segments: tuple[Segment, ...]
    fps: float
    seed: int = 0
    poses: tuple[Pose, ...] = ()
    samples: int = 1
    candidates: int = ATTEMPTS
    loop: bool = False
    path: np.ndarray | None = None
    face_path: bool = True
    lock_feet: bool = True
    preview: bool = False
    temperature: float = 0.8
    top_k: int = 200
    guidance: float = GUIDANCE

    @property
    def frames(self) -> int:
        return sum(segment.frames for segment in self.segments)


@dataclass(frozen=True)
class MadeClip:
    """A clip, in the world of the first given pose (or at the origin, facing +Z).

    `rotations (T, 22, 4)` parent-relative, `root_translation (T, 3)`, `joints (T, 22, 3)`, `contacts (T, 4)`.
    The errors at the given poses are the worst over joints and poses, after the fit; `model_error_mm` is that before it.
    A loop's frame after the last is its first, turned by `cycle_turn (4,)` about the vertical and then moved by `cycle_travel (3,)`.
    """

    rotations: np.ndarray
    root_translation: np.ndarray
    joints: np.ndarray
    contacts: np.ndarray
    model_error_mm: float
    constraint_error_mm: float
    constraint_error_deg: float
    foot_slide_mm_per_frame: float
    cycle_turn: np.ndarray | None = None
    cycle_travel: np.ndarray | None = None


@dataclass(frozen=True)
class GenerateReply:
    """The clips that were asked for, and what they cost."""

    clips: tuple[MadeClip, ...]
    fps: float
    tokens: int
    tokens_per_second: float
    seconds: float


@dataclass(frozen=True)
class Body:
    """Build a body in T-pose from a model file of the user's, or from the one of `gender` (neutral, female, male) in a folder.

    `betas` are the first numbers of its shape.
    """

    model: str
    gender: str = "neutral"
    betas: tuple[float, ...] = ()


@dataclass(frozen=True)
class BodyReply:
    """The joints by name with their parents (-1: none) and places `joints (J, 3)`, and the skin around them.

    `vertices (V, 3)` in metres, `faces (F, 3)`, `weights (V, J)` how much of each joint's motion a vertex takes. No model
    need be loaded for this.
    """

    kind: str
    names: tuple[str, ...]
    parents: tuple[int, ...]
    joints: np.ndarray
    vertices: np.ndarray
    faces: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class Cancel:
    """Stop the request with this id before its next token; that request then answers with `Code.CANCELLED`."""

    id: int


@dataclass(frozen=True)
class CancelReply:
    cancelled: bool


@dataclass(frozen=True)
class Unload:
    pass


@dataclass(frozen=True)
class Shutdown:
    pass


@dataclass(frozen=True)
class Done:
    pass


@dataclass(frozen=True)
class Progress:
    """Notification: the request `id` has done `done` of `total` (tokens while generating) of the stage named in words."""

    id: int
    stage: str
    done: int
    total: int
    per_second: float = field(default=0.0)


@dataclass(frozen=True)
class Preview:
    """Notification: the first clip of request `id` so far, before poses and feet are met: its frames from `start` on, anew.

    `rotations (T, 22, 4)`, `root_translation (T, 3)` at the rate asked for; frames before `start` stay as they were sent.
    """

    id: int
    start: int
    rotations: np.ndarray
    root_translation: np.ndarray


REQUESTS: dict[str, tuple[type, type]] = {
    "hello": (Hello, HelloReply),
    "load": (Load, LoadReply),
    "generate": (Generate, GenerateReply),
    "body": (Body, BodyReply),
    "cancel": (Cancel, CancelReply),
    "unload": (Unload, Done),
    "shutdown": (Shutdown, Done),
}
NOTIFICATIONS: dict[str, type] = {"progress": Progress, "preview": Preview}
