"""The processes of a deployment, found by marks that only they bear: never by number, never by name alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

import psutil

FORK_SERVER = "headrace_workers.fork_server"


def bearing(mark: str) -> list[psutil.Process]:
    """Return every living process, this one aside, with ``mark`` in its environment or command line."""
    return [
        process for process in psutil.process_iter() if process.pid != os.getpid() and _bears(process, mark)
    ]


def _bears(process: psutil.Process, mark: str) -> bool:
    with suppress(psutil.Error, OSError):
        if process.status() != psutil.STATUS_ZOMBIE:
            return mark in "\0".join((*process.environ().values(), *process.cmdline()))
    return False


def left_behind(mark: str) -> Iterator[str]:
    """Yield what lives of a deployment that has ended, in words."""
    for process in bearing(mark):
        with suppress(psutil.Error):
            yield f"process {process.pid} lives: {' '.join(process.cmdline())[:120]}"


def fork_servers(mark: str) -> list[psutil.Process]:
    return [process for process in _of_fork_servers(mark) if not _has_parent_of_its_kind(process)]


def jobs(mark: str) -> list[psutil.Process]:
    return [process for process in _of_fork_servers(mark) if _has_parent_of_its_kind(process)]


def _of_fork_servers(mark: str) -> list[psutil.Process]:
    found = []
    for process in bearing(mark):
        with suppress(psutil.Error):
            if FORK_SERVER in process.cmdline():
                found.append(process)
    return found


def _has_parent_of_its_kind(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        parent = process.parent()
        return parent is not None and FORK_SERVER in parent.cmdline()
    return False
