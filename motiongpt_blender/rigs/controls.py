"""Rigs whose bones are moved by others, the controls. Which these are is data, in the rig's map under "controls"."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Limbs = Literal["FK", "IK"]


@dataclass(frozen=True)
class Goal:
    """An IK control: the bone `bone` that stands where a joint is, and the bone `pole` at which the limb's middle joint points.

    `chain` are the limb's two bones that the solver turns, if the map names them.
    """

    bone: str
    pole: str | None
    chain: tuple[str, ...]


@dataclass(frozen=True)
class Switch:
    """A property of a bone, its own or a custom one, and the value that it needs for the limbs to obey their FK or IK controls."""

    bone: str
    property: str
    value: Mapping[Limbs, Any]


@dataclass(frozen=True)
class Controls:
    """`fk` from joint to the control that turns it, `body` the control that moves and turns all, `root` the one below all.

    `ik` from the joints at the limbs' ends to their goals. `switches` are set, and keyed, with a clip. `blended` are bones that are no
    controls and turn halfway between two joints; others may hang on them.
    """

    root: str
    body: str
    fk: Mapping[str, str]
    ik: Mapping[str, Goal]
    switches: tuple[Switch, ...]
    blended: Mapping[str, tuple[str, str]]


def read_controls(description: Mapping[str, Any], names: Collection[str] = ()) -> Controls:
    """The controls that a map describes; of those with several names, which they have in different versions, the one among `names`.

    A switch has a "value" where it is the same for both kinds of limbs, else one for each.
    """
    fk = {joint: (bone,) if isinstance(bone, str) else tuple(bone) for joint, bone in description["fk"].items()}
    switches = (
        Switch(s["bone"], s["property"], {kind: s.get(kind, s.get("value")) for kind in ("FK", "IK")}) for s in description["switches"]
    )
    ik = {joint: Goal(goal["bone"], goal.get("pole"), tuple(goal.get("chain", ()))) for joint, goal in description["ik"].items()}
    turned = {joint: next((bone for bone in bones if bone in names), bones[0]) for joint, bones in fk.items()}
    blended = {bone: (first, second) for bone, (first, second) in description.get("blended", {}).items() if bone in names}
    return Controls(description["root"], description["body"], turned, ik, tuple(switches), blended)
