"""Reading a stream of server-sent events."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from headrace.client.types import Event

MEDIA_TYPE = "text/event-stream"
SILENCE_S = 30.0
"""A stream that says nothing for so long, not even a comment, has broken."""


def read_events(lines: Iterable[str]) -> Iterator[Event | None]:
    """Yield the event that each block of ``lines`` holds, and None for a comment: the stream is alive."""
    data: list[str] = []
    for line in lines:
        name, _, value = line.partition(":")
        if name == "data":
            data.append(value.removeprefix(" "))
        elif line == "" and data:
            yield json.loads("\n".join(data))
            data = []
        elif line.startswith(":"):
            yield None
