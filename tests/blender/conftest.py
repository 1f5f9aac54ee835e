"""These tests run where there is Blender: under an interpreter that has the bpy module."""

import atexit
import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

collect_ignore_glob = [] if importlib.util.find_spec("bpy") else ["test_*.py"]

_folder = tempfile.TemporaryDirectory(prefix="motiongpt-blender-")
atexit.register(_folder.cleanup)
os.environ["BLENDER_USER_RESOURCES"] = _folder.name  # before bpy is imported: nobody's own Blender is touched


@pytest.fixture(autouse=True)
def empty_scene() -> None:
    import bpy

    if bpy.context.object and bpy.context.object.mode != "OBJECT":
        bpy.ops.object.mode_set(mode="OBJECT")
    for data in (bpy.data.objects, bpy.data.armatures, bpy.data.meshes, bpy.data.actions):
        bpy.data.batch_remove(list(data))
    scene = bpy.context.scene
    scene.cursor.location = (0, 0, 0)
    scene.render.fps, scene.render.fps_base = 24, 1.0
    scene.frame_start, scene.frame_end = 1, 250
    scene.frame_set(1)
    scene.timeline_markers.clear()
    for name in set(scene.motiongpt.bl_rna.properties.keys()) - {"rna_type", "name"}:
        scene.motiongpt.property_unset(name)


@pytest.fixture
def session() -> Iterator[Any]:
    """The extension's session, with the real backend's folder set in the preferences. A backend that runs is kept for the next test."""
    from installed import ROOT, module, preferences

    folder = Path(os.environ.get("MOTIONGPT_BACKEND", ROOT / ".venv-backend")).absolute()
    if not (folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")).is_file():
        pytest.skip(f"There is no backend environment in {folder}.")
    preferences().backend_folder = str(folder)
    preferences().device = "cpu"
    yield module("motiongpt_blender.jobs").session
    for name in ("backend_folder", "bundle_folder", "device"):
        preferences().property_unset(name)


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """The extension's session, with a backend that answers at once in place of the real one."""
    from installed import module, preferences
    from scripted import ScriptedConnection

    folder = tmp_path / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    folder.parent.mkdir()
    folder.touch()
    session = module("motiongpt_blender.jobs").session
    session.stop()
    monkeypatch.setattr(module("motiongpt_blender.session"), "Connection", ScriptedConnection)
    monkeypatch.setattr(ScriptedConnection, "requests", [])
    preferences().backend_folder = str(tmp_path)
    yield session
    session.stop()
    preferences().property_unset("backend_folder")
