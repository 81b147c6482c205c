"""Keeps the parts of a deployment running: starts them, starts again what dies, and ends them in time.

One thread, no polling beyond what signals cannot tell: SIGCHLD, SIGTERM and SIGINT wake the loop. Each part
leads a process group of its own, writes to a log file of its own, and is known to a `Guard`, so that nothing
survives however this process ends. The first SIGTERM or SIGINT asks the parts to end and, when their grace is
over, kills their groups; the second kills at once.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Self

from headrace.cli.guard import Guard, die_with_parent, signal_group

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
STEADY_S = 10.0
"""A part that has run for so long starts afresh with the shortest pause."""
GIVE_UP_AFTER = 4
"""So many deaths of one part before the deployment was ever ready mean that it cannot start."""
LOG_BYTES = 16 * 2**20
HOUSEKEEPING_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Part:
    """One process to keep running.

    ``started``: the parts after this one wait for it to return True. ``last``: it is ended after all others.
    """

    name: str
    command: Sequence[str]
    started: Callable[[], bool] | None = None
    last: bool = False


@dataclass(frozen=True, kw_only=True)
class Grace:
    """Seconds from SIGTERM to SIGKILL: for the parts, then for those that are ``last``; 7 in all."""

    parts_s: float = 5.5
    last_s: float = 1.5


class CannotStart(Exception):
    """A part died again and again before everything was ready."""

    def __init__(self, part: str, log: Path) -> None:
        super().__init__(f"{part} does not start; the end of {log}:\n{_tail(log)}")


@dataclass
class _Child:
    part: Part
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_at: float = 0.0
    pause_s: float = FIRST_PAUSE_S
    deaths: int = field(default=0)


class Supervisor:
    """Runs ``parts`` with the environment ``env`` and logs in ``logs``; ``report`` gets lines for people."""

    def __init__(
        self,
        parts: Sequence[Part],
        *,
        env: Mapping[str, str],
        logs: Path,
        report: Callable[[str], None],
        grace: Grace = Grace(),
    ) -> None:
        self._children = [_Child(part) for part in parts]
        self._env = dict(env)
        self._logs = logs
        self._report = report
        self._grace = grace

    def run(self, is_ready: Callable[[], bool], on_ready: Callable[[], None]) -> None:
        """Run until SIGTERM, SIGINT or SIGHUP; every process has ended when this returns or raises.

        ``is_ready`` is asked until it returns True, then ``on_ready`` is called, once. Raises `CannotStart`.
        Call it from the main thread of a process without other threads.
        """
        self._logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        with Guard(self._grace.parts_s) as guard, _Signals() as signals:
            try:
                self._start_all(guard, signals)
                ready = False
                while not signals.stops:
                    self._reap(guard, may_give_up=not ready)
                    self._start_due(guard)
                    if not ready and is_ready():
                        ready = True
                        on_ready()
                    self._rotate()
                    signals.wait(self._until_next_start())
            finally:
                self._stop(guard, signals)

    def _start_all(self, guard: Guard, signals: _Signals) -> None:
        for child in self._children:
            self._start(child, guard)
            started = child.part.started
            end = time.monotonic() + LONGEST_PAUSE_S
            while started and not started() and time.monotonic() < end and not signals.stops:
                signals.wait(0.02)

    def _start(self, child: _Child, guard: Guard) -> None:
        child.started_at = time.monotonic()
        with self._log(child.part).open("ab") as log:
            child.process = subprocess.Popen(
                child.part.command,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )
        guard.watch(child.process.pid)

    def _reap(self, guard: Guard, *, may_give_up: bool) -> None:
        now = time.monotonic()
        for child in self._children:
            if child.process is None or child.process.poll() is None:
                continue
            status = child.process.returncode
            self._bury(child, guard)
            if now - child.started_at >= STEADY_S:
                child.pause_s = FIRST_PAUSE_S
                child.deaths = 0
            child.deaths += 1
            if may_give_up and child.deaths >= GIVE_UP_AFTER:
                raise CannotStart(child.part.name, self._log(child.part))
            child.start_at = now + child.pause_s
            self._report(
                f"{child.part.name} {_how_it_ended(status)}; starting it again in {child.pause_s:g} s "
                f"(see {self._log(child.part)})"
            )
            child.pause_s = min(child.pause_s * 2, LONGEST_PAUSE_S)

    def _start_due(self, guard: Guard) -> None:
        for child in self._children:
            if child.process is None and time.monotonic() >= child.start_at:
                self._start(child, guard)

    def _until_next_start(self) -> float:
        starts = [child.start_at for child in self._children if child.process is None]
        return max(0.0, min([start - time.monotonic() for start in starts] + [HOUSEKEEPING_S]))

    def _stop(self, guard: Guard, signals: _Signals) -> None:
        for last, grace_s in ((False, self._grace.parts_s), (True, self._grace.last_s)):
            running = [c for c in self._children if c.process is not None and c.part.last is last]
            for child in reversed(running):
                assert child.process is not None
                child.process.terminate()
            end = time.monotonic() + grace_s
            while (
                any(c.process is not None and c.process.poll() is None for c in running)
                and time.monotonic() < end
                and signals.stops < 2
            ):
                signals.wait(min(0.1, max(0.0, end - time.monotonic())))
            for child in running:
                if child.process is not None and child.process.poll() is None:
                    self._report(f"{child.part.name} did not end in time and is killed")
                self._bury(child, guard)

    def _bury(self, child: _Child, guard: Guard) -> None:
        """End whatever is left of the child's process group."""
        assert child.process is not None
        signal_group(child.process.pid, signal.SIGKILL)
        child.process.wait()
        guard.forget(child.process.pid)
        child.process = None

    def _log(self, part: Part) -> Path:
        return self._logs / f"{part.name}.log"

    def _rotate(self) -> None:
        """Keep each log and its predecessor below a bound. Parts append, so a cut file is written on."""
        for child in self._children:
            log = self._log(child.part)
            if log.exists() and log.stat().st_size > LOG_BYTES:
                shutil.copyfile(log, log.with_suffix(".log.1"))
                os.truncate(log, 0)


class _Signals:
    """Signals as something to wait for. ``stops`` counts those that ask this process to end."""

    STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

    def __init__(self) -> None:
        self.stops = 0

    def __enter__(self) -> Self:
        self._read, self._write = socket.socketpair()
        self._read.setblocking(False)
        self._write.setblocking(False)
        self._wakeup = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        self._handlers = {n: signal.signal(n, self._on_stop) for n in self.STOPPING}
        # Without a handler, SIGCHLD would not reach the wakeup socket.
        self._handlers[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        self._read.close()
        self._write.close()

    def wait(self, timeout_s: float) -> None:
        """Return when a signal has come, or after ``timeout_s``."""
        if select.select([self._read], [], [], timeout_s)[0]:
            self._read.recv(4096)

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        self.stops += 1


def _how_it_ended(status: int) -> str:
    if status >= 0:
        return f"ended with exit status {status}"
    return f"was killed by {signal.Signals(-status).name}"


def _tail(log: Path, lines: int = 15) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 8192))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""
