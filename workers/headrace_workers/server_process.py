"""One process of the fork server program, seen from the supervisor."""

from __future__ import annotations

import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from headrace_workers.fork_server import DRAIN, JOB, READY
from headrace_workers.scratch import kill_leftovers

_STOP_TIMEOUT_S = 5.0

ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "PYTHONHASHSEED": "0",  # the order of a set of strings may find its way into a model
    "TF_CPP_MIN_LOG_LEVEL": "2",
    # Left to itself, TensorFlow uses oneDNN's kernels on some processors only: twice the time on the others.
    "TF_ENABLE_ONEDNN_OPTS": "1",
    "CUDA_VISIBLE_DEVICES": "-1",
    # Threads that a library starts when it is imported would not live on in a child.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",  # PyArrow's jemalloc
}
"""All that a fork server and its jobs inherit, besides ``HOME``: a folder of its own, empty at first."""


class ServerProcess:
    """A fork server with ``preload``, whose ``home`` is a new folder in ``folder``. Raises OSError.

    It dies with the *thread* that makes this object (the kernel ties death signals to threads).
    ``broken`` is set by whoever finds it to be so: it is to get no more jobs.
    """

    def __init__(self, preload: str, folder: Path, environment: Mapping[str, str]) -> None:
        self.broken = False
        self._lock = (
            threading.Lock()
        )  # a descriptor closed while another thread sends may be another's by then
        self.home = Path(tempfile.mkdtemp(prefix="home-", dir=folder))
        self._control, theirs = socket.socketpair()
        with theirs:
            options = ["--control", str(theirs.fileno()), "--parent", str(os.getpid()), "--preload", preload]
            try:
                self.process = subprocess.Popen(
                    # -P and -s: installed packages only. Not -I, which would ignore PYTHONHASHSEED.
                    [sys.executable, "-P", "-s", "-m", "headrace_workers.fork_server", *options],
                    env={**environment, "HOME": str(self.home)},
                    cwd=self.home,
                    stdin=subprocess.DEVNULL,
                    stdout=2,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,  # a terminal's Ctrl-C is for the supervisor
                )
            except OSError:
                self._control.close()
                raise

    @property
    def alive(self) -> bool:
        """Whether the process lives."""
        return self.process.poll() is None

    @property
    def was_ready(self) -> bool:
        """Whether the preload has succeeded."""
        with self._lock, suppress(OSError):
            return self._control.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == READY
        return False

    def ready(self, timeout: float) -> bool:
        """Return whether it takes jobs, waiting ``timeout`` seconds for its preload at most."""
        poll = select.poll()
        with suppress(ValueError):  # stopped
            poll.register(self._control, select.POLLIN)
            poll.poll(timeout * 1000)
        return self.was_ready and self.alive and not self.broken

    def submit(self, connection: int, message_fd: int, log_fd: int) -> None:
        """Pass the descriptors of a job. Raises OSError."""
        with self._lock:
            socket.send_fds(self._control, [JOB], [connection, message_fd, log_fd], socket.MSG_DONTWAIT)

    def drain(self) -> None:
        """Have it end after its last job."""
        with self._lock, suppress(OSError):
            self._control.send(DRAIN, socket.MSG_DONTWAIT)

    def stop(self) -> None:
        """End it, its jobs and all that they started, and remove its home."""
        with self._lock:
            self._control.close()
        try:
            self.process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        kill_leftovers(self.home)
        shutil.rmtree(self.home, ignore_errors=True)
