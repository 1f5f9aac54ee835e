"""Names by a rule that the animator writes, such as `{character}_{index:03}_{prompt}`."""

import re
import string
from collections.abc import Iterable, Iterator

from ...backend.protocol.errors import Code, MotionGPTError

FIELDS = {"prompt": "a prompt", "index": 1, "character": "Anna", "seed": 0}  # with an example of each, to check rules with
_LONGEST = 200  # bytes; Blender keeps 255, and numbers may follow


def check_rule(rule: str) -> None:
    """MotionGPTError if names cannot be made by `rule`."""
    try:
        unknown = [field for _, field, _, _ in string.Formatter().parse(rule) if field is not None and field not in FIELDS]
        if not unknown and rule.format(**FIELDS).strip():
            return
    except (ValueError, LookupError):
        pass
    fields = ", ".join(f"{{{name}}}" for name in FIELDS)
    raise MotionGPTError(
        Code.INVALID_PARAMS, f"No names can be made by the rule {rule!r}.", f"It may hold text and {fields}, as in {{index:03}} {{prompt}}."
    )


def name_by(rule: str, prompt: str, index: int, character: str, seed: int) -> str:
    """The name by a checked rule."""
    return fitting(rule.format(prompt=prompt, index=index, character=character, seed=seed))


def fitting(name: str) -> str:
    """The name as Blender can keep it."""
    return " ".join(name.split()).encode()[:_LONGEST].decode(errors="ignore")


def without_number(name: str) -> str:
    """The name without the number that tells it apart from others."""
    return re.sub(r"\.\d{3,}$", "", name)


def told_apart(names: Iterable[str]) -> Iterator[str]:
    """The names in their order, those that were there before with a number behind, as Blender does it."""
    used = set()
    for name in names:
        unique, count = name, 0
        while unique in used:
            count += 1
            unique = f"{name}.{count:03}"
        used.add(unique)
        yield unique
