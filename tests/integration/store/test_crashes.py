"""SIGKILL at every system call of putting, publishing, deleting and collecting, and a disk that is full or
fails at each call that may meet it. After each, and a collection, `headrace fsck` finds nothing, not even a
warning; what was there before is there still; and the same thing done again succeeds.

By default one call in `STRIDE`, beginning at another one each time; ``make crash-store`` takes every one.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from domain import NOW, Domain
from headrace.artifacts.collector import Collector
from headrace.artifacts.store import LocalStore, read_verified
from headrace.datasets import service as datasets
from headrace.db import Database
from headrace.fsck import service as fsck
from integration.store import victim
from services import missing

STRIDE = int(os.environ.get("CRASH_STRIDE", "100"))
FAULTS = [("ENOSPC", True), ("EIO", False)]
"""The error, and whether all calls from one on meet it or just that one."""

if STRIDE == 1:
    FAULTS += [("ENOSPC", False), ("EIO", True)]
FILE_CALLS = ["openat", "mkdir", "write", "pwrite64", "fsync", "fdatasync", "ftruncate", "fchmod"]
FILE_CALLS += ["rename", "unlink"]


@dataclass
class Victims:
    """The process that forks them."""

    server: subprocess.Popen[str]
    template: Path
    folder: Path

    def copy(self) -> Path:
        """Return a copy of the template, in the place of the one before."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.template, self.folder)
        return self.folder

    def run(self, operation: str, *options: str) -> tuple[int, list[str]]:
        """Do ``operation`` under strace with ``options``; return its exit status and its system calls."""
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        print(operation, self.folder, file=self.server.stdin, flush=True)
        pid = self.server.stdout.readline().strip()
        log = self.folder / "strace.log"
        command = ["strace", "-p", pid, "-o", str(log), *options]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
            assert strace.stderr is not None
            said = strace.stderr.readline()
            os.kill(int(pid), signal.SIGUSR1)
            assert "attached" in said, said
            status = int(self.server.stdout.readline())
            strace.communicate()
        return status, re.findall(r"^(\w+)\(", log.read_text(errors="replace"), re.MULTILINE)


@pytest.fixture(scope="module")
def victims(
    make_database: Callable[[str], AbstractContextManager[str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Victims]:
    if shutil.which("strace") is None:
        missing("strace")
    root = tmp_path_factory.mktemp("crashes")
    template = root / "template"
    template.mkdir()
    with make_database("sqlite") as url:
        _prepare(url, LocalStore(template / "store"))
        shutil.copy(url.removeprefix("sqlite:///"), template / "headrace.db")
    environment = os.environ | {
        "PYTHONHASHSEED": "0",
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
    }
    server = subprocess.Popen(
        [sys.executable, victim.__file__],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield Victims(server, template, root / "copy")
    assert server.stdin is not None
    server.stdin.close()
    assert server.wait(30) == 0
    assert server.stdout is not None
    server.stdout.close()


def _prepare(url: str, store: LocalStore) -> None:
    """A dataset version that stays, one that can be deleted, and two files that nothing needs."""
    db = Database(url)
    domain = Domain(db)
    domain.project("default")
    for name in ("kept", "old"):
        with store.stage() as stage:
            stage.write(name.encode())
            file = stage.commit()
        with db.transaction() as session:
            version, _ = datasets.upload(
                session,
                project="default",
                name=name,
                file=file,
                media_type="text/csv",
                filename=None,
                types={},
                created_by=None,
                now=NOW,
            )
        domain.cancel(version.job)
    for content in (b"rubbish", b"more rubbish"):
        with store.stage() as stage:
            stage.write(content)
            stage.commit()
    db.close()


@contextmanager
def reopened(folder: Path) -> Iterator[tuple[Database, LocalStore]]:
    db = Database(f"sqlite:///{folder}/headrace.db")
    yield db, LocalStore(folder / "store")
    db.close()


def check(victims: Victims, operation: str) -> None:
    with reopened(victims.folder) as (db, store):
        for _ in range(2):
            Collector(store, after=timedelta()).collect(db)
            assert [*fsck.check(db, store, idle=timedelta(-1))] == []
            assert list(store.staging.iterdir()) == []
            with db.read() as session:
                kept = datasets.version(session, "default", "kept", 1).digest
            assert b"".join(read_verified(store, kept)) == b"kept"
            try:
                victim.OPERATIONS[operation](db, store)
            except victim.HeadraceError:
                assert operation == "delete", "it was deleted before"


def places(calls: list[str]) -> range:
    """Return which of ``calls`` to hit: one in `STRIDE`, from a random one on."""
    return range(random.randrange(min(STRIDE, len(calls))), len(calls), STRIDE)


def at(calls: list[str], place: int) -> str:
    """Name the call at ``place`` as strace counts: the n-th of its name."""
    return f"{calls[place]}:{{}}:when={calls[: place + 1].count(calls[place])}"


@pytest.mark.parametrize("operation", victim.OPERATIONS)
@pytest.mark.timeout(3600)
def test_a_kill_at_any_system_call_is_harmless(victims: Victims, operation: str) -> None:
    victims.copy()
    status, calls = victims.run(operation)
    assert status == victim.DONE
    check(victims, operation)
    hit, tried = 0, places(calls)
    for place in tried:
        victims.copy()
        kill = at(calls, place).format("signal=SIGKILL")
        status, _ = victims.run(operation, "-e", f"inject={kill}")
        hit += status == -9
        check(victims, operation)
    print(f"{operation}: killed at {hit} of {len(tried)} calls tried, of {len(calls)} in all")
    # Memory is not asked for at the very same moments each time.
    assert hit >= 0.97 * len(tried) - 1


@pytest.mark.parametrize(("error", "lasting"), FAULTS)
@pytest.mark.parametrize("operation", victim.OPERATIONS)
@pytest.mark.timeout(3600)
def test_a_disk_that_is_full_or_fails_is_reported_and_nothing_is_half_done(
    victims: Victims, operation: str, error: str, lasting: bool
) -> None:
    victims.copy()
    _, calls = victims.run(operation, "-e", f"trace={','.join(FILE_CALLS)}")
    refused, tried = 0, places(calls)
    for place in tried:
        failing = [at(calls, place).format(f"error={error}")]
        if lasting:
            before = calls[:place]
            failing = [f"{name}:error={error}:when={before.count(name) + 1}+" for name in FILE_CALLS]
        victims.copy()
        options = [option for call in failing for option in ("-e", f"inject={call}")]
        status, _ = victims.run(operation, *options)
        assert status in (victim.DONE, victim.REFUSED), calls[place]
        refused += status == victim.REFUSED
        check(victims, operation)
    print(f"{operation}: {error} at {len(tried)} of {len(calls)} calls, {refused} refused")
