"""A process that outlives its parent by seconds, in order to end what the parent leaves behind.

`headrace up` ends its parts itself, unless it is killed. Then the kernel tells each direct child
(`die_with_parent`), but not the children's children, and a child may ignore it. The guard holds the other
end of a pipe: when that breaks, its parent is dead, and it ends every process group it was told of. It also
holds, as any fork does, the parent's lock on the data folder, so that no successor starts before it is done.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Self

PR_SET_PDEATHSIG = 1


class Guard:
    """The parent's handle on its guard. Make it before any thread and any child."""

    def __init__(self, grace_s: float) -> None:
        reading, self._pipe = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                os.close(self._pipe)
                _detach()
                _watch(reading, grace_s)
            finally:
                os._exit(0)
        os.close(reading)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._pipe)
        os.waitpid(self._pid, 0)

    def watch(self, group: int) -> None:
        """End process group ``group`` if this process dies."""
        os.write(self._pipe, f"+{group}\n".encode())

    def forget(self, group: int) -> None:
        """Process group ``group`` is gone; its number may come to mean another one."""
        os.write(self._pipe, f"-{group}\n".encode())


def die_with_parent() -> Callable[[], None]:
    """Return what a child calls before exec, so that it gets SIGTERM when its parent dies (Linux only)."""
    if not sys.platform.startswith("linux"):
        return lambda: None
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def ask() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)

    return ask


def signal_group(group: int, number: int) -> bool:
    """Send a signal to every process of ``group``; return whether there was one."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # macOS answers EPERM for a group of zombies
        return False
    return True


def _detach() -> None:
    """Become deaf to whatever ends the parent, and let go of its terminal and pipes."""
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.set_wakeup_fd(-1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)


def _watch(pipe: int, grace_s: float) -> None:
    groups: set[int] = set()
    for line in _lines(pipe):
        (groups.add if line[:1] == b"+" else groups.discard)(int(line[1:]))
    for group in groups:
        signal_group(group, signal.SIGTERM)
    end = time.monotonic() + grace_s
    while any(signal_group(group, 0) for group in groups) and time.monotonic() < end:
        time.sleep(0.05)
    for group in groups:
        signal_group(group, signal.SIGKILL)


def _lines(pipe: int) -> Iterator[bytes]:
    with contextlib.closing(os.fdopen(pipe, "rb")) as stream:
        yield from stream
