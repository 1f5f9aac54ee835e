"""Making the backend's Python environment inside the extension's user folder, with the `uv` that the extension carries; no bpy here.

    job = Job()
    job.set_up(Plan(...))    # returns at once; a thread runs uv, stage after stage
    job.pump()    # from a timer: notices the end
    job.words, job.fraction    # where it stands
    job.cancel()    # ends uv; set_up goes on from there next time

The folder of a backend, which is all there is to remove:

    current.json   which environment works, and what it was made from
    <key>/         an environment, named by what it is made from; two while a new one is being made
    uv/ cache/ python/ models/ setup.log
"""

from .job import Job
from .place import Current, Place
from .plan import Plan

__all__ = ["Current", "Job", "Place", "Plan"]
