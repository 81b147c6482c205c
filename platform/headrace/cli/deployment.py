"""What `headrace up` prepares before it starts anything: the data folder, its lock, the schema, the key."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from headrace import broker, origin
from headrace.cli.supervise import Part
from headrace.config import Settings
from headrace.errors import Unauthenticated, Unavailable

if TYPE_CHECKING:
    from headrace.db import Database

LOCK_PATIENCE_S = 8.0
"""As long as the guard of a killed predecessor may take to end what that one left."""


def make_data_folder(settings: Settings) -> None:
    """Make the data folder, for this user only. Raises `Unavailable` where that cannot be."""
    try:
        settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(f"cannot make the data folder {settings.data}: {error.strerror}") from None
    if not os.access(settings.data, os.W_OK | os.X_OK):
        raise Unavailable(f"the data folder {settings.data} cannot be written to")


@contextmanager
def locked(settings: Settings) -> Iterator[None]:
    """Hold the data folder for this process and its guard; two deployments on one would fight.

    Raises `Unavailable` with the process id of the holder.
    """
    path = settings.data / "up.lock"
    with path.open("a+") as file:
        end = time.monotonic() + LOCK_PATIENCE_S
        while not _try_lock(file.fileno()):
            holder = path.read_text().strip()
            # A dead holder's guard lets go as soon as it has cleaned up.
            if _is_alive(holder) or time.monotonic() > end:
                raise Unavailable(
                    f"`headrace up` runs on {settings.data} already (process {holder or 'unknown'}); "
                    "stop that one, or choose another folder with --data"
                )
            time.sleep(0.1)
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        settings.url_file.unlink(missing_ok=True)
        try:
            yield
        finally:
            settings.url_file.unlink(missing_ok=True)
            file.truncate(0)


def running_at(settings: Settings) -> str | None:
    """Return the address of the deployment that runs on the data folder and is ready, or None."""
    try:
        with (settings.data / "up.lock").open("a+") as file:
            if _try_lock(file.fileno()):
                return None
            return settings.url_file.read_text().strip() or None
    except FileNotFoundError:
        return None


def check_port(settings: Settings) -> None:
    """Raise `Unavailable` where the web server could not bind its port."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            where = f"port {settings.port} of {settings.host}"
            if error.errno == errno.EADDRINUSE:
                raise Unavailable(
                    f"{where} is taken by another program; choose another with --port"
                ) from None
            raise Unavailable(f"cannot bind {where}: {error.strerror or error}") from None


def prepare(settings: Settings) -> None:
    """Bring the schema up to date, and see that there is an admin key and room for the broker."""
    from headrace import db, schema

    schema.upgrade(settings.database_url)
    database = db.Database(settings.database_url)
    try:
        _ensure_admin_key(settings, database)
    finally:
        database.close()
    if settings.broker_is_embedded:
        broker.prepare(settings)


def parts(settings: Settings) -> list[Part]:
    """Return what runs, in the order of starting."""
    own = (sys.executable, "-m", "headrace", "--debug")
    found = [Part(name=name, command=(*own, name)) for name in ("web", "scheduler", "worker", "serve")]
    if settings.broker_is_embedded:
        listens = partial(broker.answers, settings)
        found.insert(0, Part(name="broker", command=broker.command(settings), started=listens, last=True))
    return found


def write_private(path: Path, text: str) -> None:
    """Write ``text`` to a file that only this user can read, whole or not at all."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def _ensure_admin_key(settings: Settings, database: Database) -> None:
    """Keep the admin key of the data folder while the database knows it, else write a new one."""
    from headrace.access import service as access

    path = settings.admin_key_file
    now = datetime.now(UTC)
    if path.exists():
        try:
            with database.read() as session:
                if access.authenticate(session, path.read_text().strip(), now).may("admin"):
                    path.chmod(0o600)
                    return
        except Unauthenticated:
            pass
    with origin.acting(origin.Origin(actor="(headrace up)")), database.transaction() as session:
        _, key = access.create_key(session, project="default", role="admin", name="headrace up", now=now)
    write_private(path, key + "\n")


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_alive(pid: str) -> bool:
    import psutil

    try:
        return bool(psutil.Process(int(pid)).status() != psutil.STATUS_ZOMBIE)
    except (ValueError, psutil.NoSuchProcess):
        return False
