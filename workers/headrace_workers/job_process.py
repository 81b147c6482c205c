"""The supervisor's side of job processes: the fork server that it keeps, and the handle on one job.

::

    server = ForkServer("heavy", scratch)
    server.start()
    if server.ready(timeout=60):
        with server.spawn(folder) as process:
            for event in process.read(timeout=1.0):  # again and again, until an Exited is among them
                ...

Whatever a job does, `JobProcess.read` raises nothing: garbage, a crash and the death of the fork server are
events. After an `Exited`, and after `JobProcess.kill`, no process of the job lives.
"""

from __future__ import annotations

import json
import logging
import os
import select
import selectors
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from headrace.errors import Unavailable
from headrace_workers.fork_server import DEFAULT_ENTRY
from headrace_workers.job_pipes import Event, Exited, LogReader, MessageReader
from headrace_workers.scratch import Scratch, kill_leftovers
from headrace_workers.server_process import ENVIRONMENT, ServerProcess

log = logging.getLogger(__name__)

_CHUNK = 1 << 20
"""The most that a pipe can hold (Linux' limit for the unprivileged), so one read empties one."""

_POLL_S = 0.1
_MAX_BACKOFF_S = 60.0
_KILL_TIMEOUT_S = 5.0


class SpawnFailed(Unavailable):
    """No job process could be started."""


class ForkServer:
    """Keeps a fork server running: starts another when it dies or breaks.

    ``preload`` is ``light``, ``heavy`` or ``module:function``. ``environment`` adds to `ENVIRONMENT`.
    A server whose child does not answer within ``answer_timeout_s`` is broken: it gets no more jobs, and
    ends after those that it has.

    The kernel ties a process's death signal to the *thread* that started it, so servers are started by
    one thread that lives as long as this object. All methods may be called from any thread.
    """

    def __init__(
        self,
        preload: str,
        scratch: Scratch,
        *,
        environment: Mapping[str, str] | None = None,
        answer_timeout_s: float = 10.0,
    ) -> None:
        self._preload = preload
        self._scratch = scratch
        self._environment = {**ENVIRONMENT, **(environment or {})}
        self._answer_timeout_s = answer_timeout_s
        self._current: ServerProcess | None = None
        self._stopping = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name=f"fork-server-{preload}", daemon=True)

    def start(self) -> None:
        """Begin to start the server; see `ready`. To be called once."""
        self._keeper.start()

    def ready(self, timeout: float) -> bool:
        """Return whether jobs can be spawned, waiting ``timeout`` seconds for it at most."""
        deadline = time.monotonic() + timeout
        while True:
            server = self._current
            if server and server.ready(max(0.0, min(_POLL_S, deadline - time.monotonic()))):
                return True
            if time.monotonic() >= deadline or self._stopping.wait(0 if server and server.alive else 0.01):
                return False

    @property
    def pid(self) -> int | None:
        """The process id of the server, None while there is none."""
        server = self._current
        return server.process.pid if server and server.alive else None

    def spawn(
        self,
        scratch: Path,
        *,
        entry: str = DEFAULT_ENTRY,
        address_space_bytes: int | None = None,
        keepalive: Callable[[], None] = lambda: None,
    ) -> JobProcess:
        """Start a job process that works in the folder ``scratch`` and calls ``entry(message_fd)``.

        Returns when it runs; until then calls ``keepalive``, whose exceptions end it. Raises `SpawnFailed`;
        then nothing runs, and it is worth trying again once `ready` says so.
        """
        server = self._current
        if server is None or not server.ready(0):
            raise SpawnFailed(f"the fork server {self._preload} is not ready")
        request = {
            "scratch": str(scratch.absolute()),
            "entry": entry,
            "address_space_bytes": address_space_bytes,
        }
        return JobProcess(server, request, self._answer_timeout_s, keepalive)

    def stop(self) -> None:
        """End the server and kill its jobs; return when they are dead."""
        self._stopping.set()
        if self._keeper.ident:
            self._keeper.join()

    def __enter__(self) -> ForkServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _keep(self) -> None:
        draining: list[ServerProcess] = []
        failures = 0
        while not self._stopping.wait(min(_MAX_BACKOFF_S, 0.5 * 2**failures) if failures else 0):
            try:
                server = ServerProcess(self._preload, self._scratch.path, self._environment)
            except OSError:
                log.exception("fork server %s cannot be started", self._preload)
                failures += 1
                continue
            self._current = server
            while server.alive and not server.broken and not self._stopping.wait(_POLL_S):
                for ended in [old for old in draining if not old.alive]:
                    draining.remove(ended)
                    ended.stop()
            failures = 0 if server.was_ready else min(failures + 1, 10)
            if server.alive and not self._stopping.is_set():
                log.error("fork server %s (%d) is broken; replacing it", self._preload, server.process.pid)
                server.drain()
                draining.append(server)
                continue
            if not self._stopping.is_set():
                code = server.process.returncode
                log.error("fork server %s ended with code %s; replacing it", self._preload, code)
            server.stop()
        for server in draining:
            server.stop()


