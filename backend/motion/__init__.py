"""Motion as numpy arrays: skeletons, rotations, features, constraints. Nothing here knows torch or Blender.

Metres, seconds, Y up; a character faces +Z and its left is +X. Quaternions are (w, x, y, z).
"""
