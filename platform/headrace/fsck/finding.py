"""What a check found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

Progress = Callable[[int, int], None]
"""Called with the bytes that were read, and those to read in all."""


class Finding(NamedTuple):
    """``object`` is what it is about: a digest, an id or a ref; ``advice`` says what to do."""

    severity: Literal["error", "warning"]
    check: str
    object: str
    message: str
    advice: str
