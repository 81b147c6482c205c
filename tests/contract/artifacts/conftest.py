"""Artifact stores of each kind, and the domain on each database."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from sqlalchemy import delete

from domain import Domain
from headrace.artifacts import service as artifacts
from headrace.artifacts.protocol import Store
from headrace.artifacts.store import open_store
from headrace.artifacts.tables import Artifact
from headrace.db import Database
from s3 import s3_environment, s3_server


@pytest.fixture(scope="session")
def s3_address() -> Iterator[str]:
    with s3_server() as address:
        yield address


@pytest.fixture
def s3(s3_address: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty place on a server that speaks S3."""
    for name, value in s3_environment(s3_address).items():
        monkeypatch.setenv(name, value)
    return f"s3://artifacts/{secrets.token_hex(4)}"


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "s3":
        return open_store(request.getfixturevalue("s3"))
    return open_store(f"file://{tmp_path}/store")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def module_domain(
    request: pytest.FixtureRequest, make_database: Callable[[str], AbstractContextManager[str]]
) -> Iterator[Domain]:
    with make_database(request.param) as url:
        domain = Domain(Database(url))
        yield domain
        domain.db.close()


@pytest.fixture
def domain(module_domain: Domain, store: Store) -> Iterator[Domain]:
    """A domain whose dataset has lost its bytes, since nobody stored them; all others are in ``store``."""
    module_domain.db.info.clear()
    module_domain.clear()
    with module_domain.db.transaction() as session:
        session.execute(delete(Artifact))
    artifacts.guard(module_domain.db, store)
    yield module_domain
    module_domain.db.info.clear()
