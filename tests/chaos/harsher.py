"""Faults of what lies below the deployment: the database, the disk, the clock."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psycopg

from chaos.deployment import WEB, WORKERS
from chaos.faults import Harm, NotNow, Site, free_part
from headrace.db import AWAY, Database

FULL_S, ERRORS_S, LOCKED_S, CLOCK_S = 1.5, 1.5, 1.5, 3.0
FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
HOUR_S = 3600
_OTHERS = "datname = current_database() AND application_name <> 'chaos' AND pid <> pg_backend_pid()"


def kill_postgresql(site: Site) -> Harm:
    """SIGKILL every process of the database; start it again a moment later."""
    assert site.postgres is not None
    site.postgres.kill()
    time.sleep(site.rng.uniform(0.1, 1.0))
    site.postgres.start()
    return Counter()


def cut_connection(site: Site) -> Harm:
    """End a connection: half of the times in the midst of its COMMIT, when that is done but not yet told."""
    assert site.postgres is not None
    with suppress(psycopg.OperationalError), site.postgres.administrator() as administrator:
        if site.rng.random() < 0.5:
            return _cut_in_commit(administrator)
        query = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {_OTHERS} "
        busy = "(state <> 'idle') DESC, random()"
        if administrator.execute(f"{query} ORDER BY {busy} LIMIT 1").fetchone():  # type: ignore[arg-type]
            return Counter({"in some state": 1})
    raise NotNow


def _cut_in_commit(administrator: psycopg.Connection) -> Harm:
    """Make commits wait for a standby that there is none of: they have then committed, and not said so."""
    in_commit = f"{_OTHERS} AND wait_event = 'SyncRep'"
    administrator.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
    administrator.execute("SELECT pg_reload_conf()")
    cut = None
    deadline = time.monotonic() + 3.0
    try:
        while cut is None and time.monotonic() < deadline:
            query = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {in_commit} LIMIT 1"
            cut = administrator.execute(query).fetchone()  # type: ignore[arg-type]
            time.sleep(0.01)
    finally:
        administrator.execute("ALTER SYSTEM RESET synchronous_standby_names")
        administrator.execute("SELECT pg_reload_conf()")
    if cut is None:
        raise NotNow
    return Counter({"in COMMIT": 1})


def lock_sqlite(site: Site) -> Harm:
    """Hold the write lock of the database file."""
    database = Database(site.deployment.settings.database_url)
    try:
        with database.transaction():
            time.sleep(LOCKED_S)
    except AWAY:
        raise NotNow from None
    finally:
        database.close()
    return Counter()


def fill_disk(site: Site) -> Harm:
    """Leave no byte on the disk of scratch folders, artifacts and, where it is SQLite, the database."""
    with site.disk.full():
        time.sleep(FULL_S)
    return Counter()


def io_errors(site: Site) -> Harm:
    """Have a worker's system calls on files fail, some with EIO, some with ENOSPC."""
    name = free_part(site, WORKERS)
    part = site.deployment.parts[name]
    call, error = site.rng.choice(
        [("fsync", "EIO"), ("rename", "EIO"), ("fsync", "ENOSPC"), ("openat", "ENOSPC"), ("unlink", "EIO")]
    )
    part.held = True
    try:
        # Every third call, so that what is tried again also succeeds.
        inject = f"inject={call}:error={error}:when=1+3"
        tracer = subprocess.Popen(
            ["strace", "-f", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject, "-p", str(part.pid)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(ERRORS_S)
        tracer.terminate()
        tracer.wait()
    finally:
        part.held = False
    return Counter({f"{call}: {error}": 1})


def jump_clock(site: Site) -> Harm:
    """Run the web or a worker on a clock of its own, which jumps an hour ahead, then one back.

    With SQLite all are on one machine, where there is one clock: the one that judges leases.
    """
    name = site.rng.choice((WEB, *WORKERS))
    part = site.deployment.parts[free_part(site, (name,))]
    clock = site.deployment.logs / f"clock-{name}"
    clock.write_text("+0")
    faked = {
        "LD_PRELOAD": str(FAKETIME[0]),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_CACHE_DURATION": "1",
        # Only the time of day jumps; what measures durations does not.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "PYTHONPATH": str(Path(__file__).with_name("jumping")),
    }
    part.held = True
    try:
        site.deployment.restart(name, faked)
        site.deployment.until_ready()
        for jump in (HOUR_S, -HOUR_S):
            clock.write_text(f"{jump:+d}")
            time.sleep(CLOCK_S)
        site.deployment.restart(name, {})
    finally:
        part.held = False
    return Counter({name: 1})


def impossible(site: Site) -> dict[str, str]:
    """Return which faults cannot be had here, and why."""
    why = {}
    if not site.disk.mounted:
        why["disk full"] = "no right to mount a tmpfs"
    if shutil.which("strace") is None or not _may_trace():
        why["I/O errors"] = "strace is not installed, or may not trace"
    if not FAKETIME:
        why["clock jumps"] = "libfaketime is not installed"
    return why


def _may_trace() -> bool:
    return subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True).returncode == 0
