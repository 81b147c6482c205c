"""Backup and restore: the moment of the snapshot comes back whole, whatever happened after."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from contract.api import Api
from headrace import backup, schema
from headrace.artifacts.local import LocalStore
from headrace.cli.group import cli
from headrace.config import Settings
from headrace.db import Base, Database
from headrace.errors import ArtifactCorrupt, ArtifactMissing, Conflict, NotFound, Unavailable
from services import new_database


@pytest.fixture
def filled(api: Api) -> Api:
    """Two datasets, a model, and jobs."""
    api.ready_dataset("iris")
    api.model_version("iris")
    api.upload("other", b"a\n1\n")
    return api


@pytest.fixture
def elsewhere(filled: Api, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    """Where to restore to: another data folder, and an empty database of the same kind."""
    if filled.parts.database.engine.dialect.name == "sqlite":
        yield Settings.load({}, data=tmp_path / "elsewhere")
        return
    with new_database(request.getfixturevalue("postgresql_server")) as url:
        yield Settings.load({}, data=tmp_path / "elsewhere", database_url=url)


def quiet(_done: int, _total: int) -> None:
    """Show no progress."""


def rows(settings: Settings) -> dict[str, list[Any]]:
    database = Database(settings.database_url)
    with database.read() as session:
        assert schema.look(session).state == "current"
        found = {
            table.name: [tuple(row) for row in session.execute(select(table).order_by(*table.primary_key))]
            for table in Base.metadata.sorted_tables
        }
    database.close()
    return found


def test_what_is_restored_is_the_moment_of_the_backup(
    filled: Api, elsewhere: Settings, tmp_path: Path
) -> None:
    settings, folder = filled.parts.settings, tmp_path / "backup"
    before = rows(settings)
    manifest = backup.backup(settings, folder, quiet)
    assert folder.stat().st_mode & 0o077 == 0
    assert len(manifest["artifacts"]) == len({row[3] for row in before["artifacts"]})
    filled.upload("later", b"a\n2\n")
    filled.model_version("iris")
    backup.restore(elsewhere, folder, quiet)
    assert rows(elsewhere) == before
    store = LocalStore(elsewhere.data / "artifacts")
    assert sorted(store.digests()) == [digest for digest, _ in manifest["artifacts"]]


def test_a_second_backup_into_the_same_folder_copies_what_is_new(filled: Api, tmp_path: Path) -> None:
    settings, folder = filled.parts.settings, tmp_path / "backup"
    backup.backup(settings, folder, quiet)
    had = {path: path.stat().st_ino for path in (folder / "artifacts").glob("??/*")}
    filled.upload("later", b"a\n2\n")
    again = backup.backup(settings, folder, quiet)
    have = {path: path.stat().st_ino for path in (folder / "artifacts").glob("??/*")}
    assert have.items() > had.items()
    assert len(have) == len(again["artifacts"]) == len(had) + 1


def test_bytes_that_are_gone_or_bad_are_no_backup(filled: Api, elsewhere: Settings, tmp_path: Path) -> None:
    settings, folder = filled.parts.settings, tmp_path / "backup"
    manifest = backup.backup(settings, folder, quiet)
    digest = manifest["artifacts"][0][0]
    kept = LocalStore(folder / "artifacts").path(digest)
    kept.chmod(0o600)
    kept.write_bytes(b"x" * manifest["artifacts"][0][1])
    with pytest.raises(ArtifactCorrupt, match=digest):
        backup.restore(elsewhere, folder, quiet)
    shutil.rmtree(folder / "artifacts")
    LocalStore(Path(settings.artifacts_url.removeprefix("file://"))).path(digest).unlink()
    with pytest.raises(ArtifactMissing, match=digest):
        backup.backup(settings, folder, quiet)
    with pytest.raises(NotFound, match=r"no manifest\.json"):
        backup.restore(elsewhere, folder, quiet)


def test_nothing_is_restored_over_what_is_there(filled: Api, tmp_path: Path) -> None:
    settings, folder = filled.parts.settings, tmp_path / "backup"
    backup.backup(settings, folder, quiet)
    before = rows(settings)
    with pytest.raises(Conflict, match="is not empty"):
        backup.restore(settings, folder, quiet)
    assert rows(settings) == before
    manifest = json.loads((folder / backup.MANIFEST).read_text())
    other = {backup.SQLITE: backup.POSTGRESQL, backup.POSTGRESQL: backup.SQLITE}[manifest["database"]]
    (folder / backup.MANIFEST).write_text(json.dumps(manifest | {"database": other}))
    with pytest.raises(Conflict, match=f"the backup is {other}"):
        backup.restore(settings, folder, quiet)


def test_a_database_that_cannot_be_dumped_is_told_without_its_password(
    filled: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Unavailable) as caught:
        backup._postgresql("pg_dump", "postgresql://u:hunter2@127.0.0.1:1/x")
    assert "pg_dump failed" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Unavailable, match="pg_dump is not on the PATH"):
        backup._postgresql("pg_dump", "postgresql://u@127.0.0.1:1/x")


def test_the_commands(filled: Api, elsewhere: Settings, tmp_path: Path) -> None:
    folder = str(tmp_path / "backup")

    def run(command: str, settings: Settings) -> str:
        answer = CliRunner().invoke(
            cli, [command, folder], env=settings.environ(), standalone_mode=False, catch_exceptions=False
        )
        return answer.output

    assert "artifacts" in run("backup", filled.parts.settings)
    assert "is as it was at 20" in run("restore", elsewhere)
    assert rows(elsewhere) == rows(filled.parts.settings)
