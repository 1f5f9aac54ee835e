"""The character moves while its clip is being made. No key is touched, and whatever else happens to it ends the preview.

The bones are set as an animator would set them without keying. How they stood before is kept on the armature as well, so that
an undo step or a file that was saved meanwhile can be put right when it comes back.
"""

import contextlib
import json
import time
from collections.abc import Callable

import bpy
import numpy as np

from ...backend.motion.clip import Clip
from ...backend.motion.skeleton import SMPL
from ...backend.protocol import messages
from ..handle import Handle
from ..orders import Order, place
from ..steps import Steps, advance
from .action import Channel, channelbag, read_value, set_value
from .clip import puppet_channels
from .puppet import Puppet, read_puppet

KEY = "motiongpt_before_preview"
Values = dict[tuple[str, str], tuple[float, ...]]  # of a bone's property


class Preview:
    """Plays what there is of a clip, in its own time and again and again, on the character that it is for.

    What arrives is worked out in steps, a few a tick; until that is done what there was before is played.
    """

    def __init__(self) -> None:
        self._character: Handle | None = None
        self._order: Order | None = None
        self._puppet: Puppet | None = None
        self._sent: Clip | None = None
        self._new: Clip | None = None
        self._work: Steps[None] | None = None
        self._channels: list[Channel] = []
        self._frames = 0
        self._fps = 0.0
        self._began = 0.0
        self._before: Values = {}
        self._shown: Values = {}
        self._keyed = (0, 0)
        self._objects = 0

    @property
    def showing(self) -> bool:
        return bool(self._shown)

    def follow(self, armature: bpy.types.Object, order: Order) -> Callable[[messages.Preview], None]:
        """Get ready for a clip; what this returns takes what there is of it. MotionGPTError if `armature` is not a character's."""
        self.end()
        character = Handle.of(armature)

        def take(told: messages.Preview) -> None:
            if self._character == character:
                self._take(told)

        self._puppet = read_puppet(armature, bpy.context.evaluated_depsgraph_get(), origin=order.origin)
        self._character, self._order = character, order
        return take

    def show(self) -> None:
        """Put the character into the pose that is due now; from a timer."""
        self._go_on()
        if self._character is None or not self._channels:
            return
        armature = self._character.find()
        if armature is None or not _may_show(bpy.context, armature) or self._is_touched(armature):
            self.end()
            return
        frame = int((time.monotonic() - self._began) * self._fps) % self._frames
        values = {(c.bone, c.property): c.values[min(frame, len(c.values) - 1)].tolist() for c in self._channels}
        if not self._shown:
            before = {where: _read(armature, where) for where in values}
            self._before = {where: value for where, value in before.items() if value is not None}
            if len(self._before) < len(values):
                self.end()
                return
            self._keyed, self._objects = _keys_of(armature), len(bpy.data.objects)
            armature[KEY] = json.dumps([[*where, value] for where, value in self._before.items()])
        elif self._objects != len(bpy.data.objects):
            heal(armature)  # copies that the animator has made of it
            self._objects = len(bpy.data.objects)
        for where, value in values.items():
            set_value(armature, *where, value)
        self._shown = {where: read_value(armature, *where) for where in values}

    def end(self) -> None:
        """Show no more of this clip. The character stands as before, but for what has been changed by others meanwhile."""
        # Wherever it is now: the animator may look at another scene.
        armature = self._character.find_in(bpy.data.objects) if self._character and self._shown else None
        if armature:
            for where, value in self._shown.items():
                if _read(armature, where) == value:
                    set_value(armature, *where, self._before[where])
            armature.pop(KEY, None)
        if self._shown:
            heal()
        self._character = self._order = self._puppet = self._sent = self._new = self._work = None
        self._before, self._shown, self._channels, self._frames = {}, {}, [], 0

    def _is_touched(self, armature: bpy.types.Object) -> bool:
        """Whether somebody else has moved what this moves, or keyed the character."""
        if not self._shown:
            return False
        return _keys_of(armature) != self._keyed or any(_read(armature, where) != value for where, value in self._shown.items())

    def _go_on(self) -> None:
        """Work on what was sent last, after what was begun before."""
        if self._work is None and self._new is not None:
            self._work, self._new = self._work_out(self._new), None
        if self._work is not None and not advance(self._work):
            self._work = None

    def _work_out(self, clip: Clip) -> Steps[None]:
        """What a clip is on the bones of the character as it stood when the clip was ordered."""
        assert self._order and self._puppet
        bones = self._order.delivery.bones
        placed = place(self._order, clip)
        channels = yield from puppet_channels(self._puppet, placed)
        if self._frames == 0:
            self._began = time.monotonic()
        self._channels = [channel for channel in channels if not bones or channel.bone in bones]
        self._frames, self._fps = len(placed), placed.fps

    def _take(self, told: messages.Preview) -> None:
        assert self._order
        local, root = told.rotations, told.root_translation
        if self._sent is not None:
            local = np.concatenate([self._sent.local[: told.start], local])
            root = np.concatenate([self._sent.root[: told.start], root])
        self._sent = self._new = Clip(local, root, np.zeros((len(root), 4), dtype=bool), self._order.request.fps, SMPL)


def _read(armature: bpy.types.Object, where: tuple[str, str]) -> tuple[float, ...] | None:
    """The value of a bone's property; None if there is no such bone any more, because it has been renamed or taken away."""
    with contextlib.suppress(KeyError, AttributeError):
        return read_value(armature, *where)
    return None


def _keys_of(armature: bpy.types.Object) -> tuple[int, int]:
    """Which action the armature plays, and how many keys that has."""
    data, bag = armature.animation_data, channelbag(armature)
    action = data and data.action
    return action.session_uid if action else 0, sum(len(curve.keyframe_points) for curve in bag.fcurves) if bag else 0


def heal(shown: bpy.types.Object | None = None) -> None:
    """Put right what an undo step, a file or a copy brings back of a preview, on all objects but the one that is `shown`."""
    for obj in bpy.data.objects:
        if KEY in obj and obj != shown:
            for bone, name, value in json.loads(obj[KEY]):
                if not bone or bone in obj.pose.bones:
                    set_value(obj, bone, name, value)
            del obj[KEY]


def _may_show(context: bpy.types.Context, armature: bpy.types.Object) -> bool:
    """Not where the animator watches something else, or where a moved bone would be keyed."""
    plays = any(window.screen.is_animation_playing for window in context.window_manager.windows)
    return not plays and not armature.data.is_editmode and not context.scene.tool_settings.use_keyframe_insert_auto
