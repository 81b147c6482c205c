"""The program from which job processes are forked: it imports what jobs need, once, and runs none of it.

It is started by `headrace_workers.job_process.ForkServer` with a clean environment, which is what
``/proc/PID/environ`` of every job shows, and with one end of a socket pair, ``control``::

    supervisor ──control──▶ fork server        JOB + 3 descriptors · DRAIN · end of file
        │                       │ fork
        ├──connection──────────▶├──▶ job        request ▶   ◀ {"pid"} of the job, then {"exit"} of the server
        ├──◀ message pipe ──────────┘ one JSON object a line, see `headrace.specs.task`
        └──◀ log pipe ──────────────┘ its stdout and stderr

- One thread: a lock held by another would stay locked for ever in a child. The number of threads is taken
  after the preload (one: TensorFlow's import starts none, and the environment keeps OpenBLAS and PyArrow
  from it) and a fork is refused once it differs.
- A connection is one job. When its client closes or shuts down its side, the job is killed; when ``control``
  ends (the supervisor died), or on SIGTERM, all are. The kernel tells the server of its parent's death also
  during the preload, and kills a job whose server died.
- A job leads a session and group of its own. Once it has died, its group is killed before its number is
  free for another process, and so is whatever left the session: the server is the reaper of all its
  descendants (Linux). Only then is the exit told, so whoever hears of it knows that nothing writes any more.

No socket in the file system: nobody else can connect, no path is too long, nothing is left behind.
Without Linux' prctl the end of ``control`` does the same, less promptly, and only for the job's own group.
"""

from __future__ import annotations

import argparse
import ctypes
import faulthandler
import gc
import importlib
import json
import os
import resource
import selectors
import signal
import socket
import sys
import tempfile
import threading
import traceback
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

DEFAULT_ENTRY = "headrace_workers.engine.main:main"
PRELOADS = {
    "light": "headrace_workers.engine.preload:light",
    "heavy": "headrace_workers.engine.preload:heavy",
}
READY, JOB, DRAIN = b"r", b"j", b"q"
"""The bytes on ``control``. DRAIN: take no more jobs, end after the last."""

_MAX_REQUEST_BYTES = 64 * 1024
_LINUX = sys.platform == "linux"
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024
_OOM_SCORE = "500"


@dataclass(eq=False)
class _Job:
    connection: socket.socket
    message_fd: int
    log_fd: int
    request: bytearray = field(default_factory=bytearray)
    pid: int | None = None
    ending: dict[str, Any] | None = None

    def tell(self, answer: dict[str, Any]) -> None:
        with suppress(OSError):  # the client may be gone
            self.connection.sendall(json.dumps(answer).encode() + b"\n")

    def close_pipes(self) -> None:
        os.close(self.message_fd)
        os.close(self.log_fd)


