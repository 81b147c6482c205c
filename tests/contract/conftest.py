"""The API for a test, on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from contract.api import NOW, Api
from headrace.access import service as access
from headrace.config import Settings
from headrace_web.app import create_app
from headrace_web.calls import Parts

KEYS = [
    ("viewer", "default", "viewer"),
    ("submitter", "default", "submitter"),
    ("maintainer", "default", "maintainer"),
    ("admin", "default", "admin"),
    ("other", "other", "maintainer"),
]


@contextmanager
def open_api(database_url: str, folder: Path) -> Iterator[Api]:
    settings = Settings.load(
        {},
        data=folder / "data",
        database_url=database_url,
        broker_url="memory://",
        max_body_bytes=200_000,
        max_upload_bytes=1_000_000,
    )
    app = create_app(settings, clock=lambda: NOW)
    parts = Parts.of(app)
    keys = {}
    with parts.database.transaction() as session:
        for name, project, role in KEYS:
            _, keys[name] = access.create_key(session, project=project, role=role, name=name, now=NOW)
    yield Api(app.test_client(), parts, keys["maintainer"], keys)
    parts.close()


@pytest.fixture
def api(database_url: str, tmp_path: Path) -> Iterator[Api]:
    """The API for a maintainer of the project ``default``; there is also a project ``other``."""
    with open_api(database_url, tmp_path) as api:
        yield api


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared_api(
    request: pytest.FixtureRequest,
    make_database: Callable[[str], AbstractContextManager[str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Api]:
    """One API for all tests of a module that leave nothing behind, with a dataset that is ready."""
    with make_database(request.param) as url, open_api(url, tmp_path_factory.mktemp("api")) as api:
        api.ready_dataset()
        yield api


@pytest.fixture
def untouched(shared_api: Api) -> Iterator[Api]:
    """The shared API, checked to be the same after the test."""
    before = shared_api.footprint()
    yield shared_api
    assert shared_api.footprint() == before


@pytest.fixture
def problem() -> Callable[..., dict[str, Any]]:
    """Check that an answer is a problem of a status, with an error at a ``loc``, and return it."""

    def check(answer: TestResponse, status: int, *loc: str | int) -> dict[str, Any]:
        assert answer.status_code == status, answer.text
        assert answer.content_type == "application/problem+json"
        body: dict[str, Any] = json.loads(answer.text)
        assert {"type", "title", "status", "detail", "instance"} <= set(body)
        assert body["status"] == status
        assert answer.headers["X-Request-Id"]
        assert "Traceback" not in answer.text
        if status == 422:
            assert body["errors"]
        if loc:
            assert list(loc) in [error["loc"] for error in body["errors"]], body
        return body

    return check
