"""Every bug that is planted is caught by the invariants; without it the very same scenario is clean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from chaos.planted import BUGS, World
from conftest import MakeDatabase
from domain import Domain
from headrace.artifacts.local import LocalStore
from headrace.db import Database


@pytest.fixture
def world(request: pytest.FixtureRequest, make_database: MakeDatabase, tmp_path: Path) -> Iterator[World]:
    bug = BUGS[request.getfixturevalue("name")]
    with make_database(bug.database) as url, ExitStack() as stack:
        domain = Domain(Database(url))
        stack.callback(domain.db.close)
        domain.begin()
        yield World(domain, LocalStore(tmp_path / "artifacts"), tmp_path, stack)


@pytest.mark.parametrize("name", BUGS)
def test_it_is_caught(world: World, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    BUGS[name].plant(monkeypatch, world)
    BUGS[name].play(world)
    assert BUGS[name].violates in world.violations()


@pytest.mark.parametrize("name", BUGS)
def test_without_it_all_is_well(world: World, name: str) -> None:
    BUGS[name].play(world)
    assert world.violations() == set()
