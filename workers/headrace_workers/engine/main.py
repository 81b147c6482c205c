"""The entry of a job process: read the task, run its kind, say how it ended.

A fork server calls `main` in a fresh process whose working directory is the attempt's scratch folder.
Everything that goes wrong becomes one `Failed`; only a process that is killed, or whose supervisor is gone,
ends without a last message.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pyarrow as pa
from pydantic import BaseModel

from headrace.errors import BadSpec, JobError, OutOfResources
from headrace.specs.task import MAX_LINE_BYTES, TASK_FILE, Done, Failed, Progress, Task
from headrace_workers.engine.context import Context

PROGRESS_INTERVAL_S = 0.2
ARROW_THREADS = 2
MAX_MESSAGE = 4000
KINDS = "headrace_workers.engine.kinds"


def run(scratch: Path, send: Callable[[BaseModel], None]) -> None:
    """Run the task in ``scratch`` and send its messages; the last one, always, is `Done` or `Failed`.

    Raises only what ``send`` raises.
    """
    send(_outcome(scratch, send))


def main(fd: int) -> None:
    """Run the task in the working directory, writing its messages as lines of JSON to ``fd``."""
    # The machine is shared with other slots; reading and writing overlap well on two.
    pa.set_cpu_count(ARROW_THREADS)
    run(Path.cwd(), LineWriter(fd))


class LineWriter:
    """Sends messages as lines of JSON over a file descriptor; may be called from several threads.

    Progress is thinned to one message per ``interval_s`` seconds. The newest one held back is sent before
    the job's last message, so that the final fraction is always seen. Raises OSError when nobody reads.
    """

    def __init__(self, fd: int, *, interval_s: float = PROGRESS_INTERVAL_S) -> None:
        self._fd = fd
        self._interval_s = interval_s
        self._lock = threading.Lock()
        self._next_progress = 0.0
        self._held: Progress | None = None

    def __call__(self, message: BaseModel) -> None:
        """Send ``message``, or hold it back when it is progress that comes too soon."""
        with self._lock:
            if isinstance(message, Progress):
                now = time.monotonic()
                if now < self._next_progress:
                    self._held = message
                    return
                self._next_progress = now + self._interval_s
                self._held = None
            elif isinstance(message, Done | Failed) and self._held is not None:
                self._write(self._held)
                self._held = None
            self._write(message)

    def _write(self, message: BaseModel) -> None:
        line = message.model_dump_json().encode() + b"\n"
        while line:
            line = line[os.write(self._fd, line) :]


def _outcome(scratch: Path, send: Callable[[BaseModel], None]) -> Done | Failed:
    try:
        task = Task.model_validate_json((scratch / TASK_FILE).read_bytes())
        done = _run_kind(task, Context(scratch, task.inputs, send))
        _check_result(done)
    except JobError as error:
        return _failed(error)
    except Exception as error:
        traceback.print_exc()
        sys.stderr.flush()
        if _is_exhaustion(error):
            return _failed(OutOfResources(f"Memory or disk ran out: {_reason(error)}."))
        return Failed(
            error="InternalError",
            message=f"An unexpected {type(error).__name__} ended the job; the job's log says where.",
            retryable=False,
        )
    return done


def _run_kind(task: Task, context: Context) -> Done:
    name = f"{KINDS}.{task.kind}"
    try:
        # Only what this kind needs is imported: ingest must run without TensorFlow.
        module = import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise BadSpec(f"This worker knows no jobs of kind {task.kind!r}.") from None
    done: Done = module.run(task, context)
    return done


def _check_result(done: Done) -> None:
    size = len(done.model_dump_json())
    if size >= MAX_LINE_BYTES:
        raise ValueError(f"the result takes {size} bytes, the limit is {MAX_LINE_BYTES}")


def _failed(error: JobError) -> Failed:
    # A message may quote the user's bytes; JSON and the database refuse NUL and lone surrogates.
    message = error.detail.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()
    return Failed(error=type(error).__name__, message=message[:MAX_MESSAGE], retryable=error.retryable)


def _reason(error: Exception) -> str:
    # Of an OSError not the whole text, which has paths of this machine.
    return (isinstance(error, OSError) and error.strerror) or type(error).__name__


def _is_exhaustion(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM)
    # TensorFlow's own kind of MemoryError, by name so that it need not be imported here.
    return isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError"
