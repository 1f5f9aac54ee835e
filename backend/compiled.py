"""Modules of functions that numba compiles, once on a computer: they run from the user's cache."""

import contextlib
import hashlib
import importlib.util
import logging
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from numba.core.caching import FunctionCache

from .files import make_folder, write_whole
from .models.base import cache_folder

_LOG = logging.getLogger(__name__)


def load_compiled(path: Path) -> ModuleType:
    """The module whose source is at `path`, which imports nothing of the package. MotionGPTError if the cache cannot be written.

    numba keeps what it has compiled beside the source and ties it to that place. The package's own folder may be read-only, and
    is another one after every update.
    """
    source = path.read_bytes()
    kept = cache_folder() / "kernels" / hashlib.sha256(source).hexdigest()[:16] / path.name
    if not kept.is_file() or kept.read_bytes() != source:
        make_folder(kept.parent)
        write_whole(kept, source)
    spec = importlib.util.spec_from_file_location(f"motiongpt_{path.stem}", kept)
    assert spec and spec.loader
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # compiled code refers to the classes in it by name
    spec.loader.exec_module(module)
    for function in vars(module).values():
        if isinstance(getattr(function, "_cache", None), FunctionCache):
            function._cache = _Kept(function.py_func)
    return module


class _Kept(FunctionCache):
    """What numba has compiled before, where that can be read: else, as after a power cut, no clip could be made ever again."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception as error:  # whatever the rest of a file may raise
            _LOG.warning("What was compiled is damaged and is compiled anew: %r", error)
            with contextlib.suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except Exception as error:  # a full disk, or the rest of a file that could not be replaced
            _LOG.warning("What was compiled cannot be kept: %r", error)
