"""What is wrong with an installation, as far as one machine can see it.

Each check looks at one thing and returns what it found: ``ok``, ``warning`` (works, but look at it) or
``error`` (jobs or data are in danger), with what would mend it. No check raises, and none waits for long; a
check that needs the database is left out while that cannot be reached.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import unquote, urlsplit

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from headrace import broker, schema
from headrace.access import service as access
from headrace.artifacts.store import open_store
from headrace.config import Settings, redact
from headrace.db import AWAY, OLDEST_SQLITE, Database, clock
from headrace.errors import HeadraceError, Unauthenticated
from headrace.jobs import queues, workers
from headrace.jobs.tables import Job, holds_slot

LITTLE_DISK = 5 * 10**9
NO_DISK = 500 * 10**6
SKEW_S = 2.0
SLOW_FSYNC_S = 0.5
BROKER_S = 3
Severity = Literal["ok", "warning", "error"]


class Finding(NamedTuple):
    """What one check found; ``advice`` is what to do about it, empty where all is well."""

    check: str
    severity: Severity
    message: str
    advice: str = ""


def examine(settings: Settings) -> Iterator[Finding]:
    """Yield a finding for each check, in an order in which to mend things."""
    yield _data_folder(settings)
    yield from _disks(settings)
    yield _store(settings)
    yield _broker(settings)
    yield _scratch(settings)
    try:
        database = Database(settings.database_url)
    except (RuntimeError, ValueError) as error:
        yield Finding("database", "error", str(error), "install a newer one, or set HEADRACE_DATABASE_URL")
        return
    try:
        with database.read() as session:
            yield _schema(session, settings)
            if schema.look(session).problem:
                return
            for check in (_clock, _key_file, _workers, _scheduler):
                yield check(session, settings)
    except AWAY as error:
        reason = str(getattr(error, "orig", error)).strip().splitlines()[0]
        where = redact(settings.database_url)
        yield Finding("database", "error", f"{where} cannot be reached: {reason}", "see that it runs")
    finally:
        database.close()


def _data_folder(settings: Settings) -> Finding:
    folder = settings.data
    if not folder.is_dir():
        return Finding("data folder", "error", f"{folder} is not there", "`headrace up` makes it; or --data")
    if not os.access(folder, os.W_OK | os.X_OK):
        return Finding("data folder", "error", f"{folder} cannot be written to", "give it to this user")
    if folder.stat().st_mode & 0o077:
        return Finding("data folder", "warning", f"{folder} is open to other users", f"chmod 700 {folder}")
    return Finding("data folder", "ok", str(folder))


def _disks(settings: Settings) -> Iterator[Finding]:
    """Look at each file system once."""
    places = {"data": settings.data}
    for name, url in (("database", settings.database_url), ("artifacts", settings.artifacts_url)):
        parts = urlsplit(url)
        if parts.scheme in ("file", "sqlite"):
            places[name] = Path(unquote(parts.path if parts.scheme == "file" else parts.path[1:]))
    seen: set[int] = set()
    for name, path in places.items():
        there = next((folder for folder in (path, *path.parents) if folder.exists()), None)
        if there is None or (device := there.stat().st_dev) in seen:
            continue
        seen.add(device)
        free = shutil.disk_usage(there).free
        severity: Severity = "error" if free < NO_DISK else "warning" if free < LITTLE_DISK else "ok"
        advice = "" if severity == "ok" else "make room, or move it to a larger disk"
        yield Finding(f"disk of {name}", severity, f"{free / 1e9:.1f} GB free", advice)


def _store(settings: Settings) -> Finding:
    """Write a few bytes as an artifact is written, read them back, and remove them."""
    content = secrets.token_bytes(64)
    try:
        store = open_store(settings.artifacts_url)
        began = time.monotonic()
        with store.stage() as stage:
            stage.write(content)
            stored = stage.commit()
        took = time.monotonic() - began
        with store.open(stored.digest) as file:
            same = file.read() == content
        store.delete(stored.digest)
    except (OSError, ValueError, HeadraceError) as error:
        return Finding(
            "artifact store", "error", f"cannot be written to: {error}", "see HEADRACE_ARTIFACTS_URL"
        )
    if not same:
        return Finding(
            "artifact store", "error", "gives back other bytes than were written", "trust no file of it"
        )
    if took > SLOW_FSYNC_S:
        return Finding(
            "artifact store", "warning", f"takes {took:.1f} s to make a file safe", "use a faster disk"
        )
    return Finding("artifact store", "ok", f"writes, flushes and reads ({took * 1000:.0f} ms)")


def _broker(settings: Settings) -> Finding:
    where = redact(settings.broker_url)
    if settings.broker_is_embedded:
        if broker.answers(settings):
            return Finding("broker", "ok", f"{where} answers")
        return Finding("broker", "warning", "the embedded broker does not run", "it runs with `headrace up`")
    from kombu import Connection

    try:
        with Connection(settings.broker_url, connect_timeout=BROKER_S) as connection:
            connection.ensure_connection(max_retries=1, timeout=BROKER_S)
    except Exception as error:  # whatever the client of that broker raises
        # Jobs are found without it, a second later.
        return Finding(
            "broker", "warning", f"{where} cannot be reached: {redact(str(error))}", "see that it runs"
        )
    return Finding("broker", "ok", f"{where} answers")


def _scratch(settings: Settings) -> Finding:
    """Find spaces of workers that live no more: those of the living hold their lock."""
    spaces = [path for path in (settings.data / "scratch").glob("space-*") if path.is_dir()]
    left = [space for space in spaces if not _is_held(space / "lock")]
    if left:
        names = ", ".join(space.name for space in left[:5])
        return Finding("scratch", "warning", f"dead workers left {names}", "a worker that starts removes it")
    return Finding("scratch", "ok", "nothing was left by dead workers")


def _is_held(lock: Path) -> bool:
    with suppress(OSError), lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _schema(session: Session, settings: Settings) -> Finding:
    where = redact(settings.database_url)
    connection = session.connection()
    version = ".".join(map(str, connection.dialect.server_version_info or ()))
    found = schema.look(session)
    if found.problem:
        mend = found.state in ("empty", "older")
        advice = "headrace db upgrade" if mend else "upgrade Headrace on this machine"
        return Finding("database", "error", f"{where}: {found.problem}", advice)
    if found.state == "newer":
        message = f"{where}: the schema, {found.revision}, is newer than this version, {found.known}"
        return Finding("database", "warning", message, "end the rolling upgrade: upgrade this machine too")
    if connection.dialect.name == "sqlite":
        oldest = ".".join(map(str, OLDEST_SQLITE))
        return Finding("database", "ok", f"{where}, SQLite {version} (at least {oldest})")
    return Finding("database", "ok", f"{where}, PostgreSQL {version}")


def _clock(session: Session, settings: Settings) -> Finding:
    skew = (clock(session) - datetime.now(UTC)).total_seconds()
    if abs(skew) > SKEW_S:
        message = (
            f"this machine's clock is {abs(skew):.1f} s {'behind' if skew > 0 else 'ahead of'} the database's"
        )
        return Finding("clock", "warning", message, "set both by NTP: schedules and keys go by them")
    return Finding("clock", "ok", f"within {SKEW_S:g} s of the database's")


def _key_file(session: Session, settings: Settings) -> Finding:
    path = settings.admin_key_file
    if not path.exists():
        return Finding("admin key", "ok", f"{path} is not there: keys are kept elsewhere")
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        return Finding(
            "admin key", "error", f"{path} has mode {mode:o}: others can read it", f"chmod 600 {path}"
        )
    try:
        access.authenticate(session, path.read_text().strip(), clock(session))
    except Unauthenticated as error:
        return Finding("admin key", "warning", f"{path}: {error.detail}", "`headrace up` writes a new one")
    return Finding("admin key", "ok", f"{path}, for this user only")


def _workers(session: Session, settings: Settings) -> Finding:
    now = clock(session)
    alive = workers.alive(session, now=now, within_s=settings.lease_s)
    if not alive:
        return Finding("workers", "error", "no worker is alive, so no job runs", "headrace worker")
    found = queues.queues(session, None, now=now, alive_s=settings.lease_s)
    stuck = [queue.name for queue in found if queue.queued and not queue.workers]
    if stuck:
        message = f"jobs wait in queues that no worker serves: {', '.join(stuck[:5])}"
        return Finding("workers", "warning", message, f"headrace worker --queues {stuck[0]}")
    return Finding("workers", "ok", f"{len(alive)} alive, {sum(worker.slots for worker in alive)} slots")


def _scheduler(session: Session, settings: Settings) -> Finding:
    """A lease that is long over and was not taken back: nobody ticks."""
    since = clock(session) - timedelta(seconds=10 * settings.tick_s + settings.lease_s)
    late = session.scalar(select(func.count()).where(holds_slot(), Job.lease_expires_at < since))
    if late:
        message = f"{late} jobs of lost workers were not taken back"
        return Finding("scheduler", "error", message, "headrace scheduler")
    return Finding("scheduler", "ok", "no lease has been left lying")
