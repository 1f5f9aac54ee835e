"""How an operator says that something did not go well."""

import bpy

from ...backend.protocol.errors import MotionGPTError
from .. import jobs


def fail(operator: bpy.types.Operator, error: MotionGPTError) -> set[str]:
    """Report `error`, keep it in the panel, and give what `execute` returns then."""
    jobs.session.error = error
    operator.report({"ERROR"}, str(error))
    return {"CANCELLED"}
