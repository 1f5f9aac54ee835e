"""How an operator says whether it went well."""

import bpy

from ...backend.protocol.errors import MotionGPTError
from .. import jobs
from ..session import Session
from ..setup import Job
from ..translation import say, say_error


def fail(operator: bpy.types.Operator, error: MotionGPTError, job: Session | Job = jobs.session) -> set[str]:
    """Report `error`, keep it in the panel as that of `job`, and give what `execute` returns then."""
    job.error = error
    jobs.redraw()
    operator.report({"ERROR"}, say_error(error))
    return {"CANCELLED"}


def done(operator: bpy.types.Operator, told: str = "") -> set[str]:
    """What `execute` returns when all went well. The panel shows an earlier error no longer, and `told` is reported."""
    jobs.session.error = None
    jobs.redraw()
    if told:
        operator.report({"INFO"}, say(told))
    return {"FINISHED"}
