"""All checks, in an order in which to mend things."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from headrace.artifacts.protocol import Store
from headrace.db import Database
from headrace.fsck import histories, rows, stored
from headrace.fsck.finding import Finding, Progress


def check(
    db: Database, store: Store, *, idle: timedelta, sizes_only: bool = False, progress: Progress | None = None
) -> Iterator[Finding]:
    """Yield what is wrong in ``db`` and ``store``.

    ``sizes_only`` compares sizes and reads no bytes; ``idle`` is how long a half-written file must have lain.
    Raises `StorageFailed` when the store cannot be read at all.
    """
    for look in (
        rows.database,
        rows.owners,
        rows.datasets,
        rows.models,
        rows.leases,
        rows.record,
    ):
        with db.read() as session:
            found = list(look(session))
        yield from found
    after: str | None = ""
    while after is not None:
        with db.read() as session:
            found, after = histories.page(session, after)
        yield from found
    yield from stored.needed(
        db, store, sizes_only=sizes_only, progress=progress or (lambda done, total: None)
    )
    yield from stored.unneeded(db, store)
    yield from stored.half_written(store, idle)
