"""How far a prompt says that the character turns, where it says so in figures."""

import re
from typing import NamedTuple

from .prompts import SIDES

_CLAUSES = re.compile(r"[.;,](?!\d)|\b(?:and|then|while|before|after)\b", re.IGNORECASE)
_TURNING = re.compile(r"\b(?:turn|rotat|pivot|spin|spun|swivel|twirl|circl|curv|veer)\w*", re.IGNORECASE)
_PARTS = re.compile(  # of the body, which turn without it
    r"\b(?:head|neck|(?:his|her|its|their) face|gaze|eyes?|arms?|elbows?|forearms?|wrists?|hands?|palms?|fingers?|upper body|torso|trunk"
    r"|spine|waist|chest|hips?|shoulders?|legs?|thighs?|knees?|ankles?|foot|feet|heels?|toes?)\b",
    re.IGNORECASE,
)
_DEGREES = re.compile(r"(\d+(?:\.\d+)?)[\s-]*(?:degrees?\b|deg\b|[°º˚])", re.IGNORECASE)
_MORE = re.compile(  # a clause that goes on with a turn without saying so: "and then right by 90 degrees"
    rf"[\s,]*(?:(?:by|about|another|to|the|his|her|its|their)\s+)*(?:twice\b|again\b|{SIDES.pattern}|{_DEGREES.pattern})", re.IGNORECASE
)
_SHARE = re.compile(r"\b(?:twice|thrice|times|again|each|every|per)\b", re.IGNORECASE)  # of the whole turn is what the angle is
_FARTHEST = 1080.0  # degrees; whoever writes more means something else


class Turn(NamedTuple):
    """A turn by so many `degrees`, to the left if they are above zero; `either`: to whichever side the clip turns."""

    degrees: float
    either: bool


def asked_turn(prompt: str) -> Turn | None:
    """How far a prompt wants the whole body turned from beginning to end, or None if it does not say, or names several turns."""
    clauses = [clause for clause in _CLAUSES.split(prompt) if not _PARTS.search(clause)]
    turns = [clause for clause in clauses if _TURNING.search(clause)]
    angles = [float(angle) for clause in turns for angle in _DEGREES.findall(clause)]
    if len(turns) != 1 or len(angles) != 1 or not 0.0 < angles[0] <= _FARTHEST:
        return None
    if _SHARE.search(turns[0]) or any(_MORE.match(clause) for clause in clauses if clause not in turns):
        return None
    to_right = {side.lower() in ("right", "clockwise") for side in SIDES.findall(turns[0])}
    if len(to_right) > 1:
        return None
    return Turn(-angles[0] if True in to_right else angles[0], either=not to_right)
