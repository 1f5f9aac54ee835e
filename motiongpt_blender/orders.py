"""An order: what clips are asked for and what becomes of them. It can be kept as text and given again later."""

import json
from dataclasses import dataclass, field, replace

from ..backend.motion.clip import Clip
from ..backend.motion.skeleton import SMPL
from ..backend.protocol import messages, wire
from .animation.cycle import closed
from .animation.in_place import in_place


@dataclass(frozen=True)
class Keys:
    """Which frames of a clip get keys.

    `way`: EVERY frame; every `step`-th (STEP); or only those it takes to stay within `degrees` and `millimetres` (REDUCED).
    """

    way: str = "EVERY"
    step: int = 4
    degrees: float = 1.0
    millimetres: float = 5.0


@dataclass(frozen=True)
class Delivery:
    """What becomes of a clip.

    `mode`: an action of its own (NEW); in place of the keys that the character's action has in the clip's range (REPLACE), or of those
    that a copy of it has (COPY); or blended into that action over `blend` frames at both ends (BLEND). Keys at the frames `kept` of the
    clip, from 0, stay as they are. `bones` names those that are keyed, all if empty.
    """

    mode: str = "NEW"
    blend: int = 0
    keys: Keys = field(default_factory=Keys)
    in_place: bool = False
    extend_scene: bool = False
    kept: tuple[int, ...] = ()
    bones: tuple[str, ...] = ()


@dataclass(frozen=True)
class OriginValue:
    """What a property of a bone, or of the object if `bone` is empty, was where clips were ordered."""

    bone: str
    property: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class Order:
    """Clips of a character: `request` in its own canonical frame, the first frame at frame `start` of the scene.

    `stand` is the pose beside which clips start that are bound to none. `origin` is how the object or the bone was placed that
    takes the character over the floor: the clips' way goes on from there, wherever it has come to when they are made.
    """

    request: messages.Generate
    start: int
    stand: messages.Pose | None = None
    delivery: Delivery = field(default_factory=Delivery)
    origin: tuple[OriginValue, ...] = ()

    @property
    def end(self) -> int:
        """The clip's last frame in the scene."""
        return self.start + self.request.frames - 1

    @property
    def prompt(self) -> str:
        return ", ".join(segment.prompt for segment in self.request.segments if segment.prompt)

    @property
    def fixed(self) -> tuple[int, ...]:
        """The frames of the clip, from 0, whose whole poses were given."""
        return tuple(pose.frame for pose in self.request.poses if not pose.only)

    @property
    def held(self) -> tuple[messages.Pose, ...]:
        """The poses that hands and feet alone are to be in, of a clip that goes where they are."""
        return () if self.delivery.in_place else tuple(pose for pose in self.request.poses if pose.only)

    @property
    def met(self) -> tuple[int, ...]:
        """The frames of the clip, from 0, at which anything of its poses was given."""
        return tuple(pose.frame for pose in self.request.poses)


def to_text(order: Order) -> str:
    return json.dumps(wire.pack(order), separators=(",", ":"))


def from_text(text: str) -> Order:
    """The order that `to_text` wrote; MotionGPTError if another version wrote it in another form."""
    return wire.unpack(Order, json.loads(text))


def finish(order: Order, made: messages.MadeClip, fps: float) -> Clip:
    """A made clip where the order wants it: beside the pose it stands in, and without its travel if it is to stay in place.

    A loop in an action of its own gets one frame more: its first, in which it ends.
    """
    clip = Clip(made.rotations, made.root_translation, made.contacts, fps, SMPL)
    if made.cycle_turn is None or made.cycle_travel is None:
        return place(order, clip)
    cycle = place(order, closed(clip, made.cycle_turn, made.cycle_travel))
    if order.delivery.mode == "NEW":
        return cycle
    return replace(cycle, local=cycle.local[:-1], root=cycle.root[:-1], contacts=cycle.contacts[:-1])


def place(order: Order, clip: Clip) -> Clip:
    """A clip, or its beginning, where the order wants it."""
    if order.stand is not None:
        clip = clip.placed(0, SMPL.forward(order.stand.rotations, order.stand.root_translation))
    if order.delivery.in_place:
        anchor = min(order.fixed[0] if order.fixed else 0, len(clip) - 1)  # a preview may not have come that far
        clip = in_place(clip, anchor, order.request.loop)
    return clip
