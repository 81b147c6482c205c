"""How often a key may call: a token bucket for each key, in the memory of this process.

It holds back a client that runs wild, so that the others are served; it is no quota. With several web
processes each has buckets of its own, and a key gets so many times more.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from headrace.errors import Limited

BURST_S = 10
"""What a key has saved at most, in seconds of its rate."""
_MOST_BUCKETS = 10_000


class RateLimit:
    """``per_s`` calls a second of each key, as many as ten seconds' at once; 0 is no limit. Thread-safe."""

    def __init__(self, per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._burst = max(1.0, per_s * BURST_S)
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, key: str) -> None:
        """Count a call of ``key``. Raises `Limited` when it has none left, with the wait for the next."""
        if self._per_s == 0:
            return
        with self._lock:
            now = self._clock()
            tokens, since = self._buckets.get(key, (self._burst, now))
            tokens = min(self._burst, tokens + (now - since) * self._per_s)
            if tokens < 1:
                wait = math.ceil((1 - tokens) / self._per_s)
                raise Limited(
                    f"this key makes more than {self._per_s:g} requests a second", retry_after_s=wait
                )
            self._buckets[key] = (tokens - 1, now)
            if len(self._buckets) > _MOST_BUCKETS:
                self._forget(now)

    def _forget(self, now: float) -> None:
        """Drop the buckets that are full again: to have none is the same."""
        full_since = now - self._burst / self._per_s
        self._buckets = {key: bucket for key, bucket in self._buckets.items() if bucket[1] > full_since}
