"""Backup and restore of a whole deployment, while it runs: one folder with the database and its artifacts.

**Order.** First the database, in one snapshot, then the artifacts that the rows of that very snapshot name.
Bytes are durable before a row names them, so all of them are there by then; they never change, so it does not
matter how much later they are copied; and what nothing needs any more is removed only after
``HEADRACE_COLLECT_AFTER_S``, which is how long the copying may take. The other way round, whatever was made
between would be rows without bytes. Restoring goes backwards: bytes first, then the rows that name them.

A folder can be used again: bytes that it has are not copied twice. Its ``manifest.json`` is written last, and
removed first, so a backup that was cut short is no backup.

**Time.** What is restored is the moment of the snapshot. Jobs that ran then have leases that ran out long
ago: the scheduler takes them back as those of lost workers, and they run again, from their last checkpoint.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import make_url, select, text
from sqlalchemy.orm import Session

from headrace import __version__, schema
from headrace.artifacts.local import LocalStore
from headrace.artifacts.protocol import Store, Stored
from headrace.artifacts.store import open_store, read_verified
from headrace.artifacts.tables import Artifact
from headrace.config import Settings, redact
from headrace.db import Database
from headrace.errors import ArtifactMissing, Conflict, NotFound, Unavailable

SQLITE, POSTGRESQL = "database.sqlite", "database.pgdump"
MANIFEST = "manifest.json"
Progress = Callable[[int, int], None]
"""Called with the bytes done and the bytes in all."""


def backup(settings: Settings, folder: Path, progress: Progress) -> dict[str, Any]:
    """Write a backup into ``folder`` and return its manifest. Everything may go on running.

    Raises `ArtifactMissing` or `ArtifactCorrupt` for bytes that a row names and that are not there or are
    others, `Unavailable` where the database cannot be dumped.
    """
    schema.require(settings.database_url)
    taken_at = datetime.now(UTC)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    database = Database(settings.database_url)
    try:
        if database.engine.dialect.name == "sqlite":
            file = folder / SQLITE
            _copy_sqlite(database, file)
            with _opened(f"sqlite:///{file}") as copy, copy.read() as session:
                revision, needed = schema.look(session).revision, _needed(session)
        else:
            file = folder / POSTGRESQL
            with database.read() as session:
                revision, needed = schema.look(session).revision, _needed(session)
                snapshot = session.scalar(text("SELECT pg_export_snapshot()"))
                options = [f"--snapshot={snapshot}", "--format=custom", f"--file={file}"]
                _postgresql("pg_dump", settings.database_url, *options)
    finally:
        database.close()
    try:
        _copy(open_store(settings.artifacts_url), LocalStore(folder / "artifacts"), needed, progress)
    except ArtifactMissing as error:
        raise ArtifactMissing(
            f"{error.detail}. If copying took longer than HEADRACE_COLLECT_AFTER_S "
            f"({settings.collect_after_s:g} s), set that longer and begin again; else see headrace fsck"
        ) from None
    manifest = {
        "version": __version__,
        "revision": revision,
        "taken_at": taken_at.isoformat(timespec="seconds"),
        "database": file.name,
        "artifacts": [list(stored) for stored in needed],
    }
    _write(folder / MANIFEST, json.dumps(manifest))
    return manifest


def restore(settings: Settings, folder: Path, progress: Progress) -> dict[str, Any]:
    """Bring what `backup` wrote into ``folder`` into an empty database and an artifact store.

    Returns the manifest. Raises `NotFound` where the folder holds no whole backup, `Conflict` where the
    database is of another kind or not empty.
    """
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
    except FileNotFoundError:
        raise NotFound(f"{folder} holds no backup that was finished: it has no {MANIFEST}") from None
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / manifest["database"]
    where = redact(settings.database_url)
    with _opened(settings.database_url) as database:
        if (database.engine.dialect.name == "sqlite") != (file.name == SQLITE):
            raise Conflict(f"the backup is {file.name}, which cannot be restored to {where}")
        with database.read() as session:
            if schema.look(session).state != "empty":
                raise Conflict(f"{where} is not empty: restore to a new database, and use that from then on")
    needed = [Stored(*entry) for entry in manifest["artifacts"]]
    _copy(LocalStore(folder / "artifacts"), open_store(settings.artifacts_url), needed, progress)
    if file.name == SQLITE:
        with _opened(f"sqlite:///{file}") as source:
            _copy_sqlite(source, Path(str(make_url(settings.database_url).database)))
    else:
        options = ["--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges"]
        _postgresql("pg_restore", settings.database_url, *options, str(file))
    return manifest


def _needed(session: Session) -> list[Stored]:
    """Return all bytes that a row of this snapshot names."""
    query = select(Artifact.digest, Artifact.size_bytes).distinct().order_by(Artifact.digest)
    return [Stored(*row) for row in session.execute(query)]


def _copy(source: Store, target: Store, needed: Iterable[Stored], progress: Progress) -> None:
    """Copy what the target lacks; whatever is copied is checked against its digest."""
    needed = list(needed)
    total, done = sum(stored.size_bytes for stored in needed), 0
    for stored in needed:
        if not _has(target, stored):
            with target.stage() as stage:
                for chunk in read_verified(source, stored.digest):
                    stage.write(chunk)
                stage.commit()
        done += stored.size_bytes
        progress(done, total)


def _has(store: Store, stored: Stored) -> bool:
    try:
        return store.size(stored.digest) == stored.size_bytes
    except ArtifactMissing:
        return False


def _copy_sqlite(database: Database, target: Path) -> None:
    """Copy a database that is in use, by SQLite's online backup: whole, or not at all."""
    partial = target.with_name(f"{target.name}.partial")
    partial.unlink(missing_ok=True)
    source = database.engine.raw_connection()
    try:
        driver: Any = source.driver_connection
        copy = type(driver)(str(partial))
        try:
            driver.backup(copy)
        finally:
            copy.close()
    finally:
        source.close()
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.chmod(0o600)
    for leftover in ("-wal", "-shm"):
        target.with_name(target.name + leftover).unlink(missing_ok=True)
    partial.rename(target)


def _postgresql(program: str, url: str, *options: str) -> None:
    """Run one of PostgreSQL's programs on the database at ``url``, whose password no process list shows."""
    found = shutil.which(program)
    if found is None:
        raise Unavailable(f"{program} is not on the PATH: install PostgreSQL's client programs")
    place = make_url(url)
    password = str(place.password or "")
    place = place.set(drivername="postgresql", password=None)
    done = subprocess.run(
        [found, f"--dbname={place.render_as_string()}", "--no-password", *options],
        env={"PATH": str(Path(found).parent), "PGPASSWORD": password},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        reason = redact(done.stderr.strip() or f"it ended with status {done.returncode}")
        raise Unavailable(f"{program} failed: {reason}")


@contextmanager
def _opened(url: str) -> Iterator[Database]:
    database = Database(url)
    try:
        yield database
    finally:
        database.close()


def _write(path: Path, content: str) -> None:
    with path.open("w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
