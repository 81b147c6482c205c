"""`headrace fsck` and `headrace gc`: whatever is put wrong is found, and nothing else."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from contract.artifacts.test_stores import put
from domain import LEARNED, Domain
from headrace import origin
from headrace.artifacts import service as artifacts
from headrace.artifacts.protocol import Stored
from headrace.artifacts.store import LocalStore
from headrace.cli.fsck import fsck as fsck_command
from headrace.cli.fsck import gc as gc_command
from headrace.datasets import service as datasets
from headrace.db import clock
from headrace.errors import StorageFailed
from headrace.fsck import service as fsck
from headrace.fsck import stored
from headrace.registry import service as registry
from headrace.specs.task import Done


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def kinds(request: pytest.FixtureRequest) -> list[str]:
    return [request.param, "folder"]


@pytest.fixture
def lived(domain: Domain, store: LocalStore) -> Domain:
    """A dataset, a model trained on it, and jobs that failed, were cancelled, run: all as it should be."""
    with domain.db.transaction() as session:
        version = datasets.version(session, "default", "iris", 1)
        session.execute(
            text("UPDATE dataset_versions SET digest = :d, size_bytes = 6"),
            {"d": put(store, b"source").digest},
        )
        files = {name: put(store, name.encode()) for name in ("source", "data", "profile", "rows")}
        artifacts.attach(session, project="default", owner=version.id, files=files, now=domain.now)
    files = {name: put(store, name.encode()) for name in ("package", "evaluation")}
    domain.commit(domain.running(), Done(result=LEARNED, outputs={}), files)
    domain.fail(domain.running(), retryable=False)
    domain.cancel(domain.submit())
    running = domain.running()
    domain.fail(running)
    domain.running()
    return domain


def findings(domain: Domain, store: LocalStore, **options: bool) -> set[tuple[str, str]]:
    found = fsck.check(domain.db, store, idle=timedelta(-1), **options)
    return {(finding.severity, finding.check) for finding in found}


def test_what_went_well_is_clean(lived: Domain, store: LocalStore) -> None:
    assert [*fsck.check(lived.db, store, idle=timedelta(-1))] == []


def damage(store: LocalStore, content: bytes, by: bytes) -> None:
    path = store.path(Stored(*put(store, content)).digest)
    path.chmod(0o600)
    path.write_bytes(by)


STATEMENTS = [
    ("DELETE FROM artifacts WHERE name = 'package'", {"version"}),
    ("DELETE FROM artifacts WHERE name = 'evaluation'", {"version"}),
    ("DELETE FROM artifacts WHERE name = 'rows'", {"version"}),
    ("UPDATE dataset_versions SET digest = 'sha256:0'", {"version"}),
    ("UPDATE model_versions SET version = 7", {"version"}),
    ("UPDATE artifacts SET owner = 'dsv_gone' WHERE name = 'profile'", {"owner", "version"}),
    ("UPDATE artifacts SET size_bytes = 1 WHERE name = 'data'", {"size"}),
    ("DELETE FROM job_events WHERE data LIKE '%running%'", {"job"}),
    ("UPDATE jobs SET attempt = attempt + 1 WHERE state = 'succeeded'", {"job"}),
    ("UPDATE dataset_versions SET columns = NULL, rows = NULL", {"job"}),
    ("DELETE FROM model_versions", {"job", "owner"}),
]


@pytest.mark.parametrize(("statement", "checks"), STATEMENTS)
def test_rows_that_were_put_wrong_are_found(
    lived: Domain, store: LocalStore, statement: str, checks: set[str]
) -> None:
    with lived.db.transaction() as session:
        session.execute(text(statement.replace("data LIKE", "CAST(data AS TEXT) LIKE")))
    found = findings(lived, store)
    assert {check for severity, check in found if severity == "error"} == checks


def test_bytes_that_were_put_wrong_are_found(lived: Domain, store: LocalStore) -> None:
    damage(store, b"package", b"PACKAGE")
    assert findings(lived, store, sizes_only=True) == set(), "what costs no reading does not see this"
    assert findings(lived, store) == {("error", "corrupt")}
    damage(store, b"data", b"dat")
    store.delete(put(store, b"source").digest)
    (store.staging / "dead").write_bytes(b"x")
    put(store, b"needed by nothing")
    wrong = {("error", "size"), ("error", "missing"), ("warning", "half-written"), ("warning", "unneeded")}
    assert findings(lived, store, sizes_only=True) == wrong
    (missing,) = [f for f in fsck.check(lived.db, store, idle=timedelta(-1)) if f.check == "missing"]
    assert "source of dsv_" in missing.message
    assert "upload the same file again" in missing.advice


def test_a_file_that_cannot_be_read_is_found_and_the_others_are_read_all_the_same(
    lived: Domain, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = put(store, b"data").digest
    store.delete(put(store, b"rows").digest)
    size = store.size

    def fail(digest: str) -> int:
        if digest == bad:
            raise StorageFailed("cannot read from the artifact store: Input/output error")
        return size(digest)

    with monkeypatch.context() as patch:
        patch.setattr(store, "size", fail)
        assert findings(lived, store) == {("error", "unreadable"), ("error", "missing")}
    monkeypatch.setattr(stored, "_AWAY", 1)
    monkeypatch.setattr(store, "size", fail)
    with pytest.raises(StorageFailed, match="in a row"):
        findings(lived, store)


def test_what_was_deleted_on_request_is_not_missed(lived: Domain, store: LocalStore) -> None:
    with origin.acting(origin.Origin(actor="somebody")), lived.db.transaction() as session:
        registry.delete_version(session, "default", "iris", 1, now=clock(session))
    assert findings(lived, store) == {("warning", "unneeded")}


def test_a_record_that_was_changed_is_found(lived: Domain, store: LocalStore) -> None:
    with origin.acting(origin.Origin(actor="somebody")):
        lived.cancel(lived.submit())
    lived.tick()
    assert findings(lived, store) == set()
    with lived.db.transaction() as session:
        session.execute(text("UPDATE audit SET actor = 'nobody'"))
    assert findings(lived, store) == {("error", "audit")}


def test_the_commands(lived: Domain, store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    url = lived.db.url.render_as_string(hide_password=False)
    monkeypatch.setenv("HEADRACE_DATABASE_URL", url)
    monkeypatch.setenv("HEADRACE_ARTIFACTS_URL", f"file://{store.root}")

    def run(command: object, *arguments: str) -> tuple[object, str]:
        answer = CliRunner().invoke(command, arguments, standalone_mode=False)  # type: ignore[arg-type]
        assert answer.exception is None, answer.exception
        return answer.return_value, answer.stdout

    assert run(fsck_command) == (0, "all is well\n")
    put(store, b"needed by nothing")
    status, shown = run(fsck_command)
    assert (status, "0 errors, 1 warnings" in shown) == (0, True)
    assert run(gc_command, "--dry-run")[1] == "1 files of 17 bytes are needed by nothing\n"
    assert run(gc_command)[1] == "removed 0 files that nothing needed\n"
    assert json.loads(run(gc_command, "--now", "--json")[1]) == {"removed": 1}
    store.delete(put(store, b"source").digest)
    status, shown = run(fsck_command, "--json")
    assert status == 1
    (finding,) = json.loads(shown)["findings"]
    assert finding["check"] == "missing"
    assert finding["object"] == put(store, b"source").digest
