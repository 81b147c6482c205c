"""What a client knows of what it asked for: the only witness that no part of the deployment can bend."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

TAG = "ledger"
"""The tag by which a job is found that the client was never told of: its value is the entry's key."""

SUCCEEDED, FAILED, CANCELLED = "succeeded", "failed", "cancelled"


@dataclass(kw_only=True)
class Entry:
    """One submission. ``answers``: the job of every 2xx answer to it; ``ends``: the states it may end in.

    ``result``: what its result must hold; ``weights``: the digest of what a train job must learn;
    ``source``: that of an uploaded file; ``cancelled``: cancelling was answered 202; ``own_s``: how long it
    runs where nothing disturbs it.
    """

    key: str
    kind: str = "train"
    project: str = "default"
    answers: list[str] = field(default_factory=list)
    ends: frozenset[str] = frozenset({SUCCEEDED})
    result: dict[str, Any] = field(default_factory=dict)
    weights: str | None = None
    source: str | None = None
    cancelled: bool = False
    own_s: float = 0.0

    @property
    def job(self) -> str | None:
        """The id that was answered, None for a submission that nobody answered."""
        return self.answers[0] if self.answers else None


class Ledger:
    """Every submission of a run, by its idempotency key. Thread-safe."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._lock = threading.Lock()

    def add(self, entry: Entry) -> None:
        with self._lock:
            assert entry.key not in self._entries, f"{entry.key} is used twice"
            self._entries[entry.key] = entry

    def __iter__(self) -> Iterator[Entry]:
        with self._lock:
            return iter(list(self._entries.values()))

    def __len__(self) -> int:
        with self._lock:
            return len(self._entries)
