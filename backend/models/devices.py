"""Where to compute."""

import torch

from ..protocol.errors import Code, MotionGPTError


def choose(wanted: str) -> str:
    """`auto`, `cpu`, `cuda` or `mps` to a device that is there; MotionGPTError if the wanted one is not."""
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if available[name])
    if not available.get(wanted, False):
        there = ", ".join(name for name, has in available.items() if has)
        raise MotionGPTError(Code.INVALID_PARAMS, f"The device {wanted!r} is not available here.", f"Choose one of: auto, {there}.")
    return wanted


def dtype_for(device: str) -> torch.dtype:
    """The form of the language model's weights: bf16 where the hardware computes with it, float32 elsewhere."""
    if device == "cuda" and torch.cuda.is_bf16_supported():
        return torch.bfloat16
    return torch.bfloat16 if device == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported() else torch.float32
