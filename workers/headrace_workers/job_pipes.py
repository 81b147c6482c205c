"""What a job process says: its messages and its log, made safe to handle whatever bytes it writes."""

from __future__ import annotations

import json
from dataclasses import dataclass

from pydantic import ValidationError

from headrace.specs.task import (
    MAX_LINE_BYTES,
    Checkpoint,
    Done,
    Failed,
    Metric,
    Progress,
    message_adapter,
)

MAX_LOG_LINE_BYTES = 8 * 1024
"""A longer line of the log is broken."""


@dataclass(frozen=True, kw_only=True)
class LogLines:
    """Lines of the job's stdout and stderr, without their ends. Without NUL and lone surrogates."""

    lines: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Garbage:
    """The job wrote something to its message pipe that is no message. No message follows."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Exited:
    """The job and all that it started are dead, and all that it wrote has been read.

    ``code`` or ``signal`` is set, neither when the fork server died (``server_died``), which takes its
    jobs with it. ``max_rss_bytes`` counts the pages shared with the fork server too; ``cpu_s`` is user
    and system time, of the job process and those of its children that it has waited for.
    """

    code: int | None = None
    signal: int | None = None
    max_rss_bytes: int = 0
    cpu_s: float = 0.0
    server_died: bool = False

    @property
    def reason(self) -> str:
        """The ending in words, to follow "The job process"."""
        if self.server_died:
            return "died with its fork server"
        if self.signal is not None:
            return f"was killed by signal {self.signal}"
        return f"exited with code {self.code}"


Event = Progress | Metric | Checkpoint | Done | Failed | LogLines | Garbage | Exited


class MessageReader:
    """Cuts a stream of bytes into messages. Holds at most one line; reads nothing after the first garbage."""

    def __init__(self) -> None:
        self._rest = b""
        self._ended = False

    def feed(self, data: bytes) -> list[Event]:
        """Return the messages that ``data`` completes."""
        if self._ended:
            return []
        *lines, self._rest = (self._rest + data).split(b"\n")
        events: list[Event] = []
        for line in [*lines, self._rest] if len(self._rest) > MAX_LINE_BYTES else lines:
            event = _parse(line)
            events.append(event)
            if isinstance(event, Garbage):
                self._ended = True
                self._rest = b""
                break
        return events


def _parse(line: bytes) -> Event:
    if len(line) > MAX_LINE_BYTES:
        return Garbage(reason=f"a message is longer than {MAX_LINE_BYTES} bytes; data belongs in files")
    try:
        # Databases refuse NUL, which JSON can write in this way only.
        message = message_adapter.validate_json(line.replace(b"\\u0000", b"\\ufffd"))
        if isinstance(message, Done):
            json.dumps(message.result, allow_nan=False)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        return Garbage(reason=f"not a message: {where + ': ' if where else ''}{first['msg']}"[:500])
    except ValueError:
        return Garbage(reason="the result holds a number that is not finite")
    return message


class LogReader:
    """Cuts a stream of bytes into lines of text. Holds at most one line."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Event]:
        """Return the lines that ``data`` completes."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        pieces = [piece for line in whole for piece in _broken(line)]
        *full, self._rest = _broken(self._rest)
        return [LogLines(lines=tuple(map(_text, pieces + full)))] if pieces or full else []

    def end(self) -> list[Event]:
        """Return what is left: a last line without an end."""
        return self.feed(b"\n") if self._rest else []


def _broken(line: bytes) -> list[bytes]:
    return [line[i : i + MAX_LOG_LINE_BYTES] for i in range(0, len(line), MAX_LOG_LINE_BYTES)] or [b""]


def _text(line: bytes) -> str:
    # Of a progress bar that redraws its line, a terminal too would show the last state.
    visible = line.rstrip(b"\r").rpartition(b"\r")[2]
    return visible.decode(errors="replace").replace("\x00", "\ufffd")
