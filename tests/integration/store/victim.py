"""Does one thing to a database and a store, in a process that is forked for it and waits for a signal to go:
`strace` is attached meanwhile. Reads lines ``operation folder``; says the id of each such process once it
waits, and, on another line, its exit status once it is dead (negative for a signal).
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from domain import NOW
from headrace.artifacts import service as artifacts
from headrace.artifacts.collector import Collector
from headrace.artifacts.store import LocalStore, Stored
from headrace.datasets import service as datasets
from headrace.db import AWAY, Database
from headrace.errors import HeadraceError

DONE, REFUSED, BROKEN = 0, 3, 4
CONTENT = b"x\n1\n" * 50_000
"""More than is buffered, so that it is written in several calls."""


def put(db: Database, store: LocalStore) -> Stored:
    with store.stage() as stage:
        stage.write(CONTENT[:100_000])
        stage.write(CONTENT[100_000:])
        return stage.commit()


def publish(db: Database, store: LocalStore) -> None:
    file = put(db, store)
    with db.transaction() as session:
        datasets.upload(
            session,
            project="default",
            name="new",
            file=file,
            media_type="text/csv",
            filename=None,
            types={},
            created_by=None,
            now=NOW,
        )


def delete(db: Database, store: LocalStore) -> None:
    with db.transaction() as session:
        datasets.delete_version(session, "default", "old", 1, now=NOW)


def collect(db: Database, store: LocalStore) -> None:
    Collector(store, after=timedelta()).collect(db)


OPERATIONS: dict[str, Callable[[Database, LocalStore], object]] = {
    "put": put,
    "publish": publish,
    "delete": delete,
    "collect": collect,
}


def run(operation: str, folder: Path) -> int:
    db, store = Database(f"sqlite:///{folder}/headrace.db"), LocalStore(folder / "store")
    artifacts.guard(db, store)
    with db.transaction() as session:
        artifacts.size(session)
    act = OPERATIONS[operation]
    print(os.getpid(), flush=True)
    signal.sigwait({signal.SIGUSR1})
    try:
        act(db, store)
    except (HeadraceError, *AWAY):
        return REFUSED
    except BaseException:
        return BROKEN
    return DONE


def main() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    for line in sys.stdin:
        operation, _, folder = line.strip().partition(" ")
        child = os.fork()
        if child == 0:
            os._exit(run(operation, Path(folder)))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
