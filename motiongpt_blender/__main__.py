"""`python -m motiongpt_blender …` runs the extension's command line in the bpy module, with the animator's own preferences."""

import importlib
import sys

import bpy

bpy.ops.wm.read_userpref()  # the bpy module starts with Blender's factory settings
_package = next((name for name in bpy.context.preferences.addons.keys() if name.endswith(".motiongpt")), None)  # noqa: SIM118 - not a dict
if _package is None:
    sys.exit("MotionGPT is not enabled in the preferences of this Blender. Install the extension first, as README.md says.")
sys.exit(importlib.import_module(f"{_package}.motiongpt_blender.command").run(sys.argv[1:]))
