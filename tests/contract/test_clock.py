"""The web dates requests by the database's time, whatever its own machine says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from headrace import db
from headrace.config import Settings
from headrace_web import clock
from headrace_web.app import create_app
from headrace_web.calls import Parts

OTHER = datetime(2001, 2, 3, tzinfo=UTC)


def test_requests_are_dated_by_the_database(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings.load({}, data=tmp_path, database_url=database_url, broker_url="memory://")
    parts = Parts.of(create_app(settings))
    with parts.database.read() as session:
        assert abs(parts.clock() - db.clock(session)) < timedelta(seconds=10)
    asked = []
    monkeypatch.setattr(clock, "clock", lambda session: asked.append(session) or OTHER)
    told = clock.DatabaseClock(parts.database)
    first, second = told(), told()
    assert OTHER <= first < second < OTHER + timedelta(seconds=10)
    assert len(asked) == 1
    parts.close()
