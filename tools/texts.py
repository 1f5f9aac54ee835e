"""Print the texts of the interface that a language lacks, and those that it has in vain, as they would stand in its file.

python tools/texts.py [de_DE]
"""

import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
LANGUAGES = ROOT / "motiongpt_blender" / "translations"
_NOT_SERVED = {"commands", "training", "data", "evaluation"}  # folders of the backend that speak to the command line alone
_LABELS = {"bl_label", "bl_description", "bl_category"}
_KEYWORDS = {"text", "name", "description", "title", "message", "confirm_text", "heading", "placeholder"}
_TOLD = {"MotionGPTError", "say", "on_progress"}  # the calls of the backend whose texts reach the animator
_GAP = re.compile(r"\{\d+\}")


def main() -> int:
    wanted = collect()
    for path in [LANGUAGES / f"{name}.json" for name in sys.argv[1:]] or sorted(LANGUAGES.glob("*.json")):
        known = json.loads(path.read_text(encoding="utf-8"))
        print(f"{path.name} lacks:")
        print(json.dumps(dict.fromkeys(sorted(wanted - known.keys()), ""), indent=1, ensure_ascii=False))
        print(f"{path.name} has in vain:")
        print(json.dumps(sorted(known.keys() - wanted), indent=1, ensure_ascii=False))
    return 0


def collect() -> set[str]:
    """Every text that the animator may see, from the sources; what is put in while the program runs is a numbered gap."""
    found = set()
    for path in sorted((ROOT / "motiongpt_blender").rglob("*.py")):
        found.update(_texts(ast.parse(path.read_text(encoding="utf-8"))))
    for path in sorted((ROOT / "backend").rglob("*.py")):
        if not _NOT_SERVED.intersection(path.parts):
            for call in _calls(ast.parse(path.read_text(encoding="utf-8")), _TOLD):
                found.update(_texts(call))
    joints = json.loads((ROOT / "backend" / "motion" / "skeletons" / "smpl22.json").read_text(encoding="utf-8"))["joints"]
    found.update(joint.replace("_", " ").title() for joint in joints)
    for build in json.loads((ROOT / "motiongpt_blender" / "setup" / "torch_builds.json").read_text(encoding="utf-8")):
        found.add(build["title"])
    return found


def _calls(tree: ast.AST, names: set[str]) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (node.func.id if isinstance(node.func, ast.Name) else "") in names:
            yield node


def _texts(tree: ast.AST) -> Iterator[str]:
    labels = {id(part) for label in _labels(tree) for part in ast.walk(label)}
    for node in _strings(tree):
        text = _template(node)
        said = _GAP.sub("", text)
        if not re.search(r"[A-Za-z]{2}", said) or re.search(r"[\\<|=]|://|^\S*_\S*$", said):
            continue
        is_label = re.match(r"[A-Z0-9{]", text) and re.search(r"[a-z]", said) and id(node) in labels
        is_sentence = re.match(r"[A-Z{]", text) and " " in text.strip() and re.search(r"[a-z]{2}", said)
        is_clause = re.match(r"[a-z]+ [^ ]+ [^ ]+", text)
        if is_label or is_sentence or is_clause:
            yield text


def _strings(tree: ast.AST) -> Iterator[ast.Constant | ast.JoinedStr]:
    """Constants and f-strings that are not documentation, an f-string as a whole."""
    skipped = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(id(node.value))
        if isinstance(node, ast.JoinedStr):
            skipped.update(id(part) for part in node.values)
            formats = [part.format_spec for part in node.values if isinstance(part, ast.FormattedValue) and part.format_spec]
            skipped.update(id(part) for format in formats for part in ast.walk(format))
        if isinstance(node, ast.Compare | ast.Subscript):
            skipped.update(id(part) for part in ast.walk(node))
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str)):
            yield node


def _labels(tree: ast.AST) -> Iterator[ast.AST]:
    """Where a single word is a text as well."""
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)]) if name in _LABELS:
                yield node.value
            case ast.keyword(arg=name) if name in _KEYWORDS:
                yield node.value
            case ast.Tuple(elts=[ast.Constant(value=str()), *rest]) if 2 <= len(rest) <= 4:
                yield from rest[:2]
            case ast.FunctionDef(name="words" | "button" | "title"):
                yield node


def _template(node: ast.Constant | ast.JoinedStr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    numbers = iter(range(len(node.values)))
    return "".join(str(part.value) if isinstance(part, ast.Constant) else f"{{{next(numbers)}}}" for part in node.values)


if __name__ == "__main__":
    raise SystemExit(main())
