# Blender's modules are compiled and describe themselves at run time only.
from typing import Any

def __getattr__(name: str) -> Any: ...
