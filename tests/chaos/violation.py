"""One invariant of ``reliability.md`` that did not hold."""

from __future__ import annotations

from typing import NamedTuple


class Violation(NamedTuple):
    """``invariant``: I1 to I9, ``digest`` or ``quota``; ``text``: what is wrong; ``job``: with which job."""

    invariant: str
    text: str
    job: str | None = None

    def __str__(self) -> str:
        return f"{self.invariant}: {self.text}"
