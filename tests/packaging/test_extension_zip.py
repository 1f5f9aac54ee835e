"""What users install: the built zip."""

import hashlib
import json
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import backend
from backend.models.base import SMOLLM2
from backend.protocol import jsonrpc, messages

ROOT = Path(__file__).parents[2]
MANIFEST = tomllib.loads((ROOT / "blender_manifest.toml").read_text(encoding="utf-8"))
LOCK = (ROOT / "wheels" / "requirements.txt").read_text(encoding="utf-8")
BUILT = sorted((ROOT / "build" / "extension").glob("*.zip"))


@pytest.fixture(scope="module", params=BUILT or [None], ids=lambda path: path.stem if path else "none")
def extension(request: pytest.FixtureRequest):
    if request.param is None:
        pytest.skip("There is no extension to test. Build it with `make zip`.")
    with zipfile.ZipFile(request.param) as archive:
        yield archive


def test_there_is_a_zip_for_every_platform():
    if not BUILT:
        pytest.skip("There is no extension to test. Build it with `make zip`.")
    platforms = [name.replace("-", "_") for name in MANIFEST["platforms"]]
    assert {path.name for path in BUILT} == {f"motiongpt-{MANIFEST['version']}-{platform}.zip" for platform in platforms}


def test_it_holds_what_it_needs(extension: zipfile.ZipFile):
    needed = {
        "__init__.py",
        "blender_manifest.toml",
        "LICENSE",
        "motiongpt_blender/registration.py",
        "motiongpt_blender/rigs/maps/smpl.json",
        "motiongpt_blender/setup/torch_builds.json",
        "motiongpt_blender/translations/de_DE.json",
        "backend/server.py",
        "backend/requirements.txt",
        "backend/base-model.txt",
        "backend/motion/skeletons/smpl22.json",
        "backend/bundles/default/bundle.json",
    }
    assert needed <= set(extension.namelist())


def test_it_holds_nothing_else(extension: zipfile.ZipFile):
    top = {name.partition("/")[0] for name in extension.namelist()}
    documents = {"LICENSE", "README.md", "CHANGELOG.md"}
    assert top - documents <= {"__init__.py", "blender_manifest.toml", "backend", "motiongpt_blender", "wheels"}
    inside = ("__pycache__", ".pyc", "backend/data/", "backend/training/", "/.")
    assert not [name for name in extension.namelist() if any(part in name for part in inside)]


def test_the_default_bundle_is_whole(extension: zipfile.ZipFile):
    folder = "backend/bundles/default"
    files = json.loads(extension.read(f"{folder}/bundle.json"))["files"]
    assert files
    for name, sha256 in files.items():
        assert hashlib.sha256(extension.read(f"{folder}/{name}")).hexdigest() == sha256


def test_it_carries_the_one_uv_of_its_platform_as_locked(extension: zipfile.ZipFile):
    wheels = [name for name in extension.namelist() if name.startswith("wheels/")]
    assert len(wheels) == 1
    assert f"./{wheels[0]}" in MANIFEST["wheels"]
    assert hashlib.sha256(extension.read(wheels[0])).hexdigest() in LOCK


def test_its_backend_runs(extension: zipfile.ZipFile, tmp_path: Path):
    extension.extractall(tmp_path)
    request = jsonrpc.request(1, messages.Hello(messages.VERSION, "test"))
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-P", "-m", "backend", "serve"]
    said = subprocess.run(command, input=request, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, check=True)
    assert json.loads(said.stdout)["result"]["version"] == MANIFEST["version"]


def test_the_manifest_the_lock_and_the_code_agree():
    assert MANIFEST["version"] == backend.__version__
    assert {wheel.split("-")[1] for wheel in MANIFEST["wheels"]} == {LOCK.partition("uv==")[2].split()[0]}
    assert LOCK.count("--hash=sha256:") == len(MANIFEST["wheels"]) == len(MANIFEST["platforms"])
    assert SMOLLM2.requirement in (ROOT / "backend" / "base-model.txt").read_text(encoding="utf-8").splitlines()


def test_every_requirement_is_pinned():
    lines = (ROOT / "backend" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert not [line for line in lines if not line.startswith("#") and line.count("==") != 1]
