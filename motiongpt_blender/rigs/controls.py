"""Rigs whose bones are moved by others, the controls: which these are is data, in the rig's map."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Controls:
    """The control that turns each joint: `fk` from joint to bone name."""

    fk: dict[str, str]


def read_controls(description: dict) -> Controls:
    """The controls that a map describes under "controls"."""
    return Controls(dict(description["fk"]))
