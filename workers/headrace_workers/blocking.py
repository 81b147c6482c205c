"""Calls that may block for longer than a heartbeat may wait, such as those into the artifact store: a disk
or a service that hangs must cost the attempt neither its lease nor the ear for a cancel or a shutdown.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

from headrace_workers.heartbeat import Heartbeat

T = TypeVar("T")


class Abandoned(Exception):
    """Nobody waits for this call any more."""


def beating(heartbeat: Heartbeat, call: Callable[[Callable[[], None]], T]) -> T:
    """Return what ``call(proceed)`` returns or raises, while ``heartbeat`` beats.

    It runs in a thread. When the attempt must stop it stops at once, whatever the call is waiting for; the
    call ends when it next calls ``proceed``, and until then nothing that it does is of any consequence.
    """
    future: Future[T] = Future()
    abandoned = threading.Event()

    def proceed() -> None:
        if abandoned.is_set():
            raise Abandoned

    def run() -> None:
        try:
            future.set_result(call(proceed))
        except BaseException as error:
            future.set_exception(error)

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(run,), name="blocking", daemon=True).start()
    try:
        while not wait([future], timeout=heartbeat.due_in()).done:
            heartbeat.beat()
    except BaseException:
        abandoned.set()
        raise
    return future.result()
