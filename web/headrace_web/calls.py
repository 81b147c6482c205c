"""What a view gets: the parts of the process, and for an authorised request who calls, when, for which
project."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from flask import Flask, Response, current_app
from pydantic import BaseModel

from headrace.access.service import Principal
from headrace.artifacts.store import Store
from headrace.config import Settings
from headrace.db import Database
from headrace.dispatch import Dispatcher
from headrace_web.instruments import Instruments
from headrace_web.live import Feed
from headrace_web.rates import RateLimit


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What one web process is made of; built by `headrace_web.app.create_app`."""

    settings: Settings
    database: Database
    store: Store
    dispatcher: Dispatcher
    clock: Callable[[], datetime]
    rates: RateLimit
    instruments: Instruments
    feed: Feed

    def close(self) -> None:
        """End live streams, send the tickets that are pending and close the database."""
        self.feed.close()
        self.dispatcher.close()
        self.database.close()

    @classmethod
    def of(cls, app: Flask) -> Parts:
        """Return the parts of ``app``."""
        parts = app.extensions["headrace"]
        assert isinstance(parts, cls)
        return parts

    @classmethod
    def of_current(cls) -> Parts:
        """Return the parts of the app that answers the request at hand."""
        return cls.of(current_app)


@dataclass(frozen=True, kw_only=True)
class Call:
    """One authorised request. ``project`` is the one it acts in: the key's, or what an admin asked for;
    ``content`` its JSON body as it came, empty where it has none.
    """

    parts: Parts
    principal: Principal
    project: str
    now: datetime
    content: bytes = b""

    def scope(self, asked: str | None) -> str | None:
        """Return the project whose share of what all projects use together is shown, None for all of it:
        an admin sees all unless the request has ``asked`` for one."""
        return None if self.principal.may("admin") and asked is None else self.project


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a view answers with: its body as a model (None for 204), and what differs from the route's own."""

    body: BaseModel | None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self, status: int) -> Response:
        """Return the HTTP response; ``status`` is the route's own."""
        status = self.status or status
        if self.body is None:
            return Response(status=status, headers=dict(self.headers))
        return json_response(self.body.model_dump_json(), status, self.headers)


def json_response(text: str | bytes, status: int, headers: Mapping[str, Any] | None = None) -> Response:
    """Return ``text``, which is JSON, as a response."""
    return Response(text, status=status, headers=dict(headers or {}), content_type="application/json")
