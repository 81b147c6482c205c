"""Who did what: one row for each unsafe act, written in the act's own transaction.

Services call `record`; who acts is known from `headrace.origin`. What Headrace does by itself (a schedule
fires, a lease is lost) is no act of anybody and leaves no row here.

The rows are chained afterwards, by `chain` at every tick: each gets a number and the SHA-256 over the digest
before it and its own content. A row changed, removed or put in between later breaks the chain from there on
(`verify`); that the newest rows were cut off shows in the head alone, which is why `verify` returns it: note
it elsewhere from time to time. A chain within the act's transaction would be a lock that every act waits for.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from headrace import origin
from headrace.access.tables import Audit
from headrace.db import is_postgresql, new_id
from headrace.paging import Page, newest_first

FIRST_DIGEST = "0" * 64
_CHAIN_LOCK = 0x48656165
_BATCH = 500
_LATE = timedelta(minutes=5)


class Head(NamedTuple):
    """The end of the chain."""

    seq: int
    digest: str


class Verdict(NamedTuple):
    """What `verify` found: ``fault`` says what is wrong, None where nothing is; ``waiting`` rows have no
    place in the chain yet."""

    head: Head
    waiting: int
    fault: str | None


def record(
    session: Session, action: str, *, project: str, object: str, now: datetime, **details: str | float | None
) -> None:
    """Write down that whoever makes this request did ``action`` to ``object``; ``details`` are no secrets."""
    who = origin.current()
    if who.actor is None:
        return
    session.add(
        Audit(
            id=new_id("aud"),
            at=now,
            project=project,
            actor=who.actor,
            action=action,
            object=object,
            request_id=who.request_id,
            details=details,
        )
    )


def acts(session: Session, project: str | None, *, limit: int, cursor: str | None = None) -> Page[Audit]:
    """Return one page of what was done in ``project``, newest first; of all projects where it is None."""
    query = select(Audit)
    if project is not None:
        query = query.where(Audit.project == project)
    return newest_first(session, query, Audit.id, limit=limit, cursor=cursor)


def chain(session: Session) -> int:
    """Chain some of the rows that are not yet; return how many. One caller at a time does it."""
    if is_postgresql(session):
        mine = session.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": _CHAIN_LOCK})
        if not mine:
            return 0
    rows = session.scalars(select(Audit).where(Audit.seq.is_(None)).order_by(Audit.id).limit(_BATCH)).all()
    seq, digest = _head(session) if rows else Head(0, FIRST_DIGEST)
    for row in rows:
        seq += 1
        digest = _digest(digest, seq, row)
        row.seq, row.digest = seq, digest
    session.flush()
    return len(rows)


def verify(session: Session, *, now: datetime, known: Head | None = None) -> Verdict:
    """Check the whole chain, and that ``known``, a head noted earlier, is part of it."""
    head, fault = Head(0, FIRST_DIGEST), None
    chained = select(Audit).where(Audit.seq.is_not(None)).order_by(Audit.seq)
    with closing(session.scalars(chained.execution_options(yield_per=_BATCH))) as rows:
        for row in rows:
            fault = _fault(head, row, known)
            if fault is not None:
                break
            head = Head(head.seq + 1, row.digest or "")
    if fault is None and known is not None and known.seq > head.seq:
        fault = f"entries {head.seq + 1} to {known.seq} are missing at the end"
    late = session.scalar(select(func.min(Audit.at)).where(Audit.seq.is_(None)))
    if fault is None and late is not None and late < now - _LATE:
        fault = f"entries since {late.isoformat()} are in no chain: does a scheduler run?"
    waiting = session.scalar(select(func.count()).select_from(Audit).where(Audit.seq.is_(None)))
    return Verdict(head, waiting or 0, fault)


def _fault(before: Head, row: Audit, known: Head | None) -> str | None:
    """Say what is wrong with ``row`` as the one that follows ``before``."""
    seq = before.seq + 1
    if row.seq != seq:
        return f"entry {seq} is missing: the next one there is {row.seq}"
    if row.digest != _digest(before.digest, seq, row):
        return f"entry {seq} ({row.id}) is not as it was written, or not what stood here"
    if known is not None and known.seq == seq and known.digest != row.digest:
        return f"entry {seq} is not the one whose digest was noted"
    return None


def _head(session: Session) -> Head:
    last = session.scalar(select(Audit).where(Audit.seq.is_not(None)).order_by(Audit.seq.desc()).limit(1))
    return Head(0, FIRST_DIGEST) if last is None else Head(last.seq or 0, last.digest or "")


def _digest(before: str, seq: int, row: Audit) -> str:
    at = row.at.astimezone(UTC).isoformat(timespec="microseconds")
    content: list[Any] = [before, seq, row.id, at, row.project, row.actor, row.action, row.object]
    content += [row.request_id, row.details]
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
