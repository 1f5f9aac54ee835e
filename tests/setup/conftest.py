"""An extension in miniature, so that the real uv sets a whole backend up in seconds and without a network."""
# pyright: reportMissingImports=false
# (the package `motiongpt` is made by `tests/conftest.py`)

from pathlib import Path

import pytest
from miniature import BACKEND, PYTHON_TAG, make_wheel, write_requirements
from motiongpt.motiongpt_blender.setup import Plan

ROOT = Path(__file__).parents[2]


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """A folder of wheels: PyTorch, another package, and the base model's."""
    folder = tmp_path / "wheels ø"
    folder.mkdir()
    make_wheel(folder, "torch", "2.0.0+cpu", "BROKEN = False", PYTHON_TAG)
    make_wheel(folder, "other", "1.0", "")
    make_wheel(folder, "model", "1.0", "")
    return folder


@pytest.fixture
def extension(tmp_path: Path) -> Path:
    carried = sorted((ROOT / "wheels").glob("uv-*.whl"))
    if not carried:
        pytest.skip("There is no uv. Build the extension with `make zip`.")
    root = tmp_path / "extension"
    (root / "backend").mkdir(parents=True)
    (root / "wheels").mkdir()
    for wheel in carried:
        (root / "wheels" / wheel.name).hardlink_to(wheel)
    write_requirements(root, "torch==2.0.0", "other==1.0")
    (root / "backend" / "base-model.txt").write_text("model==1.0\n", encoding="utf-8")
    (root / "backend" / "__init__.py").touch()
    (root / "backend" / "__main__.py").write_text(BACKEND, encoding="utf-8")
    return root


@pytest.fixture
def plan(tmp_path: Path, extension: Path, wheels: Path) -> Plan:
    """Setting up offline from the folder of wheels, into a folder whose name has a space and letters beyond ASCII."""
    return Plan(extension, tmp_path / "Zoë's blender" / "backend", online=False, wheels=wheels)