class JobProcess:
    """A running job process. Of one thread at a time; leaving its context kills it.

    ``pid`` is the id of the process and of its group.
    """

    def __init__(
        self,
        server: ServerProcess,
        request: dict[str, Any],
        timeout: float,
        keepalive: Callable[[], None],
    ) -> None:
        self._server = server
        self._answers = b""
        self._ending: Exited | None = None
        self._messages, self._log = MessageReader(), LogReader()
        self._message_fd, message_fd = os.pipe()
        self._log_fd, log_fd = os.pipe()
        self._connection, theirs = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        for end in (self._message_fd, self._log_fd):
            os.set_blocking(end, False)
            self._selector.register(end, selectors.EVENT_READ)
        self._selector.register(self._connection, selectors.EVENT_READ)
        self._closed = False
        try:
            try:
                server.submit(theirs.fileno(), message_fd, log_fd)
            except OSError as error:
                server.broken = True
                raise SpawnFailed(f"the fork server takes no job: {error}") from None
            finally:
                theirs.close()
                os.close(message_fd)
                os.close(log_fd)
            self.pid = self._ask(request, timeout, keepalive)
        except BaseException:
            self._close()
            raise

    def read(self, timeout: float) -> list[Event]:
        """Return what the job said or did, after ``timeout`` seconds at most; nothing after an `Exited`.

        One call returns at most what the pipes hold, so a flood takes no memory, and waits for its reader.
        """
        if self._closed:
            return []
        events: list[Event] = []
        ready = set() if self._ending else {key.fd for key, _ in self._selector.select(timeout)}
        if self._message_fd in ready:
            events += self._read_messages()
        if self._log_fd in ready:
            events += self._read_log()
        if self._connection.fileno() in ready:
            self._listen()
        if self._ending:
            events += [*self._read_messages(), *self._read_log(), *self._log.end(), self._ending]
            self._close()
        return events

    @property
    def ending(self) -> Exited | None:
        """How the job ended, None while it lives."""
        return self._ending

    def kill(self) -> None:
        """Kill the job and all that it started; return when they are dead. `read` gives the rest."""
        if self._closed or self._ending:
            return
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR)
        if not self._wait(_KILL_TIMEOUT_S):
            log.error("fork server %d does not kill; killing it", self._server.process.pid)
            self._server.process.kill()
            self._wait(_KILL_TIMEOUT_S)

    def close(self) -> None:
        """Kill what still runs and release the pipes."""
        self.kill()
        self._close()

    def __enter__(self) -> JobProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, request: dict[str, Any], timeout: float, keepalive: Callable[[], None]) -> int:
        """Send ``request`` and return the id of the process that answers."""
        deadline = time.monotonic() + timeout
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        try:
            self._connection.sendall(json.dumps(request).encode() + b"\n")
            while b"\n" not in self._answers:
                if not poll.poll(_POLL_S * 1000):
                    keepalive()
                    if time.monotonic() > deadline:
                        self._server.broken = True
                        raise SpawnFailed(f"no process answered within {timeout} s")
                    continue
                data = self._connection.recv(4096)
                if not data:
                    raise SpawnFailed("the fork server died")
                self._answers += data
        except OSError as error:
            raise SpawnFailed(f"the fork server died: {error}") from None
        line, _, self._answers = self._answers.partition(b"\n")
        answer = json.loads(line)
        if "pid" not in answer:
            self._server.broken = answer.get("broken", False)
            raise SpawnFailed(answer.get("error", "the process died before it began"))
        return int(answer["pid"])

    def _wait(self, timeout: float) -> bool:
        """Wait for the end of the job. Returns whether it came within ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        while not self._ending and (left := deadline - time.monotonic()) > 0:
            if poll.poll(left * 1000):
                self._listen()
        return self._ending is not None

    def _listen(self) -> None:
        """Take what the server says of the end of the job, or its silence for its death."""
        try:
            data = self._connection.recv(4096)
        except OSError:
            data = b""
        self._answers += data
        self._take_ending()
        if not data and not self._ending:
            # The kernel has killed the job with its server, but not what the job had started.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            kill_leftovers(self._server.home)
            self._ending = Exited(server_died=True)

    def _take_ending(self) -> None:
        if self._answers.endswith(b"\n"):
            answer = json.loads(self._answers)
            self._ending = Exited(
                code=answer["exit"],
                signal=answer["signal"],
                max_rss_bytes=answer["max_rss_bytes"],
                cpu_s=answer["cpu_s"],
            )

    def _read_messages(self) -> list[Event]:
        return self._messages.feed(self._read_pipe(self._message_fd))

    def _read_log(self) -> list[Event]:
        return self._log.feed(self._read_pipe(self._log_fd))

    def _read_pipe(self, fd: int) -> bytes:
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return b""
        if not data:  # its end: nothing to wait for any more
            with suppress(KeyError):
                self._selector.unregister(fd)
        return data

    def _close(self) -> None:
        if not self._closed:
            self._closed = True
            self._selector.close()
            self._connection.close()
            os.close(self._message_fd)
            os.close(self._log_fd)
