"""The checker of the crash suite finds what it is there to find: one planted fault each."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from chaos.invariants import check
from chaos.ledger import Entry
from conftest import MakeDatabase
from domain import Domain
from headrace.artifacts.store import LocalStore, Stored
from headrace.db import Database
from headrace.jobs import checkpoints
from headrace.jobs.leases import Lease
from headrace.specs.task import Done


@pytest.fixture
def domain(make_database: MakeDatabase) -> Iterator[Domain]:
    with make_database("sqlite") as url:
        made = Domain(Database(url))
        made.clear()
        yield made
        made.db.close()


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path)


def put(store: LocalStore, content: bytes) -> Stored:
    with store.stage() as stage:
        stage.write(content)
        return stage.commit()


def plant(domain: Domain, statement: str) -> None:
    """Write what the schema would refuse."""
    with domain.db.transaction() as session:
        session.execute(text("PRAGMA ignore_check_constraints=ON"))
        assert session.execute(text(statement)).rowcount == 1, statement  # type: ignore[attr-defined]
    with domain.db.transaction() as session:
        session.execute(text("PRAGMA ignore_check_constraints=OFF"))


def found(domain: Domain, store: LocalStore, *ledger: Entry, collected: bool = False) -> set[str]:
    """Return which invariants do not hold, but for I5: the domain's own files exist in name only."""
    url = domain.db.url.render_as_string(hide_password=False)
    return {v.invariant for v in check(url, store, ledger=ledger, collected=collected)} - {"I5"}


def trained(domain: Domain) -> Lease:
    lease = domain.running(tags={"ledger": "k"})
    domain.commit(lease)
    return lease


def entry(job: str, **fields: object) -> Entry:
    return Entry(key="k", answers=[job], **fields)  # type: ignore[arg-type]


def test_what_went_well_is_clean(domain: Domain, store: LocalStore) -> None:
    lease = trained(domain)
    weights = "sha256:" + "1" * 64
    assert found(domain, store, entry(lease.job, weights=weights, result={"model": "iris"})) == set()
    failed = domain.running()
    domain.fail(failed)
    domain.tick(60)
    domain.commit(domain.claim())  # type: ignore[arg-type]
    assert found(domain, store, entry(lease.job)) == set()


@pytest.mark.parametrize(
    ("fields", "invariant"),
    [
        ({"answers": []}, "I1"),
        ({"answers": ["job_1"]}, "I1"),
        ({"ends": frozenset({"failed"})}, "I2"),
        ({"cancelled": True}, "I7"),
        ({"weights": "sha256:" + "2" * 64}, "digest"),
        ({"result": {"version": 2}}, "digest"),
    ],
)
def test_what_the_ledger_says_otherwise_is_found(
    domain: Domain, store: LocalStore, fields: dict[str, object], invariant: str
) -> None:
    lease = trained(domain)
    made = entry(lease.job)
    for name, value in fields.items():
        setattr(made, name, value)
    assert found(domain, store, made) == {invariant}


def test_a_submission_that_was_made_twice_is_found(domain: Domain, store: LocalStore) -> None:
    first = trained(domain)
    trained(domain)
    assert found(domain, store, entry(first.job)) == {"I1"}


def test_a_job_that_does_not_end_is_found(domain: Domain, store: LocalStore) -> None:
    domain.running()
    assert found(domain, store) == {"I2"}


@pytest.mark.parametrize(
    ("statement", "invariants"),
    [
        ("DELETE FROM model_versions", {"I3"}),
        ("UPDATE model_versions SET version = 2", {"I3"}),
        ("DELETE FROM artifacts WHERE name = 'package'", {"I3"}),
        ("DELETE FROM job_events WHERE job = (SELECT job FROM model_versions) AND seq = 2", {"I4"}),
        (
            "UPDATE job_events SET attempt = 7 WHERE job = (SELECT job FROM model_versions) AND seq = 3",
            {"I4"},
        ),
        ("UPDATE jobs SET attempt = 2 WHERE id = (SELECT job FROM model_versions)", {"I4"}),
        (
            "UPDATE jobs SET attempt = 2, failures = 1 WHERE id = (SELECT job FROM model_versions)",
            {"I4", "I9"},
        ),
        ("UPDATE jobs SET cancel_requested = 1 WHERE id = (SELECT job FROM model_versions)", {"I7"}),
    ],
)
def test_what_does_not_fit_together_is_found(
    domain: Domain, store: LocalStore, statement: str, invariants: set[str]
) -> None:
    trained(domain)
    plant(domain, statement)
    assert found(domain, store) == invariants