class _Server:
    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._jobs: list[_Job] = []
        self._draining = False
        self._threads = _count_threads()
        self._selector = selectors.DefaultSelector()
        self._woken, self._wakes = socket.socketpair()
        for end in (self._woken, self._wakes):
            end.setblocking(False)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(self._wakes.fileno(), warn_on_full_buffer=False)
        self._selector.register(control, selectors.EVENT_READ, self._accept)
        self._selector.register(self._woken, selectors.EVENT_READ, self._wake)

    def serve(self) -> None:
        """Serve until told to stop, and then until the last job is dead."""
        self._control.sendall(READY)
        while self._jobs or not self._draining:
            burying = any(job.ending for job in self._jobs)
            for key, _ in self._selector.select(0.02 if burying else None):
                key.data()
            self._reap()
            self._bury()

    def _wake(self) -> None:
        if signal.SIGTERM in self._woken.recv(4096):
            self._stop()

    def _stop(self) -> None:
        self._draining = True
        for job in list(self._jobs):
            self._give_up(job)

    def _accept(self) -> None:
        try:
            kind, fds, _, _ = socket.recv_fds(self._control, 1, 3)
        except ConnectionResetError:
            kind, fds = b"", []
        if kind == JOB:
            for fd in fds:
                os.set_inheritable(fd, False)
            job = _Job(socket.socket(fileno=fds[0]), fds[1], fds[2])
            self._jobs.append(job)
            self._selector.register(job.connection, selectors.EVENT_READ, partial(self._hear, job))
        elif kind == DRAIN:
            self._draining = True
        else:
            self._selector.unregister(self._control)
            self._stop()

    def _hear(self, job: _Job) -> None:
        try:
            data = job.connection.recv(_MAX_REQUEST_BYTES)
        except ConnectionResetError:
            data = b""
        job.request += data
        if not data or len(job.request) > _MAX_REQUEST_BYTES:
            self._give_up(job)
        elif job.pid is None and job.request.endswith(b"\n"):
            self._start(job)

    def _give_up(self, job: _Job) -> None:
        if job.pid is None:
            job.close_pipes()
            self._drop(job)
            return
        if not job.ending:
            _kill_group(job.pid)
        with suppress(KeyError):
            self._selector.unregister(job.connection)

    def _drop(self, job: _Job) -> None:
        with suppress(KeyError):
            self._selector.unregister(job.connection)
        job.connection.close()
        self._jobs.remove(job)

    def _start(self, job: _Job) -> None:
        if (threads := _count_threads()) != self._threads:
            error = f"the fork server has {threads} threads and had {self._threads}: no fork of it is safe"
            job.tell({"error": error, "broken": True})
            self._give_up(job)
            return
        sys.stdout.flush()
        sys.stderr.flush()
        # A signal for the child before its handlers are its own would wake the server.
        unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, signal.SIGTERM})
        server = os.getpid()
        try:
            pid = os.fork()
            if pid == 0:
                self._become(job, server)
            job.pid = pid
            job.close_pipes()
        except OSError as error:
            job.tell({"error": f"no process could be forked: {error}", "broken": False})
            self._give_up(job)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)

    def _become(self, job: _Job, server: int) -> NoReturn:
        """Run the job in this process, which has just been forked, and end it."""
        code = 1
        try:
            _die_with(server, signal.SIGKILL)
            os.setsid()
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            os.dup2(job.log_fd, 1)
            os.dup2(job.log_fd, 2)
            job.tell({"pid": os.getpid()})
            self._let_go(job)
            request = json.loads(job.request)
            _confine(request)
            _resolve(request["entry"])(job.message_fd)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            with suppress(BaseException):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _let_go(self, kept: _Job) -> None:
        """Close, in the child, all that is the server's or another job's."""
        self._selector.close()
        for end in (self._control, self._woken, self._wakes):
            end.close()
        os.close(kept.log_fd)
        for job in self._jobs:
            job.connection.close()
            if job is not kept and job.pid is None:
                job.close_pipes()

    def _reap(self) -> None:
        running = {job.pid: job for job in self._jobs if not job.ending}
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                return
            job = running.get(found.si_pid)
            if job:
                _kill_group(found.si_pid)  # now: as a zombie it still keeps its number
            _, status, usage = os.wait4(found.si_pid, 0)
            if job:
                code = os.waitstatus_to_exitcode(status)
                job.ending = {
                    "exit": code if code >= 0 else None,
                    "signal": -code if code < 0 else None,
                    "max_rss_bytes": usage.ru_maxrss * _RSS_UNIT,
                    "cpu_s": usage.ru_utime + usage.ru_stime,
                }

    def _bury(self) -> None:
        """Tell of the jobs of which nothing lives any more."""
        ended = [job for job in self._jobs if job.ending]
        if not ended or self._kill_strays():
            return
        for job in ended:
            # Where the server is no reaper of orphans, the rest of the group may take a moment to die.
            if job.ending and not _kill_group(job.pid):
                job.tell(job.ending)
                self._drop(job)

    def _kill_strays(self) -> bool:
        """Kill orphans that belong to no running job's session. Returns whether there were any."""
        running = {job.pid for job in self._jobs if job.pid and not job.ending}
        found = False
        for pid in _children():
            with suppress(ProcessLookupError):
                if pid not in running and os.getsid(pid) not in running:
                    os.kill(pid, signal.SIGKILL)
                    found = True
        return found


def _confine(request: dict[str, Any]) -> None:
    os.umask(0o077)
    os.chdir(request["scratch"])
    # Temporary files go away with the scratch folder.
    os.makedirs("tmp", exist_ok=True)
    tempfile.tempdir = os.environ["TMPDIR"] = os.path.abspath("tmp")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if limit := request["address_space_bytes"]:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    if _LINUX:
        with suppress(OSError):  # when memory runs out, the job goes first, not the supervisor
            Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)
    # The server's own may have been made for a file, which a pipe cannot be used as.
    sys.stdout = os.fdopen(1, "w", buffering=1, errors="backslashreplace", closefd=False)


def _kill_group(pid: int | None) -> bool:
    """Kill the process group ``pid``. Returns whether any process was in it."""
    if pid is None:
        return False
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # macOS forbids it where only zombies are left
        return False
    return True


def _children() -> list[int]:
    with suppress(OSError):
        return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    return []


def _count_threads() -> int:
    return len(os.listdir("/proc/self/task")) if _LINUX else threading.active_count()


def _prctl(option: int, value: int) -> None:
    if _LINUX:
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _die_with(parent: int, number: signal.Signals) -> None:
    """Have the kernel send ``number`` to this process when the thread that forked it ends."""
    _prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:  # it ended before the kernel knew
        os._exit(1)


def _resolve(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def main() -> None:
    """Preload, say that this is done, and serve."""
    parser = argparse.ArgumentParser(prog="fork_server", description="Forks job processes. Not for people.")
    parser.add_argument("--control", type=int, required=True, help="descriptor of the socket to be served")
    parser.add_argument("--parent", type=int, required=True, help="process id of the supervisor")
    parser.add_argument("--preload", required=True, help=f"{', '.join(PRELOADS)}, or module:function")
    options = parser.parse_args()
    control = socket.socket(fileno=options.control)
    control.set_inheritable(False)
    # SIGTERM, not SIGKILL: once it serves, the server first kills what the jobs have started.
    _die_with(options.parent, signal.SIGTERM)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    faulthandler.enable()
    _resolve(PRELOADS.get(options.preload, options.preload))()
    # What is frozen is not touched by a child's collector and so stays shared with it.
    gc.collect()
    gc.freeze()
    _Server(control).serve()


if __name__ == "__main__":
    main()
