"""What is kept of a column of sounds while its values stream past."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

import pyarrow as pa

from headrace_workers.engine.data import audio


class AudioProfile:
    """Sounds: how long they are, in seconds, their samples a second, and their channels."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._digests = set[bytes]()
        self._rates = Counter[int]()
        self._channels = Counter[int]()
        self._seconds: list[float] = []
        self._total, self._count = 0.0, 0

    def update(self, values: pa.Array) -> None:
        """Take the next values, none of them null and at least one."""
        for data in values.to_pylist():
            with audio.opened(data) as file:
                self._rates[file.samplerate] += 1
                self._channels[file.channels] += 1
                seconds = file.frames / file.samplerate
            self._seconds = [min([*self._seconds, seconds]), max([*self._seconds, seconds])]
            self._total += seconds
            self._count += 1
            if len(self._digests) <= self._budget:
                self._digests.add(hashlib.blake2b(data, digest_size=16).digest())

    def as_json(self) -> dict[str, Any]:
        """Return the counts; the most frequent rate and number of channels first."""
        found: dict[str, Any] = {"distinct": len(self._digests)}
        if len(self._digests) > self._budget:
            found = {"distinct": None, "distinct_at_least": len(self._digests)}
        if self._count:
            shortest, longest = self._seconds
            found["seconds"] = {"min": shortest, "max": longest, "mean": self._total / self._count}
        return found | {
            "rates": {str(rate): count for rate, count in self._rates.most_common()},
            "channels": {str(number): count for number, count in self._channels.most_common()},
        }
