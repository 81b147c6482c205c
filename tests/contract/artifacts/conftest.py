"""Artifact stores of each kind, and the domain on each database."""

from __future__ import annotations

import copy
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from sqlalchemy import delete

from domain import Domain
from headrace.artifacts import service as artifacts
from headrace.artifacts.protocol import Store
from headrace.artifacts.s3 import S3Store
from headrace.artifacts.store import open_store
from headrace.artifacts.tables import Artifact
from headrace.db import Database
from s3 import s3_environment, s3_server


@pytest.fixture(scope="session")
def bucket() -> Iterator[S3Store]:
    """One client for all tests, since making one takes half a second."""
    with s3_server() as address, pytest.MonkeyPatch.context() as patch:
        for name, value in s3_environment(address).items():
            patch.setenv(name, value)
        store = open_store("s3://artifacts")
        assert isinstance(store, S3Store)
        assert list(store.digests()) == []
        yield store


@pytest.fixture
def s3(bucket: S3Store) -> S3Store:
    """An empty store on a server that speaks S3."""
    store = copy.copy(bucket)
    store.prefix = f"{secrets.token_hex(4)}/"
    return store


@pytest.fixture(params=["folder", "s3"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A store of each kind, empty."""
    return _store(request, tmp_path, request.param)


@pytest.fixture(
    scope="module", params=["sqlite folder", "postgresql folder", "postgresql s3"], ids=lambda name: name
)
def kinds(request: pytest.FixtureRequest) -> list[str]:
    """The kinds of database and store."""
    return str(request.param).split()


@pytest.fixture(scope="module")
def database(
    kinds: list[str], make_database: Callable[[str], AbstractContextManager[str]]
) -> Iterator[Database]:
    with make_database(kinds[0]) as url:
        database = Database(url)
        yield database
        database.close()


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path, kinds: list[str]) -> Store:
    """The store that goes with `domain`, empty."""
    return _store(request, tmp_path, kinds[1])


@pytest.fixture
def domain(database: Database, store: Store) -> Domain:
    """A domain whose dataset has lost its bytes, since nobody stored them; all others are in ``store``."""
    database.info.clear()
    domain = Domain(database)
    domain.clear()
    with database.transaction() as session:
        session.execute(delete(Artifact))
    artifacts.guard(database, store)
    return domain


def _store(request: pytest.FixtureRequest, folder: Path, kind: str) -> Store:
    store: Store = request.getfixturevalue("s3") if kind == "s3" else open_store(f"file://{folder}/store")
    return store
