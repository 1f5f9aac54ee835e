"""The repository's root is the extension; outside Blender it is imported under the name `motiongpt`, so that its relative imports work."""

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def _import_extension() -> None:
    spec = importlib.util.spec_from_file_location("motiongpt", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
    assert spec and spec.loader
    sys.modules["motiongpt"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


_import_extension()
