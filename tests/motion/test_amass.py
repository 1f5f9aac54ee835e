"""The file is read by the rules of the format: arrays only, forward kinematics of SMPL with Z up."""

import io

import numpy as np
import pytest

from backend.motion import rotations
from backend.motion.amass import to_amass
from backend.motion.skeleton import SMPL

PELVIS = np.array([-0.0022, -0.2408, 0.0286])


def some_motion(frames: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(2)
    return rotations.from_vector(random.normal(scale=0.4, size=(frames, 22, 3))), random.normal(size=(frames, 3))


def rodrigues(v: np.ndarray) -> np.ndarray:
    """Rotation matrices of rotation vectors, by the series of the exponential."""
    cross = np.zeros((*v.shape[:-1], 3, 3))
    cross[..., 0, 1], cross[..., 0, 2], cross[..., 1, 2] = -v[..., 2], v[..., 1], -v[..., 0]
    cross -= np.swapaxes(cross, -1, -2)
    result, term = np.eye(3) + cross * 0, np.eye(3) + cross * 0
    for n in range(1, 30):
        term = term @ cross / n
        result = result + term
    return result


def test_file_holds_what_readers_of_amass_look_for():
    local, root = some_motion(7)
    with np.load(io.BytesIO(to_amass(local, root, 29.97)), allow_pickle=False) as file:
        assert {name: file[name].shape for name in file} == {
            "trans": (7, 3),
            "poses": (7, 156),
            "betas": (16,),
            "gender": (),
            "mocap_framerate": (),
        }
        assert str(file["gender"]) == "neutral"
        assert float(file["mocap_framerate"]) == 29.97
        assert not file["poses"][:, 66:].any()


def test_body_posed_by_the_file_stands_where_the_clip_does():
    local, root = some_motion(20)
    with np.load(io.BytesIO(to_amass(local, root, 30.0))) as file:
        turns, trans = rodrigues(file["poses"].reshape(20, 52, 3)), file["trans"]
    assert SMPL.offsets is not None
    turned, places = [turns[:, 0]], [PELVIS + trans]
    for joint, parent in enumerate(SMPL.parents[1:], start=1):
        places.append(places[parent] + turned[parent] @ SMPL.offsets[joint])
        turned.append(turned[parent] @ turns[:, joint])
    x, y, z = np.moveaxis(SMPL.forward(local, root), -1, 0)
    np.testing.assert_allclose(np.stack(places, axis=1), np.stack([x, -z, y], axis=-1), atol=1e-9)


def test_upright_person_is_upright_with_z_up():
    standing = np.tile(rotations.IDENTITY, (1, 22, 1))
    with np.load(io.BytesIO(to_amass(standing, np.array([[0.0, SMPL.rest_height, 0.0]]), 20.0))) as file:
        assert (PELVIS + file["trans"][0]) == pytest.approx([0, 0, SMPL.rest_height])
        assert rodrigues(file["poses"][0, :3]) @ [0, 1, 0] == pytest.approx([0, 0, 1])
