"""Removing bytes that nothing needs, and what dead writers left half-written.

`headrace.artifacts` says why this is safe beside anything. Any number of collectors may run: each walks the
whole store in the order of digests, a page at a time, and notes what nothing needs; what was noted long
enough ago is deleted.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import islice

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from headrace.artifacts import service
from headrace.artifacts.protocol import Store
from headrace.artifacts.tables import Unneeded
from headrace.db import Database, clock

PAGE = 100
"""So many digests are looked at, and so many deleted, in one step."""

_DELETE_WITHIN_S = 60.0
_log = logging.getLogger(__name__)


class Collector:
    """Collects ``store``. A process has one, and lets it `step` now and then."""

    def __init__(self, store: Store, *, after: timedelta, every: timedelta = timedelta()) -> None:
        """``after`` is how long bytes must have been unneeded; ``every`` how often the store is walked."""
        self._store = store
        self._after = after
        self._every = every
        self._position = ""
        self._next_walk = time.monotonic()

    def step(self, db: Database, now: datetime | None = None) -> None:
        """Look at one page of the store, and delete a page of what is due.

        Raises `StorageFailed`. ``now`` is the database's time unless given, which tests do.
        """
        if time.monotonic() >= self._next_walk and not self._look(db, now):
            self._next_walk = time.monotonic() + self._every.total_seconds()
        self._delete(db, now)

    def collect(self, db: Database, now: datetime | None = None) -> int:
        """Walk the whole store and delete all that is due; return how much that was."""
        self._position = ""
        while self._look(db, now):
            pass
        total = 0
        while deleted := self._delete(db, now):
            total += deleted
        return total

    def _look(self, db: Database, now: datetime | None) -> bool:
        """Note what nothing needs in the next page; return whether another follows."""
        if not self._position:
            for leftover in islice(self._store.leftovers(self._after), PAGE):
                self._store.discard(leftover)
                _log.info("removed %s, which a dead writer had left", leftover.partition(" ")[0])
        page = list(islice(self._store.digests(self._position), PAGE))
        self._position = page[-1] if len(page) == PAGE else ""
        with db.read() as session:
            unneeded = unneeded_among(session, page)
        if unneeded:
            with db.transaction() as session:
                _note(session, unneeded, now or clock(session))
        return bool(self._position)

    def _delete(self, db: Database, now: datetime | None) -> int:
        """Delete some of what is due; return how much."""
        with self._store.deleting() as dead_after:
            if dead_after is None:
                return 0
            deleter, until = secrets.token_hex(8), time.monotonic() + _DELETE_WITHIN_S
            with db.read() as session:
                if not _due(session, now or clock(session), self._after, dead_after):
                    return 0
            with db.transaction() as session:
                moment = now or clock(session)
                doomed = _announce(session, deleter, moment, self._after, dead_after)
            deleted: list[str] = []
            for digest in doomed:
                if time.monotonic() > until:
                    break  # this process was stopped: others may think it dead
                self._store.delete(digest)
                deleted.append(digest)
            with db.transaction() as session:
                mine = delete(Unneeded).where(Unneeded.deleter == deleter)
                session.execute(mine.where(Unneeded.digest.in_(deleted)))
        if deleted:
            _log.info("removed %d artifacts that nothing needed", len(deleted))
        return len(deleted)


def unneeded_among(session: Session, digests: Sequence[str]) -> list[str]:
    """Return those of ``digests`` that no row needs and that are not noted yet."""
    noted = set(session.scalars(select(Unneeded.digest).where(Unneeded.digest.in_(digests))))
    return sorted(set(digests) - noted - service.needed(session, digests))


def _note(session: Session, digests: Sequence[str], now: datetime) -> None:
    """Note that nothing needs ``digests``, as far as that is still so."""
    held = [digest for digest in digests if service.lock_digest(session, digest, to_delete=True)]
    session.add_all(Unneeded(digest=digest, since=now) for digest in unneeded_among(session, held))


def _due(session: Session, now: datetime, after: timedelta, dead_after: timedelta) -> list[str]:
    """Return what may be deleted: noted long ago, and announced by nobody who may live."""
    query = select(Unneeded.digest).where(
        Unneeded.since <= now - after,
        or_(Unneeded.deleting_at.is_(None), Unneeded.deleting_at <= now - dead_after),
    )
    return list(session.scalars(query.order_by(Unneeded.since).limit(PAGE)))


def _announce(
    session: Session, deleter: str, now: datetime, after: timedelta, dead_after: timedelta
) -> list[str]:
    """Announce the deletion of what is due, as far as nothing needs it after all; return what that is."""
    due = _due(session, now, after, dead_after)
    held = [digest for digest in due if service.lock_digest(session, digest, to_delete=True)]
    needed = service.needed(session, held)
    session.execute(delete(Unneeded).where(Unneeded.digest.in_(needed)))
    again = select(Unneeded).where(
        Unneeded.digest.in_(set(held) - needed),
        or_(Unneeded.deleting_at.is_(None), Unneeded.deleting_at <= now - dead_after),
    )
    rows = session.scalars(again.execution_options(populate_existing=True)).all()
    for row in rows:
        row.deleter, row.deleting_at = deleter, now
    return sorted(row.digest for row in rows)
