"""Bodies from model files; the smplx package's own models say how they must come out."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import smplx
import torch
from bodies import VERTICES, model_arrays, write_model
from smplx.utils import Struct

from backend.body import build_body
from backend.motion.skeleton import SMPL
from backend.protocol import jsonrpc, messages, wire
from backend.protocol.errors import MotionGPTError

BETAS = (1.5, -2.0, 0.5)
KINDS = {24: ("SMPL", "smpl"), 52: ("SMPL-H", "smplh"), 55: ("SMPL-X", "smplx")}


@pytest.mark.parametrize("joints", KINDS)
def test_body_is_that_of_the_package(tmp_path: Path, joints: int):
    kind, name = KINDS[joints]
    body = build_body(messages.Body(str(write_model(tmp_path / "model.npz", joints)), betas=BETAS))
    reference = package_model(tmp_path, joints, name)
    with torch.no_grad():
        expected = reference(betas=torch.tensor([[*BETAS, *[0.0] * 7]]))
    assert body.kind == kind
    np.testing.assert_allclose(body.vertices, expected.vertices[0], atol=1e-5)
    np.testing.assert_allclose(body.joints, expected.joints[0, :joints], atol=1e-5)
    np.testing.assert_array_equal(body.faces, reference.faces.astype(np.int64))
    assert body.parents == (-1, *map(int, reference.parents[1:]))
    np.testing.assert_allclose(body.weights, reference.lbs_weights, atol=1e-6)


def package_model(folder: Path, joints: int, name: str) -> Any:
    """The model as the package itself makes it, from the same arrays."""
    if name == "smplx":
        path = write_model(folder / "SMPLX_NEUTRAL.npz", joints)
        return smplx.create(str(path), name, ext="npz", num_betas=10, use_pca=False, flat_hand_mean=True)
    arrays = Struct(**model_arrays(joints))
    cls = {"smpl": smplx.SMPL, "smplh": smplx.SMPLH}[name]
    return cls("", data_struct=arrays, num_betas=10, use_pca=False, flat_hand_mean=True)


@pytest.mark.parametrize("joints", KINDS)
def test_body_has_the_joints_that_clips_move(tmp_path: Path, joints: int):
    body = build_body(messages.Body(str(write_model(tmp_path / "model.npz", joints))))
    assert body.names[: len(SMPL)] == SMPL.joints
    assert body.parents[: len(SMPL)] == SMPL.parents
    assert len(set(body.names)) == len(body.names) == joints
    assert body.vertices.shape == (VERTICES[joints], 3)
    np.testing.assert_allclose(body.weights.sum(axis=1), 1, atol=1e-6)


def test_the_reply_travels(tmp_path: Path):
    body = build_body(messages.Body(str(write_model(tmp_path / "model.npz", 55))))
    line = jsonrpc.result(3, body)
    received = wire.unpack(messages.BodyReply, jsonrpc.decode(line)["result"])
    assert received.names == body.names
    np.testing.assert_array_equal(received.weights, body.weights)


@pytest.mark.parametrize(
    ("files", "gender", "kind"),
    [
        (["SMPL_NEUTRAL.npz"], "neutral", "SMPL"),
        (["SMPL_NEUTRAL.npz", "SMPLX_NEUTRAL.npz"], "neutral", "SMPL-X"),
        (["smplh/SMPLH_FEMALE.npz", "smplh/SMPLH_MALE.npz"], "female", "SMPL-H"),
        (["male/model.npz"], "male", "SMPL-H"),
        (["smplx/SMPLX_MALE.npz", "smplx/SMPLX_MALE.pkl"], "male", "SMPL-X"),
    ],
)
def test_model_is_found_in_a_folder(tmp_path: Path, files: list[str], gender: str, kind: str):
    joints = {name: joints for joints, (name, _) in KINDS.items()}
    for file in files:
        of_file = next((joints[k] for k in ("SMPL-X", "SMPL-H") if k.replace("-", "") in file), 52 if "model" in file else 24)
        write_model(tmp_path / file, of_file)
    assert build_body(messages.Body(str(tmp_path), gender)).kind == kind


def test_pickles_are_not_opened(tmp_path: Path):
    """One that would run a program must not."""

    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "exploded",))

    (tmp_path / "SMPL_NEUTRAL.pkl").write_bytes(pickle.dumps({"v_template": Bomb()}))
    bombs = np.empty(1, dtype=object)
    bombs[0] = Bomb()
    inside = write_model(tmp_path / "inside.npz", J_regressor=bombs)
    (tmp_path / "renamed.npz").write_bytes(pickle.dumps(Bomb()))
    for place in (tmp_path, tmp_path / "SMPL_NEUTRAL.pkl", inside):
        with pytest.raises(MotionGPTError, match=r"holds Python objects \(pickle\)") as raised:
            build_body(messages.Body(str(place)))
        assert "numpy.savez" in raised.value.remedy
    with pytest.raises(MotionGPTError, match="is no model of a body"):
        build_body(messages.Body(str(tmp_path / "renamed.npz")))
    assert not (tmp_path / "exploded").exists()


def test_objects_that_no_body_needs_stay_unread(tmp_path: Path):
    assert build_body(messages.Body(str(write_model(tmp_path / "model.npz", 24, part2num=np.array({"a": 1})))))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"weights": None}, "lacks weights"),
        ({"weights": np.zeros((3, 24))}, "the shape of weights is wrong"),
        ({"f": np.zeros(3)}, "shape"),
        ({"v_template": np.array(["a"])}, "no model|wrong"),
    ],
)
def test_file_that_is_no_model_is_refused(tmp_path: Path, changed: dict, said: str):
    with pytest.raises(MotionGPTError, match=said) as raised:
        build_body(messages.Body(str(write_model(tmp_path / "model.npz", **changed))))
    assert raised.value.remedy


def test_file_that_is_cut_short_is_refused(tmp_path: Path):
    path = write_model(tmp_path / "model.npz")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(MotionGPTError, match="is no model of a body") as raised:
        build_body(messages.Body(str(path)))
    assert raised.value.remedy


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (messages.Body("nowhere"), "no neutral model of a body in nowhere"),
        (messages.Body("nowhere", "female"), "no female model"),
        (messages.Body("nowhere", "robot"), "no gender 'robot'"),
    ],
)
def test_what_is_not_there_is_named(body: messages.Body, said: str):
    with pytest.raises(MotionGPTError, match=said) as raised:
        build_body(body)
    assert raised.value.remedy


def test_more_of_a_shape_than_the_model_knows_is_refused(tmp_path: Path):
    path = write_model(tmp_path / "model.npz", shapedirs=np.zeros((VERTICES[24], 3, 2)))
    with pytest.raises(MotionGPTError, match="only 2 numbers for the shape, not 3"):
        build_body(messages.Body(str(path), betas=BETAS))
