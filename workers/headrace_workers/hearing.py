"""Whether tickets still reach this worker.

A consumer that has gone deaf (connected, as it thinks, and told of nothing) costs no job, since idle slots
look for themselves, but each one a moment. It shows: job after job is found by looking, and none was
announced. Then the consumer is told to connect anew. That may be a mistake, where busy workers took the
tickets or the jobs had waited for a backoff; it costs next to nothing, and so is not made often.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

MISSED = 5
"""So many jobs in a row that no ticket announced are one too many."""

PAUSE_S = 60.0
"""The shortest time between two new connections."""

_log = logging.getLogger(__name__)


class Hearing:
    """Counts what was heard and what was found without; calls ``on_deaf`` when that looks like deafness."""

    def __init__(self, on_deaf: Callable[[], None]) -> None:
        self._on_deaf = on_deaf
        self._lock = threading.Lock()
        self._missed = 0
        self._not_before = 0.0

    def heard(self) -> None:
        """Record that a ticket came."""
        with self._lock:
            self._missed = 0

    def found(self) -> None:
        """Record that an idle slot has found a job that no ticket announced."""
        with self._lock:
            self._missed += 1
            if self._missed < MISSED or time.monotonic() < self._not_before:
                return
            self._missed = 0
            self._not_before = time.monotonic() + PAUSE_S
        _log.warning("no ticket has come for %d jobs: connecting to the broker anew", MISSED)
        self._on_deaf()
