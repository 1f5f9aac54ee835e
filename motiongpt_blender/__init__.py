"""Blender's side: the panel, the rig, the keyframes. It knows bpy, numpy and the protocol, and never the language model."""
