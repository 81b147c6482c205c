"""Old code on a new schema: what it may do, what the upgrade refuses, and that it keeps nobody waiting."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import psycopg
import pytest
from alembic.script import ScriptDirectory
from click.testing import CliRunner, Result
from sqlalchemy import text

from domain import Domain
from headrace import db, schema
from headrace.cli.group import cli
from headrace.db import Database
from headrace.errors import Unavailable
from releases import CONTRACT, EXPAND, next_release

KNOWN = db.code_revision()


@pytest.mark.parametrize(
    ("revision", "known", "state", "usable"),
    [
        (None, 3, "empty", False),
        ("0002", 3, "older", False),
        ("0003", 3, "current", True),
        ("0003_needs_0001", 3, "current", True),
        ("0004", 3, "newer", True),
        ("0009_needs_0003", 3, "newer", True),
        ("0009_needs_0004", 3, "newer", False),
        ("0002_needs_0001", 3, "older", False),
        ("3f2a9c", 3, "unknown", False),
    ],
)
def test_the_name_of_a_revision_says_whether_code_can_work_on_it(
    revision: str | None, known: int, state: str, usable: bool
) -> None:
    found = schema.judge(revision, known)
    assert (found.state, not found.problem) == (state, usable)
    assert found.known == "0003"


def test_every_revision_has_such_a_name_and_needs_what_those_before_it_need() -> None:
    needed, expected = 0, 1
    for script in reversed(list(ScriptDirectory.from_config(db.alembic_config("")).walk_revisions())):
        name = schema.NAME.fullmatch(script.revision)
        assert name, script.revision
        assert int(name["number"]) == expected
        assert Path(script.path).name.startswith(name["number"])
        assert needed <= int(name["needs"] or 0) < expected, "a contraction was forgotten, or needs too much"
        needed, expected = int(name["needs"] or 0), expected + 1
    assert db.code_revision() == expected - 1


def db_command(url: str, *words: str) -> Result:
    environment = {"HEADRACE_DATABASE_URL": url}
    return CliRunner().invoke(cli, ["db", *words], env=environment, standalone_mode=False)


def test_old_code_goes_on_when_the_schema_expands(database_url: str, tmp_path: Path) -> None:
    domain = Domain(Database(database_url))
    domain.begin()
    lease = domain.running()
    with next_release(tmp_path):
        assert schema.upgrade(database_url).revision == EXPAND
    domain.commit(lease)
    assert domain.job(lease.job).state == "succeeded"
    assert domain.running()
    domain.db.close()
    schema.require(database_url)
    shown = json.loads(db_command(database_url, "current", "--json").stdout)
    assert (shown["revision"], shown["state"], shown["usable"]) == (EXPAND, "newer", True)
    # An upgrade by the old release is no downgrade.
    assert db_command(database_url, "upgrade").exit_code == 0
    assert db_command(database_url, "check").exit_code == 0


def test_new_code_does_not_begin_on_an_old_schema(database_url: str, tmp_path: Path) -> None:
    with next_release(tmp_path), pytest.raises(Unavailable, match="needs 0901; run: headrace db upgrade"):
        schema.require(database_url)


def test_code_that_is_too_old_does_not_begin(database_url: str, tmp_path: Path) -> None:
    with next_release(tmp_path, contract=True):
        assert schema.upgrade(database_url).revision == CONTRACT
    for refused in (schema.require, schema.upgrade):
        with pytest.raises(Unavailable, match="that knows 0901, and this one knows"):
            refused(database_url)
    assert isinstance(db_command(database_url, "check").exception, Unavailable)
    with next_release(tmp_path):
        schema.require(database_url)


@pytest.fixture
def postgresql(make_database: Callable[[str], AbstractContextManager[str]]) -> Iterator[str]:
    with make_database("postgresql") as url:
        yield url


def test_nothing_is_taken_from_old_code_that_is_connected(postgresql: str, tmp_path: Path) -> None:
    old = Database(postgresql)
    with old.read() as session:
        session.execute(text("SELECT 1"))
    with next_release(tmp_path, contract=True), pytest.raises(Unavailable, match=f"version {KNOWN:04d}"):
        schema.upgrade(postgresql)
    with old.read() as session:
        assert schema.look(session).state == "current", "nothing was changed"
    with next_release(tmp_path):
        schema.upgrade(postgresql)  # an expansion harms nobody
    threading.Timer(0.3, old.close).start()
    with next_release(tmp_path, contract=True):
        assert schema.upgrade(postgresql, wait_s=30).revision == CONTRACT


def test_code_from_before_the_check_counts_as_old_and_tools_do_not(postgresql: str, tmp_path: Path) -> None:
    with next_release(tmp_path, contract=True):
        unnamed = psycopg.connect(postgresql, application_name="")
        with unnamed, pytest.raises(Unavailable, match="version unknown"):
            schema.upgrade(postgresql)
        with psycopg.connect(postgresql, application_name="psql"):
            assert schema.upgrade(postgresql).revision == CONTRACT


def test_a_table_in_use_is_waited_for_bit_by_bit(
    postgresql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "_PAUSE_S", 0.05)
    with next_release(tmp_path), psycopg.connect(postgresql) as other, ThreadPoolExecutor(1) as pool:
        other.execute("SELECT count(*) FROM jobs")
        with pytest.raises(Unavailable, match="kept a table locked"):
            schema.upgrade(postgresql)
        upgraded = pool.submit(schema.upgrade, postgresql)
        # Whoever comes behind the migration gets through between its tries.
        with psycopg.connect(postgresql) as third:
            third.execute("SELECT count(*) FROM jobs")
        other.rollback()
        assert upgraded.result(30).revision == EXPAND


def test_a_database_that_is_away_is_told_without_its_password() -> None:
    for words in (["current"], ["check"], ["upgrade"]):
        error = db_command("postgresql://u:hunter2@127.0.0.1:1/x", *words).exception
        assert isinstance(error, Unavailable)
        assert "cannot be reached" in error.detail
        assert "hunter2" not in error.detail
