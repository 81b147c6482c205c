"""Logs of the processes: lines for people, or one JSON object a line (``HEADRACE_LOG_FORMAT``).

Either way a line tells the request, key, project and trace that it belongs to (`headrace.origin`), the job
where `job` says so, and nothing secret: API keys, passwords in URLs and bearer tokens are struck out of the
finished line, so also out of tracebacks. What is logged with ``extra={"action": …}`` can be searched for by
that word; ``extra`` must not use the names of `logging.LogRecord`.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from headrace import origin
from headrace.config import Settings, redact

_KEY = re.compile(r"(hr_[0-9a-f]{8})_[0-9a-f]{8,64}")
_BEARER = re.compile(r"(\bbearer\s+)(?!hr_[0-9a-f]{8}_)[A-Za-z0-9._~+/=-]+", re.IGNORECASE)
_PASSWORD = re.compile(r"""(\b(?:password|secret|api_key)["']?\s*[=:]\s*["']?)[^\s"',&]+""", re.IGNORECASE)
_OWN = frozenset(vars(logging.LogRecord("", 0, "", 0, "", None, None))) | {"message", "asctime"}
_job: ContextVar[dict[str, Any]] = ContextVar("headrace_log_job")


def configure(settings: Settings, process: str) -> None:
    """Log to stderr as ``settings`` say; ``process`` is the name of the part (``web``, ``worker``, …)."""
    handler = logging.StreamHandler(sys.stderr)
    json_lines = settings.log_format == "json"
    handler.setFormatter(JsonFormatter(process) if json_lines else TextFormatter())
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    # These tell of every request and every message that they send.
    for name in ("httpx", "httpcore", "celery", "kombu", "amqp"):
        logging.getLogger(name).setLevel(logging.WARNING)


@contextmanager
def job(id: str, attempt: int) -> Iterator[None]:
    """Name the job in every line that this thread logs within the block."""
    token = _job.set({"job": id, "attempt": attempt})
    try:
        yield
    finally:
        _job.reset(token)


def censor(text: str) -> str:
    """Return ``text`` without secrets: keys keep the prefix that they are known by."""
    text = _BEARER.sub(r"\1***", _KEY.sub(r"\1_***", text))
    return _PASSWORD.sub(r"\1***", redact(text))


def context(record: logging.LogRecord) -> dict[str, Any]:
    """Return what ``record`` belongs to and what it was given as ``extra``, without what is not known."""
    who = origin.current()
    found = {
        "request_id": who.request_id,
        "project": who.project,
        "key": who.actor,
        "traceparent": who.traceparent,
        **_job.get({}),
        **{name: value for name, value in vars(record).items() if name not in _OWN},
    }
    return {name: value for name, value in found.items() if value is not None}


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, process, logger, message, and the context."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "process": self._process,
            "logger": record.name,
            "message": censor(record.getMessage()),
        }
        line |= {name: _plain(value) for name, value in context(record).items() if name not in line}
        if record.exc_info:
            line["exception"] = censor(self.formatException(record.exc_info))
        return json.dumps(line)


class TextFormatter(logging.Formatter):
    """``time level logger message name=value …``; a line break in a message cannot begin a line."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line with its context."""
        words = "".join(f" {name}={_plain(value)}" for name, value in context(record).items())
        return "".join(map(_visible, super().formatMessage(record) + words))

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and below it the traceback if there is one."""
        return censor(super().format(record))


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | float | bool) else censor(str(value))


def _visible(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()