def test_an_event_after_the_end_is_found(domain: Domain, store: LocalStore) -> None:
    lease = trained(domain)
    point = """'{"name": "loss", "step": 1, "value": 0.5}'"""
    plant(
        domain,
        "INSERT INTO job_events (job, seq, attempt, type, at, data) "
        f"SELECT job, 4, attempt, 'metric', at, {point} FROM job_events "
        f"WHERE job = '{lease.job}' AND seq = 3",
    )
    plant(domain, f"UPDATE jobs SET event_seq = 4 WHERE id = '{lease.job}'")
    assert found(domain, store) == {"I4"}


def test_a_checkpoint_after_the_end_is_found(domain: Domain, store: LocalStore) -> None:
    lease = domain.running()
    domain.do(checkpoints.keep, lease, put(store, b"checkpoint"), domain.now)
    plant(domain, f"UPDATE artifacts SET owner = 'kept' WHERE owner = '{lease.job}'")
    domain.commit(lease)
    assert found(domain, store) == set()
    plant(domain, f"UPDATE artifacts SET owner = '{lease.job}' WHERE owner = 'kept'")
    assert found(domain, store) == {"I4"}


def test_more_running_jobs_than_the_quota_are_found(domain: Domain, store: LocalStore) -> None:
    domain.running()
    domain.project("default", max_running=0)
    assert found(domain, store) == {"I2", "quota"}


def change(path: Path) -> None:
    path.chmod(0o640)
    path.write_bytes(b"other bytes")


@pytest.mark.parametrize("harm", [change, Path.unlink])
def test_bytes_that_are_not_what_they_are_called_are_found(
    domain: Domain, store: LocalStore, harm: Callable[[Path], None]
) -> None:
    lease = domain.running()
    files = {name: put(store, name.encode()) for name in ("package", "evaluation")}
    domain.commit(lease, files=files)
    url = domain.db.url.render_as_string(hide_password=False)
    before = {v.text for v in check(url, store)}
    harm(store.path(files["package"].digest))
    new = [v for v in check(url, store) if v.text not in before]
    assert [v.invariant for v in new] == ["I5"]


def test_bytes_without_a_row_are_found_once_garbage_was_collected(domain: Domain, store: LocalStore) -> None:
    put(store, b"rubbish")
    assert found(domain, store) == set()
    assert found(domain, store, collected=True) == {"I6"}


def test_a_process_of_the_deployment_is_found(domain: Domain, store: LocalStore, tmp_path: Path) -> None:
    url = domain.db.url.render_as_string(hide_password=False)
    mark = str(tmp_path / "mark")
    with subprocess.Popen([sys.executable, "-c", "input()"], env={"MARK": mark}, stdin=subprocess.PIPE):
        assert [v.invariant for v in check(url, store, marks=[mark]) if v.invariant == "I6"] == ["I6"]
    assert [v for v in check(url, store, marks=[mark]) if v.invariant == "I6"] == []


def test_an_output_of_a_failed_job_is_found(domain: Domain, store: LocalStore) -> None:
    trained(domain)
    lease = domain.running(kind="predict", spec={"model": "iris", "dataset": "iris"})
    domain.commit(lease, Done(result={"rows": 1}, outputs={}), {"output": put(store, b"output")})
    assert found(domain, store) == set()
    error = '{"type": "x", "message": "", "attempt": 1, "retryable": false}'
    plant(
        domain, f"UPDATE jobs SET state = 'failed', result = NULL, error = '{error}' WHERE id = '{lease.job}'"
    )
    assert "I3" in found(domain, store)
