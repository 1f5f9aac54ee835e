"""Bodies of the SMPL family of a given shape, from the model files that the user has; nothing of those models is in here."""

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .protocol import messages
from .protocol.errors import Code, MotionGPTError

GENDERS = ("neutral", "female", "male")


class _Family(NamedTuple):
    name: str
    stem: str
    joints: int


_FAMILIES = (_Family("SMPL-X", "SMPLX", 55), _Family("SMPL-H", "SMPLH", 52), _Family("SMPL", "SMPL", 24))
_WITH_HANDS = {24: ("left_hand", "right_hand")}  # joints of SMPL that its successors have none for
_ARRAYS = ("v_template", "shapedirs", "J_regressor", "kintree_table", "weights", "f")


def build_body(request: messages.Body) -> messages.BodyReply:
    """The body in T-pose; MotionGPTError if the model file is missing, none of a model, or a pickle."""
    import torch  # here, because these take seconds
    from smplx import joint_names, lbs

    package: Any = lbs  # annotated with a kind of tensor of its own

    path = find_model(Path(request.model), request.gender)
    arrays = _read(path)
    joints = arrays["J_regressor"].shape[0]
    family = next((family for family in _FAMILIES if family.joints == joints), None)
    if family is None:
        raise _not_a_model(path, f"it has {joints} joints")
    names = joint_names.JOINT_NAMES if joints == 55 else joint_names.SMPLH_JOINT_NAMES
    shapes = torch.from_numpy(arrays["shapedirs"][:, :, : len(request.betas)])
    if shapes.shape[-1] < len(request.betas):
        raise MotionGPTError(
            Code.INVALID_PARAMS,
            f"{path} has only {shapes.shape[-1]} numbers for the shape, not {len(request.betas)}.",
            "Leave out the last.",
        )
    vertices = torch.from_numpy(arrays["v_template"])[None] + package.blend_shapes(
        torch.tensor([request.betas], dtype=torch.float32), shapes
    )
    places = package.vertices2joints(torch.from_numpy(arrays["J_regressor"]), vertices)
    parents = arrays["kintree_table"][0].astype(np.int64)
    return messages.BodyReply(
        kind=family.name,
        names=(*names[:22], *_WITH_HANDS.get(joints, names[22:joints])),
        parents=(-1, *map(int, parents[1:])),
        joints=places[0].numpy(),
        vertices=vertices[0].numpy(),
        faces=arrays["f"].astype(np.int32),
        weights=arrays["weights"],
    )


def find_model(place: Path, gender: str) -> Path:
    """The model file at `place`, or that of a gender in the folder `place`; MotionGPTError if there is none that can be read."""
    if gender not in GENDERS:
        raise MotionGPTError(Code.INVALID_PARAMS, f"There is no gender {gender!r:.40}.", f"Choose one of {', '.join(GENDERS)}.")
    found = list(_files(place, gender)) if place.is_dir() else [place] if place.is_file() else []
    if not found:
        raise MotionGPTError(
            Code.INVALID_PARAMS,
            f"There is no {gender} model of a body in {place}.",
            "Choose the .npz of an SMPL, SMPL-H or SMPL-X model. They can be had, under a licence of their own, from their makers.",
        )
    return found[0]


def _files(folder: Path, gender: str) -> Iterator[Path]:
    """Where the packages of the models and the smplx package have them, the newest kind first."""
    for suffix in (".npz", ".pkl"):
        for family in _FAMILIES:
            names = (f"{family.stem}_{gender.upper()}{suffix}", f"{gender}/model{suffix}")
            for inner in (folder, folder / family.stem.lower()):
                yield from (inner / name for name in names if (inner / name).is_file())


def _read(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a model, numbers only: whatever else the file holds stays unread."""
    if not zipfile.is_zipfile(path):
        raise _is_pickle(path) if path.suffix.lower() == ".pkl" else _not_a_model(path, "it is no .npz")
    try:
        with np.load(path, allow_pickle=False) as data:
            if missing := [name for name in _ARRAYS if name not in data]:
                raise _not_a_model(path, f"it lacks {', '.join(missing)}")
            arrays = {name: np.asarray(data[name]) for name in _ARRAYS}
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise _is_pickle(path) from error
        raise _not_a_model(path, str(error)) from error
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise _not_a_model(path, str(error)) from error
    vertices, joints = len(arrays["v_template"]), len(arrays["J_regressor"])
    shapes = {"v_template": (vertices, 3), "J_regressor": (joints, vertices), "kintree_table": (2, joints), "weights": (vertices, joints)}
    wrong = [name for name, shape in shapes.items() if arrays[name].shape != shape]
    if wrong or arrays["shapedirs"].shape[:2] != (vertices, 3) or arrays["f"].shape[1:] != (3,):
        raise _not_a_model(path, f"the shape of {', '.join(wrong) or 'its arrays'} is wrong")
    floats = {"v_template", "shapedirs", "J_regressor", "weights"}
    return {name: array.astype(np.float32) if name in floats else array for name, array in arrays.items()}


def _not_a_model(path: Path, why: str) -> MotionGPTError:
    return MotionGPTError(
        Code.INVALID_PARAMS, f"{path} is no model of a body: {why}.", "Choose the .npz of an SMPL, SMPL-H or SMPL-X model."
    )


def _is_pickle(path: Path) -> MotionGPTError:
    return MotionGPTError(
        Code.INVALID_PARAMS,
        f"{path} holds Python objects (pickle), which could run any program and are not read.",
        f"Choose a model's .npz, or, if you trust the file, save its arrays {', '.join(_ARRAYS)} with numpy.savez and choose that.",
    )
