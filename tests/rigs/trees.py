"""Skeletons as text: a bone a line, indented under its parent, with the joint it is. Those of the left side stand for both."""
# pyright: reportMissingImports=false
# (the package `motiongpt` is made by `tests/conftest.py`)

import re
from pathlib import Path

import numpy as np
from motiongpt.motiongpt_blender.rigs.bones import Bones

FOLDER = Path(__file__).with_name("trees")
NAMES = sorted(path.stem for path in FOLDER.glob("*.txt"))


def read_tree(name: str) -> tuple[str, Bones, dict[str, str]]:
    """The kind of rig, its bones (all in one place), and the bone of each joint."""
    lines = (FOLDER / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    header = [line.partition(": ")[::2] for line in lines if re.match(r"(kind|left|right): ", line)]
    kind = next(value for key, value in header if key == "kind")
    swaps = list(zip((v for k, v in header if k == "left"), (v for k, v in header if k == "right"), strict=True))
    names: list[str] = []
    parents: list[int] = []
    joints: dict[str, str] = {}
    for mirrored in (False, True):
        above: list[tuple[int, str]] = []
        for line in lines[len(header) :]:
            depth = len(line) - len(line.lstrip())
            bone, _, joint = line.strip().partition(" = ")
            if mirrored:
                bone, joint = _swap(bone, swaps), joint.replace("left", "right")
            above = [entry for entry in above if entry[0] < depth]
            if bone not in names:
                names.append(bone)
                parents.append(names.index(above[-1][1]) if above else -1)
                if joint:
                    joints[joint] = bone
            above.append((depth, bone))
    places = np.zeros((len(names), 3))
    return kind, Bones(tuple(names), tuple(parents), places, places), joints


def _swap(name: str, swaps: list[tuple[str, str]]) -> str:
    for left, right in swaps:
        swapped = re.sub(left, right, name, count=1)
        if swapped != name:
            return swapped
    return name
