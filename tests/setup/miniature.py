"""The parts of an extension in miniature: packages made on the spot."""

import base64
import hashlib
import sys
import zipfile
from pathlib import Path

PYTHON_TAG = f"cp3{sys.version_info.minor}"
BACKEND = """
import os, pathlib, sys, time
import torch
command = sys.argv[1]
if command == "doctor" and torch.BROKEN:
    print("FAIL  device: no kernel image is available for execution on the device")
    raise SystemExit(1)
if command == "base":
    (folder := pathlib.Path(os.environ["MOTIONGPT_CACHE"])).mkdir(exist_ok=True)
    (folder / "base").write_text("converted", encoding="utf-8")
print("ok", command)
"""


def write_requirements(root: Path, *lines: str) -> None:
    (root / "backend" / "requirements.txt").write_text("\n".join(["# needed", *lines, ""]), encoding="utf-8")


def make_wheel(folder: Path, name: str, version: str, code: str, tag: str = "py3") -> Path:
    """A package of one module."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}/__init__.py": code,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}-none-any\n",
    }
    record = [f"{path},sha256={_digest(text)},{len(text.encode())}" for path, text in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""])
    wheel = folder / f"{name}-{version}-{tag}-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return wheel


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
