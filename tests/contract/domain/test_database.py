"""Transactions, snapshots, the clock, and the schema's history."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from domain import NOW, Domain, at_once
from headrace import db as database
from headrace import schema
from headrace.access.tables import Project
from headrace.db import Base, Database, after_commit, clock, new_id
from headrace.jobs.tables import Job


def test_what_raises_leaves_nothing_and_calls_nothing_back(domain: Domain) -> None:
    called: list[str] = []
    before = domain.dump()

    def half(session: Session) -> None:
        session.add(Project(name="p", created_at=NOW))
        session.flush()
        after_commit(session, lambda: called.append("no"))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        domain.do(half)
    assert domain.dump() == before
    with domain.db.transaction() as session:
        session.add(Project(name="p", created_at=NOW))
        after_commit(session, lambda: called.append(_name(domain)))
        assert called == []
    assert called == ["p"]


def _name(domain: Domain) -> str:
    with domain.db.read() as session:
        return session.get_one(Project, "p").name


def test_a_reader_sees_one_snapshot(domain: Domain) -> None:
    with domain.db.read() as session:
        assert session.get_one(Project, "default").max_running is None
        domain.project("default", max_running=3)
        assert session.scalars(select(Project.max_running)).all() == [None]
    with domain.db.read() as session:
        assert session.scalars(select(Project.max_running)).all() == [3]


def test_a_writer_after_a_reader_on_the_same_connection_writes(domain: Domain) -> None:
    for number in range(3):
        with domain.db.read() as session:
            session.scalars(select(Project)).all()
        domain.project(f"p{number}")
    with domain.db.read() as session:
        assert len(session.scalars(select(Project)).all()) == 4


def test_the_clock_advances_within_a_transaction_and_is_utc(domain: Domain) -> None:
    with domain.db.transaction() as session:
        first = clock(session)
        while clock(session) == first:
            pass
        assert clock(session) > first
    assert abs(first - datetime.now(UTC)) < timedelta(seconds=30)
    assert first.utcoffset() == timedelta(0)


def test_moments_keep_their_microseconds_and_sort(domain: Domain) -> None:
    elsewhere = timezone(timedelta(hours=5, minutes=30))
    moments = [NOW, NOW.replace(microsecond=1), NOW + timedelta(microseconds=10), NOW + timedelta(days=9)]
    for index, moment in enumerate(moments):
        with domain.db.transaction() as session:
            session.add(Project(name=f"p{index}", created_at=moment.astimezone(elsewhere)))
    with domain.db.read() as session:
        query = select(Project).where(Project.name != "default").order_by(Project.created_at)
        assert [project.created_at for project in session.scalars(query)] == moments
    with pytest.raises(Exception, match="has no time zone"), domain.db.transaction() as session:
        session.add(Project(name="naive", created_at=datetime(2027, 1, 1)))


def test_ids_rise_also_between_threads() -> None:
    lists = at_once(*[lambda: [new_id("job") for _ in range(200)]] * 4)
    assert all(ids == sorted(ids) for ids in lists)
    assert len({one for ids in lists for one in ids}) == 800


@pytest.mark.parametrize(
    "broken",
    [
        "state = 'done'",
        "state = 'succeeded', finished_at = created_at, result = '{}', cancel_requested = :yes, "
        "lease_token = NULL, lease_expires_at = NULL",
        "lease_token = NULL",
        "lease_expires_at = NULL",
        "finished_at = created_at",
        "result = '{}'",
        "error = '{}'",
        "failures = 2",
        "failures = -1",
        "max_attempts = 0, failures = 1",
        "priority = 10",
        "project = 'nobody'",
    ],
)
def test_the_schema_refuses_what_the_state_machine_cannot_mean(domain: Domain, broken: str) -> None:
    lease = domain.running()
    values: dict[str, Any] = {"id": lease.job} | ({"yes": True} if ":yes" in broken else {})
    with pytest.raises(IntegrityError), domain.db.transaction() as session:
        session.execute(text(f"UPDATE jobs SET {broken} WHERE id = :id"), values)


def test_models_and_migrations_agree(domain: Domain) -> None:
    with domain.db.engine.connect() as connection:
        # Alembic cannot compare an index with expressions; the test below compares all of them to the letter.
        options = {"compare_type": True, "include_object": lambda *args: args[1] != "ix_jobs_claim"}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, Base.metadata) == []
        inspector = inspect(connection)
        for table in Base.metadata.sorted_tables:
            # Some indexes have expressions and conditions, which Alembic does not compare.
            assert _indexes(connection, table.name) == {index.name for index in table.indexes}
            checks = {str(check["name"]) for check in inspector.get_check_constraints(table.name)}
            modelled = {str(c.name) for c in table.constraints if type(c).__name__ == "CheckConstraint"}
            assert checks == modelled


def _indexes(connection: Any, table: str) -> set[str]:
    if connection.dialect.name == "sqlite":
        query = "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = :t AND sql IS NOT NULL"
    else:
        query = (
            "SELECT indexname FROM pg_indexes WHERE tablename = :t AND indexname NOT IN"
            " (SELECT conname FROM pg_constraint)"
        )
    return set(connection.scalars(text(query), {"t": table}))


def test_the_migrated_indexes_are_those_of_the_models(own_domain: Domain, tmp_path: Path) -> None:
    """To the letter: columns, order, conditions."""
    with own_domain.db.engine.begin() as connection:
        if connection.dialect.name == "sqlite":
            made = Database(f"sqlite:///{tmp_path}/made.db")
            query = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
            Base.metadata.create_all(made.engine)
            with made.engine.connect() as other:
                expected = dict(tuple(row) for row in other.execute(text(query)))
            made.close()
        else:
            query = "SELECT indexname, replace(indexdef, schemaname || '.', '') FROM pg_indexes"
            query += " WHERE schemaname = "
            connection.execute(text("CREATE SCHEMA made"))
            connection.execute(text("SET LOCAL search_path TO made"))
            Base.metadata.create_all(connection)
            expected = dict(tuple(row) for row in connection.execute(text(query + "'made'")))
            query += "'public'"
        migrated = dict(tuple(row) for row in connection.execute(text(query)))
    migrated.pop("alembic_version_pkc", None)
    assert migrated == expected


def test_the_schema_goes_down_to_nothing_and_up_again(own_domain: Domain, database_url: str) -> None:
    with own_domain.db.read() as session:
        assert schema.look(session).state == "current"
    own_domain.db.close()
    command.downgrade(database.alembic_config(database_url), "base")
    fresh = Database(database_url)
    assert inspect(fresh.engine).get_table_names() == ["alembic_version"]
    with fresh.read() as session:
        assert schema.look(session).state == "empty"
    database.upgrade(database_url)
    with fresh.read() as session:
        assert schema.look(session).state == "current"
        assert session.scalars(select(Job)).all() == []
    fresh.close()


def test_several_processes_may_upgrade_at_once(own_domain: Domain, database_url: str) -> None:
    own_domain.db.close()
    command.downgrade(database.alembic_config(database_url), "base")
    code = "import sys; from headrace import db; db.upgrade(sys.argv[1])"
    processes = [
        subprocess.Popen([sys.executable, "-c", code, database_url], stderr=subprocess.PIPE) for _ in range(2)
    ]
    errors = [process.communicate(timeout=60)[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors


def test_other_databases_are_refused() -> None:
    with pytest.raises(ValueError, match="HEADRACE_DATABASE_URL"):
        Database("mysql://localhost/x")
