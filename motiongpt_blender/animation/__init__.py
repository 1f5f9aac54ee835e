"""Clips as Blender keeps them: actions, slots and F-curves."""
