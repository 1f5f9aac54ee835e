"""The backend process as Blender's side sees it; no bpy here.

    connection = Connection(python, extension_root, log)    # starts the process, BACKEND_MISSING if that cannot be done
    call = connection.request(Generate(...), on_progress=..., on_done=...)    # returns at once
    connection.pump()    # from a timer, a few times a second: calls the callbacks; never waits
    connection.cancel(call)
    connection.wait(call, timeout=60.0)    # for scripts: pumps until the call is done, gives its result or raises its error
    connection.close()    # ends the process; also right for atexit

A `Call` has `state`, `result` (the reply message), `error` (a MotionGPTError) and `progress` (the last Progress message).
The handshake needs no attention: requests may follow the start immediately, `connection.hello` is its call.
"""

from .client import Call, Connection, State

__all__ = ["Call", "Connection", "State"]
