"""What uv and the operating system say when something goes wrong, and what that means to the animator."""

import re

from ...backend.protocol.errors import Code, MotionGPTError
from ..connection.process import quote

_NETWORK = "Check the connection (and the proxy, if there is one), then set up again: it goes on where it stopped."
_KNOWN = [  # what is looked for in the last words of a command, what happened, what to do
    (
        r"no space left|not enough space|os error (28|112)\b|disk quota",
        "The disk is full.",
        "Free some space, then set up again: it goes on where it stopped.",
    ),
    (
        r"invalid peer certificate|unknownissuer|self.signed certificate",
        "The connection is not trusted, most often because a firewall or a virus scanner opens it.",
        "Set the environment variable SSL_CERT_FILE to that program's certificate, or set up from a folder of wheels.",
    ),
    (
        r"\bdns error|error sending request|connection (refused|reset)|timed? ?out|failed to (fetch|download)|request failed|network",
        "The packages could not be downloaded.",
        _NETWORK,
    ),
    (
        r"hash mismatch|checksum|invalid zip|corrupt|unexpected end of file",
        "A package arrived damaged.",
        "Set up again: it is fetched anew. If it happens again, remove the backend first.",
    ),
    (
        r"being used by another process|os error (32|33)\b",
        "A file of the backend is in use.",
        "Close other Blender windows and wait for the virus scanner, then set up again.",
    ),
    (
        r"permission denied|access is denied|operation not permitted|os error (1|5|13)\b|virus|quarantine",
        "The system does not allow it to write or start a file, most often because of a virus scanner.",
        "Allow Blender's extension folder in the virus scanner, then set up again.",
    ),
    (
        r"no solution found|not found in the (package registry|provided package locations)|no wheels with a matching",
        "A package was not found for this computer.",
        "If you set up from a folder of wheels, it lacks that package; otherwise update MotionGPT. The log names it.",
    ),
    (
        r"no interpreter found|no python|failed to inspect python",
        "There is no Python to build upon.",
        "Allow Blender online access so that it can be downloaded, or install Python 3.11, 3.12 or 3.13.",
    ),
    (
        r"visual c\+\+ redistributable is not installed",  # PyTorch says so before it fails
        "Microsoft's Visual C++ runtime, which PyTorch needs, is not on this computer.",
        "Install Microsoft's Visual C++ Redistributable (aka.ms/vs/17/release/vc_redist.x64.exe), then set up again.",
    ),
    (
        r"no module named|importerror|dll load failed|winerror 126",
        "What was installed does not start.",
        "Remove the backend, then set it up again.",
    ),
]
_SAID_LINES = 4


def explain(doing: str, status: int | None, said: str) -> MotionGPTError:
    """Why `doing` something failed, from what was `said` and the exit `status` of the command (None: there was none)."""
    what, remedy = next(((w, r) for pattern, w, r in _KNOWN if re.search(pattern, said, re.IGNORECASE)), _unknown(status))
    message = f"{what} The step was: {doing}."
    if lines := [line.strip() for line in said.splitlines() if line.strip()]:
        failed = [line for line in lines if line.startswith("FAIL")]  # the self-test goes on after what it finds
        message = quote(message, (failed or lines)[-_SAID_LINES:])
    return MotionGPTError(Code.SETUP_FAILED, message, remedy)


def _unknown(status: int | None) -> tuple[str, str]:
    if status is None:
        return "The system refused.", "Look at what lies in that place, then try again."
    if status in (-9, 137):
        return "The system killed it, most often because memory ran out.", "Close other programs, then set up again."
    remedy = "Set up again to go on where it stopped. If that does not help, remove the backend first. The log says more."
    return f"It ended with exit status {status}.", remedy


def explain_os_error(doing: str, error: OSError) -> MotionGPTError:
    number = getattr(error, "winerror", None) or error.errno
    return explain(doing, None, f"{error} (os error {number})")
