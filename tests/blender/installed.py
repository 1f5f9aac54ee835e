"""A real Blender (the bpy module) with the built zip installed as a user installs it; importing this does it."""

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType

import bpy
import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = "bl_ext.user_default.motiongpt"
SYSTEM = {"win32": "windows", "darwin": "macos"}.get(sys.platform, sys.platform)


def find_zip() -> Path:
    """The zip under test: the one named in the environment, or the newest that was built."""
    if given := os.environ.get("MOTIONGPT_ZIP"):
        return Path(given).resolve()
    built = sorted((ROOT / "build" / "extension").glob(f"*-{SYSTEM}_*.zip"), key=lambda path: path.stat().st_mtime)
    if not built:
        pytest.exit("There is no extension to test. Build it with `make zip`.", returncode=1)
    return built[-1]


def module(name: str) -> ModuleType:
    """A module of the installed extension, named from its root."""
    return importlib.import_module(f"{PACKAGE}.{name}")


def preferences() -> bpy.types.AddonPreferences:
    return bpy.context.preferences.addons[PACKAGE].preferences


bpy.ops.extensions.package_install_files(filepath=str(find_zip()), repo="user_default", enable_on_install=True)
assert PACKAGE in bpy.context.preferences.addons
