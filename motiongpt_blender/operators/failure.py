"""How an operator says that something did not go well."""

import bpy

from ...backend.protocol.errors import MotionGPTError
from .. import jobs
from ..session import Session
from ..setup import Job
from ..translation import say_error


def fail(operator: bpy.types.Operator, error: MotionGPTError, job: Session | Job = jobs.session) -> set[str]:
    """Report `error`, keep it in the panel as that of `job`, and give what `execute` returns then."""
    job.error = error
    operator.report({"ERROR"}, say_error(error))
    return {"CANCELLED"}
