"""What is to be installed, and from where."""

import hashlib
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from ...backend.protocol.errors import Code, MotionGPTError

_PYTHONS = ("3.11", "3.12", "3.13")  # that the backend runs on
PREFERRED_PYTHON = "3.12"
SUITABLE_PYTHONS = ">=3.11,<3.14"
_TORCH_WHEEL = re.compile(r"torch-(?P<version>[^-+]+)(\+(?P<build>[^-]+))?-cp3(?P<minor>\d+)-.*\.whl")


@dataclass(frozen=True)
class Plan:
    """What the setting up is told: the extension in `root`, the place to fill, and what may be used for it.

    `wheels` is a folder to take packages from, first or, unless `online`, alone. `python` is an interpreter to build
    upon where no other can be had: Blender's own.
    """

    root: Path
    folder: Path
    online: bool
    wheels: Path | None = None
    only_processor: bool = False
    python: Path = Path(sys.executable)

    @property
    def requirements(self) -> Path:
        return self.root / "backend" / "requirements.txt"

    @property
    def base_model(self) -> Path:
        return self.root / "backend" / "base-model.txt"

    def torch(self) -> str:
        """The line of the requirements that pins PyTorch."""
        lines = self.requirements.read_text(encoding="utf-8").splitlines()
        return next(line for line in lines if line.startswith("torch=="))


@dataclass(frozen=True)
class TorchWheel:
    """A wheel of PyTorch in the folder of wheels: the Python it is for, and its build, for example cpu."""

    file: str
    python: str
    build: str


def torch_wheel(plan: Plan) -> TorchWheel | None:
    """The wheel of the wanted PyTorch in the plan's folder of wheels; MotionGPTError if there must be one and is none."""
    if plan.wheels is None:
        return None
    wanted = plan.torch().partition("==")[2]
    for path in sorted(plan.wheels.glob("torch-*.whl"), reverse=True):
        found = _TORCH_WHEEL.fullmatch(path.name)
        if found and found["version"] == wanted and f"3.{found['minor']}" in _PYTHONS:
            return TorchWheel(path.name, f"3.{found['minor']}", found["build"] or "")
    if not plan.online:
        raise MotionGPTError(
            Code.SETUP_FAILED,
            f"The folder of wheels {plan.wheels} has no PyTorch {wanted} for Python {_PYTHONS[0]} to {_PYTHONS[-1]}.",
            "Put the wheels of all packages in backend/requirements.txt there, or allow Blender online access.",
        )
    return None


def lock_hash(root: Path) -> str:
    """Eight hexadecimal digits that change with what the extension in `root` pins."""
    digest = hashlib.sha256()
    for name in ("requirements.txt", "base-model.txt"):
        lines = (root / "backend" / name).read_text(encoding="utf-8").splitlines()
        digest.update("\n".join(line for line in lines if line and not line.startswith("#")).encode())
    return digest.hexdigest()[:8]
