"""The domain over a real database, on SQLite and on PostgreSQL. Tests share one of each, emptied before every
test, which is much faster than making one; those that change the schema make their own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from domain import Domain
from headrace.db import Database
from services import new_database


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def shared_database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("domain") / "headrace.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        database = Database(f"sqlite:///{path}")
        yield database
        database.close()
    else:
        template = request.getfixturevalue("postgresql_template")
        with new_database(request.getfixturevalue("postgresql_server"), template) as url:
            database = Database(url)
            yield database
            database.close()


@pytest.fixture
def domain(shared_database: Database) -> Domain:
    made = Domain(shared_database)
    made.clear()
    return made


@pytest.fixture
def own_domain(database_url: str) -> Iterator[Domain]:
    """A domain whose schema the test may change."""
    made = Domain(Database(database_url))
    made.begin()
    yield made
    made.db.close()
