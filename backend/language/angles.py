"""How far a prompt says that the character turns, where it says so in figures."""

import re
from typing import NamedTuple

from .prompts import SIDES

_CLAUSES = re.compile(r"[.;,](?!\d)|\b(?:and|then|while|before|after)\b", re.IGNORECASE)
_TURNING = re.compile(r"\b(?:turn|rotat|pivot|spin|spun|swivel|curv|veer)\w*", re.IGNORECASE)
_PARTS = re.compile(  # of the body, which turn without it
    r"\b(?:head|neck|gaze|eyes?|arms?|elbows?|forearms?|wrists?|hands?|palms?|torso|trunk|waist|chest|hips?|shoulders?|legs?|knees?|ankles?)\b",
    re.IGNORECASE,
)
_DEGREES = re.compile(r"(\d+(?:\.\d+)?)[\s-]*(?:degrees?\b|deg\b|°)", re.IGNORECASE)
_FARTHEST = 1080.0  # degrees; whoever writes more means something else


class Turn(NamedTuple):
    """A turn by so many `degrees`, to the left if they are above zero; `either`: to whichever side the clip turns."""

    degrees: float
    either: bool


def asked_turn(prompt: str) -> Turn | None:
    """How far a prompt wants the whole body turned from beginning to end, or None if it does not say, or names several turns."""
    clauses = [c for c in _CLAUSES.split(prompt) if _TURNING.search(c) and not _PARTS.search(c)]
    angles = [(float(angle), clause) for clause in clauses for angle in _DEGREES.findall(clause)]
    if len(clauses) != 1 or len(angles) != 1 or not 0.0 < angles[0][0] <= _FARTHEST:
        return None
    degrees, clause = angles[0]
    sides = {side.lower() for side in SIDES.findall(clause)}
    if len(sides) > 1:
        return None
    to_right = bool(sides & {"right", "clockwise"})
    return Turn(-degrees if to_right else degrees, either=not sides)
