"""Databases and brokers for all tests. A test that takes ``database_url`` runs once on SQLite and once on
PostgreSQL, each time on a schema of its own, freshly migrated."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import pytest

from headrace import db
from headrace_workers.server_process import ENVIRONMENT
from services import new_database, postgresql, redis_server

# Models trained in a test's own process have the bits of those that job processes train.
os.environ["TF_ENABLE_ONEDNN_OPTS"] = ENVIRONMENT["TF_ENABLE_ONEDNN_OPTS"]

# TensorFlow brings an older SQLite, whose symbols are taken by whatever is loaded after it. In the product no
# process has both; here the first module of tests that imports Keras would decide for all the others.
with suppress(ImportError):
    import pysqlite3  # noqa: F401


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    with postgresql() as url:
        yield url


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    with redis_server() as url:
        yield url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "headrace.db"
    db.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgresql_template(postgresql_server: str) -> Iterator[str]:
    with new_database(postgresql_server) as url:
        db.upgrade(url)
        yield url.rpartition("/")[2]


MakeDatabase = Callable[[str], AbstractContextManager[str]]


@pytest.fixture(scope="session")
def make_database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> MakeDatabase:
    """Make a migrated, empty database of a kind (``sqlite`` or ``postgresql``), for as long as a ``with``."""

    @contextmanager
    def make(kind: str) -> Iterator[str]:
        if kind == "sqlite":
            folder = tmp_path_factory.mktemp("database")
            yield f"sqlite:///{shutil.copy(request.getfixturevalue('sqlite_template'), folder)}"
            shutil.rmtree(folder)
        else:
            template = request.getfixturevalue("postgresql_template")
            with new_database(request.getfixturevalue("postgresql_server"), template) as url:
                yield url

    return make


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, make_database: MakeDatabase) -> Iterator[str]:
    """A migrated, empty database of the test's own."""
    with make_database(request.param) as url:
        yield url
