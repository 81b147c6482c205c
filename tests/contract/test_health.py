"""Is it ready: once jobs can be accepted and run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, NoReturn

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import sessionmaker

from contract.api import Api
from headrace.db import AWAY, clock
from headrace.jobs import workers

Problem = Callable[..., dict[str, Any]]


def _seen(api: Api, age_s: float) -> None:
    with api.parts.database.transaction() as session:
        now = clock(session)
        then = now - timedelta(seconds=age_s)
        workers.seen(session, "w", queues=["default"], slots=1, started_at=then, now=then)


def test_ready_while_a_worker_is_alive(api: Api, problem: Problem) -> None:
    anyone = api.as_key(None)
    assert anyone.get("/healthz").status_code == 200
    assert "worker" in problem(anyone.get("/readyz"), 503)["detail"]
    _seen(api, age_s=0)
    assert anyone.get("/readyz").json == {"status": "ready"}
    _seen(api, age_s=3600)
    problem(anyone.get("/readyz"), 503)


def test_not_ready_with_another_schema(api: Api, problem: Problem) -> None:
    _seen(api, age_s=0)
    with api.parts.database.transaction() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    assert "headrace db upgrade" in problem(api.get("/readyz"), 503)["detail"]
    with api.parts.database.transaction() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert api.get("/readyz").status_code == 200, "a rolling upgrade: newer, and no harm to this version"
    with api.parts.database.transaction() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999_needs_9998'"))
    assert "upgrade Headrace" in problem(api.get("/readyz"), 503)["detail"]
    assert api.get("/healthz").status_code == 200


def test_a_database_that_is_gone_is_a_503(
    api: Api, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = create_engine("postgresql://app@127.0.0.1:1/gone")
    for session in ("_read", "_write"):
        monkeypatch.setattr(api.parts.database, session, sessionmaker(gone))
    problem(api.get("/readyz"), 503)
    for answer in (api.get("jobs"), api.submit()):
        problem(answer, 503)
        assert answer.headers["Retry-After"]
        assert "127.0.0.1" not in answer.text
    assert api.get("/healthz").status_code == 200


@pytest.mark.parametrize("error", AWAY)
def test_whatever_a_database_that_is_away_raises_is_a_503(
    api: Api, problem: Problem, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def refuse() -> NoReturn:
        raise error("SELECT", {}, Exception("ended")) if issubclass(error, DBAPIError) else error()

    monkeypatch.setattr(api.parts.database, "read", refuse)
    problem(api.get("jobs"), 503)
