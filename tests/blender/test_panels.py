"""What panels draw with exists in this Blender. Without a window they are not drawn, and a mistake would show there only."""

import ast
from collections.abc import Iterator
from pathlib import Path

import bpy
from installed import module

FOLDER = module("motiongpt_blender").__path__[0]


def icons(tree: ast.AST) -> Iterator[str]:
    """The names of icons in calls, in whatever expression they stand."""
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "icon":
            outcomes = [node.value.body, node.value.orelse] if isinstance(node.value, ast.IfExp) else [node.value]
            yield from (str(part.value) for outcome in outcomes for part in ast.walk(outcome) if isinstance(part, ast.Constant))


def test_every_icon_exists():
    known = bpy.types.UILayout.bl_rna.functions["label"].parameters["icon"].enum_items.keys()
    found = {}
    for path in sorted(Path(FOLDER).rglob("*.py")):
        found |= dict.fromkeys(icons(ast.parse(path.read_text(encoding="utf-8"))), path.name)
    assert len(found) > 10
    assert {name: path for name, path in found.items() if name not in known} == {}


def test_every_operator_that_is_drawn_exists():
    remedies = module("motiongpt_blender.panels.text")._REMEDIES
    for operator, _, icon in remedies.values():
        group, name = operator.split(".")
        assert name in dir(getattr(bpy.ops, group))
        assert icon in bpy.types.UILayout.bl_rna.functions["label"].parameters["icon"].enum_items
