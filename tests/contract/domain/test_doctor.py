"""``headrace doctor``: nothing is wrong with an installation where nothing is, and each fault is named."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import text, update

from domain import Domain
from headrace import db, doctor
from headrace.access import service as access
from headrace.cli.group import cli
from headrace.config import Settings
from headrace.db import Database, clock
from headrace.jobs import workers
from headrace.jobs.tables import Job


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """An installation in which all is well but for the embedded broker, which does not run."""
    found = Settings.load({}, data=tmp_path, database_url=database_url)
    tmp_path.chmod(0o700)
    database = Database(database_url)
    with database.transaction() as session:
        now = clock(session)
        workers.seen(session, "w1", queues=["default"], slots=1, started_at=now, now=now)
        _, key = access.create_key(session, project="default", role="admin", name="", now=now)
    database.close()
    found.admin_key_file.write_text(key + "\n")
    found.admin_key_file.chmod(0o600)
    return found


def findings(settings: Settings) -> dict[str, doctor.Finding]:
    return {finding.check: finding for finding in doctor.examine(settings)}


def wrong(settings: Settings) -> dict[str, str]:
    return {name: found.severity for name, found in findings(settings).items() if found.severity != "ok"}


def test_nothing_is_wrong_where_nothing_is(settings: Settings) -> None:
    found = findings(settings)
    assert wrong(settings) == {"broker": "warning"}
    checks = {"data folder", "disk of data", "artifact store", "scratch", "database", "clock", "admin key"}
    assert checks | {"workers", "scheduler", "broker"} == set(found)
    artifacts = Path(settings.artifacts_url.removeprefix("file://"))
    assert [path for path in artifacts.rglob("*") if path.is_file()] == [], "it leaves nothing behind"


def test_the_broker_is_asked(settings: Settings) -> None:
    settings.runtime.mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(settings.broker_socket))
        listening.listen()
        assert wrong(settings) == {}
    nowhere = settings.model_copy(update={"broker_url": "redis://:hunter2@127.0.0.1:1/0"})
    finding = findings(nowhere)["broker"]
    assert (finding.severity, "hunter2" in str(finding)) == ("warning", False)
    assert finding.advice


def test_files(settings: Settings) -> None:
    settings.admin_key_file.chmod(0o644)
    assert "644" in findings(settings)["admin key"].message
    assert findings(settings)["admin key"].advice == f"chmod 600 {settings.admin_key_file}"
    settings.admin_key_file.chmod(0o600)
    settings.admin_key_file.write_text("hr_00000000_" + "0" * 64)
    settings.data.chmod(0o755)
    (settings.data / "scratch" / "space-dead").mkdir(parents=True)
    assert wrong(settings) == {
        "broker": "warning",
        "admin key": "warning",
        "data folder": "warning",
        "scratch": "warning",
    }
    assert "space-dead" in findings(settings)["scratch"].message


def test_a_store_that_cannot_be_written_to(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    broken = settings.model_copy(update={"artifacts_url": f"file://{tmp_path}/file/store"})
    assert findings(broken)["artifact store"].severity == "error"


def test_a_full_disk(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "NO_DISK", 10**30)
    assert findings(settings)["disk of data"].severity == "error"


def test_workers_and_scheduler(domain: Domain, tmp_path: Path) -> None:
    url = domain.db.url.render_as_string(hide_password=False)
    settings = Settings.load({}, data=tmp_path, database_url=url)
    lease = domain.running()
    domain.submit(queue="gpu")
    found = findings(settings)
    assert "no job runs" in found["workers"].message
    with domain.db.transaction() as session:
        now = clock(session)
        workers.seen(session, "w1", queues=["default"], slots=1, started_at=now, now=now)
        late = now - timedelta(minutes=1)
        session.execute(update(Job).where(Job.id == lease.job).values(lease_expires_at=late))
    found = findings(settings)
    assert (found["workers"].severity, found["scheduler"].severity) == ("warning", "error")
    assert found["workers"].advice == "headrace worker --queues gpu"


def test_a_clock_that_is_off(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "clock", lambda session: clock(session) + timedelta(seconds=5))
    assert "5.0 s behind" in findings(settings)["clock"].message


def test_a_database_that_is_away_or_old(
    settings: Settings, make_database: Callable[[str], AbstractContextManager[str]]
) -> None:
    away = settings.model_copy(update={"database_url": "postgresql://u:hunter2@127.0.0.1:1/x"})
    finding = findings(away)["database"]
    assert finding.severity == "error"
    assert "hunter2" not in str(finding)
    database = Database(settings.database_url)
    with database.transaction() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    database.close()
    assert findings(settings)["database"].advice == "headrace db upgrade"


def test_the_command(tmp_path: Path) -> None:
    data = tmp_path / "data"
    answer = CliRunner().invoke(cli, ["doctor", "--data", str(data), "--json"], standalone_mode=False)
    assert answer.return_value == 1
    found = json.loads(answer.stdout)
    assert found["ok"] is False
    assert found["findings"][0]["check"] == "data folder"
    assert "error" in CliRunner().invoke(cli, ["doctor", "--data", str(data)], standalone_mode=False).stdout


def test_verifying_the_audit_log_by_command(tmp_path: Path) -> None:
    data = str(tmp_path)
    url = Settings.load({}, data=tmp_path).database_url
    db.upgrade(url)

    def run(*args: str) -> tuple[int, str]:
        answer = CliRunner().invoke(cli, [*args, "--data", data], standalone_mode=False)
        return answer.return_value or 0, answer.stdout

    run("keys", "create", "--project", "default", "--role", "viewer")
    assert "0 entries" in run("audit", "verify")[1]
    database = Database(url)
    from headrace.access import audit

    with database.transaction() as session:
        assert audit.chain(session) == 1
    status, printed = run("audit", "verify")
    head = printed.split()[-1]
    assert (status, head[:2]) == (0, "1:")
    assert run("audit", "verify", "--head", head)[0] == 0
    with database.transaction() as session:
        session.execute(text("UPDATE audit SET actor = 'somebody else'"))
    database.close()
    status, printed = run("audit", "verify")
    assert status == 1
    assert "entry 1" in printed
