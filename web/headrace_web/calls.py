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
from headrace_web.live import Feed


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What one web process is made of; built by `headrace_web.app.create_app`."""

    settings: Settings
    database: Database
    store: Store
    dispatcher: Dispatcher
    clock: Callable[[], datetime]
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
