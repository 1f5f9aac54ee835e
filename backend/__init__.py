"""The process beside Blender: language model, tokenizer, motion features.

Importing this package costs nothing: torch is loaded by the modules that compute with it, so `backend.motion` and
`backend.protocol` (numpy and the standard library alone) serve Blender's side as well.
"""

__version__ = "0.1.0"
