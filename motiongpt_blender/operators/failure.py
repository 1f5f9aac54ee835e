"""How an operator says that something did not go well."""

import bpy

from ...backend.protocol.errors import MotionGPTError
from .. import jobs
from ..translation import say_error


def fail(operator: bpy.types.Operator, error: MotionGPTError) -> set[str]:
    """Report `error`, keep it in the panel, and give what `execute` returns then."""
    jobs.session.error = error
    operator.report({"ERROR"}, say_error(error))
    return {"CANCELLED"}
