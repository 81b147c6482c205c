"""The scheduler: a loop around `tick`, which sets right what time or a fault has put wrong.

It takes jobs from workers that let their lease expire, lets jobs go on whose dependencies have ended, and
advances coordinators. Jobs whose ticket was lost, or whose backoff is over, need nothing of it: idle slots
look for themselves. What dead workers left on a machine, the workers of that machine remove
(`headrace_workers.scratch`).

Any number of schedulers may run. Each step takes the rows that it changes one by one, each in a transaction
of its own under the row's lock, and looks again before it acts: whoever comes second finds nothing to do.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from headrace import pulse
from headrace.access import audit, idempotency
from headrace.artifacts.collector import Collector
from headrace.artifacts.store import open_store
from headrace.config import Settings
from headrace.db import AWAY, Database, clock
from headrace.dispatch import dispatching_database
from headrace.errors import StorageFailed
from headrace.jobs import coordinators, dependencies, retention, transitions, workers
from headrace.jobs.states import State
from headrace.jobs.tables import Job, coordinates, holds_slot, in_state
from headrace.schedules import service as schedules

_BATCH = 200
_MOST_PRUNES = 5
"""So many batches of old events are removed at one tick."""
_LONGEST_FIRING_S = 5.0
_COLLECT_RETRY_S = 10.0
_log = logging.getLogger(__name__)


def tick(
    db: Database,
    *,
    backoff: transitions.Backoff,
    kept_for: timedelta | None = None,
    now: datetime | None = None,
    resting: dict[str, coordinators.Mark] | None = None,
) -> None:
    """Do everything that is due. ``now`` is the database's time unless given, which tests do.

    ``kept_for`` is how long progress and logs of ended jobs are kept, None for ever. ``resting`` is what one
    tick tells the next, so that this one does not look at what has not changed.
    """
    with db.read() as session:
        now = now or clock(session)
    moment = now

    def take_back(session: Session, job: Job) -> None:
        transitions.lose(session, job, now=moment, backoff=backoff)

    def advance(session: Session, job: Job) -> None:
        dependencies.advance(session, job, moment)

    def start(session: Session, job: Job) -> None:
        transitions.begin(session, job, now=moment)

    _each(db, take_back, holds_slot(), Job.lease_expires_at < now)
    # Again while one has moved: the next in its chain may follow.
    while _each(db, advance, in_state(State.WAITING), pick=dependencies.unblocked):
        pass
    _each(db, start, coordinates(), Job.state == State.QUEUED)
    _coordinate(db, now, {} if resting is None else resting)
    _fire(db, now)
    with db.transaction() as session:
        idempotency.purge(session, now)
        workers.forget(session, now)
        audit.chain(session)
    if kept_for is not None:
        _prune(db, kept_for, now)


def run(settings: Settings, stop: threading.Event) -> None:
    """Tick until ``stop`` is set. A database that is away is waited for."""
    db, dispatcher = dispatching_database(settings.database_url, settings.broker_url)
    backoff = transitions.Backoff(base_s=settings.backoff_base_s, max_s=settings.backoff_max_s)
    kept_for = timedelta(days=settings.keep_events_days) if settings.keep_events_days else None
    collecting = threading.Thread(target=_collect, args=(settings, db, stop), name="collector")
    collecting.start()
    resting: dict[str, coordinators.Mark] = {}
    while not stop.wait(settings.tick_s):
        pulse.beat(settings, "scheduler")
        try:
            tick(db, backoff=backoff, kept_for=kept_for, resting=resting)
        except AWAY as error:
            _log.warning("tick failed, trying again: %s", error)
    collecting.join()
    dispatcher.close()
    db.close()


def _collect(settings: Settings, db: Database, stop: threading.Event) -> None:
    """Collect the artifact store, bit by bit. Has a thread of its own: a store that is slow, or away, must
    not keep lost jobs waiting.
    """
    collector: Collector | None = None
    wait_s = settings.tick_s
    while not stop.wait(wait_s):
        wait_s = settings.tick_s
        try:
            collector = collector or Collector(
                open_store(settings.artifacts_url),
                after=timedelta(seconds=settings.collect_after_s),
                every=timedelta(seconds=settings.collect_every_s),
            )
            collector.step(db)
        except (*AWAY, StorageFailed) as error:
            _log.warning("artifacts cannot be collected, trying again: %s", error)
            wait_s = _COLLECT_RETRY_S
        except Exception:  # a bug here must not be in the way of anything else
            _log.exception("artifacts cannot be collected")
            wait_s = _COLLECT_RETRY_S


def _coordinate(db: Database, now: datetime, resting: dict[str, coordinators.Mark]) -> None:
    """Let every coordinator go on. What is to be done is thought out before anything is locked.

    ``resting`` are those that had nothing to do, and their marks then: while these are the same they have
    nothing to do still.
    """
    with db.read() as session:
        found = coordinators.marks(session)
    for job_id in resting.keys() - found.keys():
        del resting[job_id]
    for job_id, mark in found.items():
        if resting.get(job_id) == mark:
            continue
        try:
            with db.read() as session:
                plan = coordinators.plan(session, session.get_one(Job, job_id))
            if plan is None:
                resting[job_id] = mark
            else:
                _locked(db, partial(coordinators.carry_out, plan=plan, now=now), job_id, coordinates())
        except AWAY:
            raise
        except Exception as error:  # it would come again, and a coordinator must end
            _log.exception("%s could not be advanced", job_id)
            _locked(db, partial(coordinators.give_up, error=error, now=now), job_id, coordinates())


def _prune(db: Database, kept_for: timedelta, now: datetime) -> None:
    for _ in range(_MOST_PRUNES):
        with db.transaction() as session:
            if not retention.prune(session, now=now, kept_for=kept_for):
                return


def _fire(db: Database, now: datetime) -> None:
    """Fire schedules that are due. Who has much to catch up goes on at the next tick, and so does the rest
    when this takes long.
    """
    with db.read() as session:
        found = list(schedules.due(session, now, limit=_BATCH))
    # In no order, so that those with much to catch up do not keep the others waiting tick after tick.
    random.shuffle(found)
    end = time.monotonic() + _LONGEST_FIRING_S
    for schedule_id in found:
        if time.monotonic() > end:
            return
        try:
            with db.transaction() as session:
                schedules.fire(session, schedule_id, now)
        except AWAY:
            raise
        except Exception:  # a bug that one schedule brings to light must not hold up the others
            _log.exception("%s could not be fired", schedule_id)


def _all(_session: Session, jobs: Sequence[tuple[str, list[str]]]) -> list[str]:
    return [job_id for job_id, _ in jobs]


def _each(
    db: Database,
    act: Callable[[Session, Job], None],
    *conditions: ColumnElement[bool],
    pick: Callable[[Session, Sequence[tuple[str, list[str]]]], list[str]] = _all,
) -> bool:
    """Do ``act`` to every job that meets ``conditions`` and that ``pick`` leaves of their ids and
    dependencies; return whether it was done to any."""
    acted, after = False, ""
    while True:
        with db.read() as session:
            query = select(Job.id, Job.depends_on).where(Job.id > after, *conditions)
            page = session.execute(query.order_by(Job.id).limit(_BATCH)).all()
            picked = pick(session, page)
        for job_id in picked:
            acted |= _one(db, act, job_id, *conditions)
        if len(page) < _BATCH:
            return acted
        after = page[-1][0]


def _one(
    db: Database, act: Callable[[Session, Job], None], job_id: str, *conditions: ColumnElement[bool]
) -> bool:
    try:
        return _locked(db, act, job_id, *conditions)
    except AWAY:
        raise
    except Exception:  # a bug that one job brings to light must not hold up the others
        _log.exception("%s could not be moved on", job_id)
        return False


def _locked(
    db: Database, act: Callable[[Session, Job], None], job_id: str, *conditions: ColumnElement[bool]
) -> bool:
    """Do ``act`` to the job under its lock, if it meets ``conditions`` still; return whether it did."""
    with db.transaction() as session:
        job = session.scalar(
            select(Job).where(Job.id == job_id, *conditions).with_for_update(skip_locked=True)
        )
        if job is not None:
            act(session, job)
        return job is not None
