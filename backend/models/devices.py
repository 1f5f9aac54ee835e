"""Where to compute, and in which precision."""

import torch

from ..protocol.errors import Code, MotionGPTError

PRECISIONS = ("float32", "bfloat16", "int8")


def choose(wanted: str) -> str:
    """`auto`, `cpu`, `cuda` or `mps` to a device that is there; MotionGPTError if the wanted one is not."""
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if available[name])
    if not available.get(wanted, False):
        there = ", ".join(name for name, has in available.items() if has)
        raise MotionGPTError(Code.INVALID_PARAMS, f"The device {wanted!r} is not available here.", f"Choose one of: auto, {there}.")
    return wanted


def precision_for(device: str, wanted: str) -> str:
    """`auto` or a precision of the weights to one that the engine of `device` has; MotionGPTError if it has not."""
    known = PRECISIONS if device == "cpu" else PRECISIONS[:2]
    if wanted == "auto":
        # On a CPU reading the weights is what takes the time; a GPU computes with bfloat16 where it can.
        return "int8" if device == "cpu" else str(dtype_for(device)).removeprefix("torch.")
    if wanted not in known:
        raise MotionGPTError(
            Code.INVALID_PARAMS,
            f"The precision {wanted!r} is not there on the device {device}.",
            f"Choose one of: auto, {', '.join(known)}.",
        )
    return wanted


def dtype_for(device: str) -> torch.dtype:
    """The form of weights for training: bf16 where the hardware computes with it, float32 elsewhere."""
    if device == "cuda" and torch.cuda.is_bf16_supported():
        return torch.bfloat16
    with_bf16 = device == "cpu" and torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.bfloat16 if with_bf16 else torch.float32


def autocast(device: str) -> torch.autocast:
    """The context in which matrices are multiplied in bf16 where the hardware does so fast; weights stay as they are."""
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=dtype_for(device) is torch.bfloat16)
