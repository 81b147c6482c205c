"""The pulse of a part that has no port to ask: a file that it touches, and whose age a health check reads.

It shows that the process goes round its loop, whether or not database and broker are there: a container
that is started again mends neither.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Literal

from headrace.config import Settings

Pulsing = Literal["scheduler", "worker"]

LONGEST_S = 60.0
"""A part that has not touched its file for so long is taken for dead: it is longer than the longest wait
for a database that is away."""
_log = logging.getLogger(__name__)


def beat(settings: Settings, part: Pulsing) -> None:
    """Record that ``part`` goes round its loop; a disk that is full is only logged."""
    path = _file(settings, part)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        _log.warning("the pulse cannot be kept: %s", error)


def silent_s(settings: Settings, part: Pulsing) -> float | None:
    """Return for how many seconds ``part`` of this data folder has been silent, None if it never ran."""
    try:
        return max(0.0, time.time() - _file(settings, part).stat().st_mtime)
    except FileNotFoundError:
        return None


def _file(settings: Settings, part: Pulsing) -> Path:
    return settings.data / f"{part}.pulse"
