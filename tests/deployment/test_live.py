"""What operators do while jobs run: upgrade the schema, take a backup, restore it elsewhere. Real workers, on
SQLite and on PostgreSQL."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from headrace import backup, db, schema
from headrace.config import Settings
from headrace.jobs.tables import Job
from integration.workers.conftest import Deployment
from releases import EXPAND, next_release
from services import new_database

Stack = Iterator[tuple[Deployment, Settings]]


def headrace(settings: Settings, *words: str) -> subprocess.CompletedProcess[str]:
    environment = settings.environ_of_child()
    command = [sys.executable, "-m", "headrace", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


@pytest.fixture(params=["sqlite", "postgresql"])
def live(request: pytest.FixtureRequest, tmp_path: Path) -> Stack:
    """A deployment with a worker and the dataset table@1, and the settings of an empty one elsewhere."""
    with ExitStack() as stack:

        def settings(name: str) -> Settings:
            options: dict[str, Any] = {"data": tmp_path / name}
            if request.param == "postgresql":
                server = request.getfixturevalue("postgresql_server")
                options["database_url"] = stack.enter_context(new_database(server))
            options["data"].mkdir()
            return Settings.load(
                {},
                broker_url=request.getfixturevalue("redis_url"),
                slots=2,
                lease_s=10,
                renew_s=1,
                tick_s=0.2,
                poll_s=0.2,
                backoff_base_s=0.1,
                backoff_max_s=0.2,
                checkpoint_s=0.05,
                **options,
            )

        here, elsewhere = settings("here"), settings("elsewhere")
        db.upgrade(here.database_url)
        deployment = Deployment(here)
        stack.callback(deployment.close)
        deployment.start_worker()
        deployment.succeeded(deployment.upload())
        yield deployment, elsewhere


def test_jobs_go_on_while_the_schema_expands(live: tuple[Deployment, Settings], tmp_path: Path) -> None:
    deployment, _ = live
    through = deployment.running(deployment.train({"seconds": 6}))
    with next_release(tmp_path):
        assert schema.upgrade(deployment.settings.database_url).revision == EXPAND
    after = [deployment.train() for _ in range(5)]
    for job in (*after, through):
        done = deployment.succeeded(job)
        assert (done.attempt, done.failures) == (1, 0)
    # A worker of the old release that starts now is welcome too; of the next release, on an old schema, not.
    assert headrace(deployment.settings, "db", "check").returncode == 0
    deployment.worker.kill()
    deployment.start_worker()
    deployment.succeeded(deployment.train())


def test_parts_refuse_to_start_on_a_schema_that_is_not_theirs(
    live: tuple[Deployment, Settings], tmp_path: Path
) -> None:
    deployment, elsewhere = live
    for part in ("worker", "scheduler"):
        refused = headrace(elsewhere, part)
        assert refused.returncode == 1
        assert "has no schema yet; run: headrace db upgrade" in refused.stderr
        assert "Traceback" not in refused.stderr
    deployment.close()
    with next_release(tmp_path, contract=True):
        schema.upgrade(deployment.settings.database_url, wait_s=30)
    for part in ("worker", "scheduler"):
        refused = headrace(deployment.settings, part)
        assert refused.returncode == 1
        assert "upgrade Headrace on this machine" in refused.stderr


def test_a_backup_while_jobs_run_is_a_whole_deployment_elsewhere(
    live: tuple[Deployment, Settings], tmp_path: Path
) -> None:
    deployment, elsewhere = live
    done = deployment.succeeded(deployment.train())
    running = deployment.running(deployment.train({"seconds": 8}))
    waiting = deployment.train(depends_on=[running.id])
    backup.backup(deployment.settings, tmp_path / "backup", lambda _done, _total: None)
    assert deployment.job(running).state == "running"
    later = deployment.train()
    deployment.close()

    restored = headrace(elsewhere, "restore", str(tmp_path / "backup"))
    assert restored.returncode == 0, restored.stderr
    checked = headrace(elsewhere, "fsck")
    assert (checked.returncode, checked.stdout) == (0, "all is well\n"), checked
    other = Deployment(elsewhere)
    try:
        other.start_worker()
        again = other.succeeded(running)
        assert (again.attempt, again.failures) == (2, 1)
        assert "worker lost" in str([event.data for event in other.events(running)])
        other.succeeded(waiting)
        assert other.job(done).result == done.result
        with other.db.read() as session:
            assert session.get(Job, later.id) is None, "it came after the backup"
        assert other.versions() == 3
        assert other.succeeded(other.train()).result is not None
    finally:
        other.close()
    checked = headrace(elsewhere, "fsck")
    assert (checked.returncode, checked.stdout) == (0, "all is well\n"), checked
