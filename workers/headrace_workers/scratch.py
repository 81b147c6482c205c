"""Scratch folders of job processes, and what removes those of supervisors that died.

::

    root/lock                  held while a space is made, or the root is swept
    root/SPACE/lock            held by the supervisor for as long as it lives
    root/SPACE/home-…/         HOME of a fork server and all its descendants: what marks them as ours
    root/SPACE/JOB/            the working folder of one job process

A process is recognised by its ``HOME``, a folder with a random name, never by a number that another process
may have by now; so this also finds processes that have left their job's group.
"""

from __future__ import annotations

import fcntl
import logging
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

log = logging.getLogger(__name__)

_LOCK = "lock"
_KILL_TIMEOUT_S = 5.0


class Scratch:
    """The scratch space of one supervisor: ``path``, a new private folder below ``root``, which is made."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        with _locked(root):
            self.path = Path(tempfile.mkdtemp(prefix="space-", dir=root.resolve()))
            self._lock = (self.path / _LOCK).open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    def new(self, prefix: str) -> Path:
        """Return a new empty folder whose name begins with ``prefix``."""
        return Path(tempfile.mkdtemp(prefix=f"{prefix}-", dir=self.path))

    def close(self) -> None:
        """Remove everything. The processes that work in it must be dead."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()

    def __enter__(self) -> Scratch:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def sweep(root: Path) -> None:
    """Kill the processes and remove the folders that supervisors that are no more left below ``root``."""
    if not root.is_dir():
        return
    with _locked(root):
        for space in root.resolve().iterdir():
            if space.is_dir() and not _is_held(space):
                log.warning("removing what a dead supervisor left in %s", space)
                kill_leftovers(space)
                shutil.rmtree(space, ignore_errors=True)


def kill_leftovers(folder: Path) -> None:
    """Kill every process whose ``HOME`` is ``folder`` or below it, and return when they are dead."""
    deadline = time.monotonic() + _KILL_TIMEOUT_S
    while found := [process for pid in psutil.pids() for process in _if_in(folder, pid)]:
        for process in found:
            with suppress(psutil.Error):
                process.kill()
        _, alive = psutil.wait_procs(found, timeout=max(0.0, deadline - time.monotonic()))
        if alive and time.monotonic() > deadline:
            log.error("processes %s do not die", [process.pid for process in alive])
            return


def _if_in(folder: Path, pid: int) -> list[psutil.Process]:
    with suppress(psutil.Error, OSError):
        process = psutil.Process(pid)
        home = process.environ().get("HOME")
        if home is not None and Path(home).is_relative_to(folder):
            return [process]
    return []


def _is_held(space: Path) -> bool:
    try:
        with (space / _LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except (BlockingIOError, PermissionError):  # held, or another user's
        return True
    return False


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    with (root / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
