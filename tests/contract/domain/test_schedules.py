"""Every due time of a schedule gets exactly one row, and at most one job: over simulated time, with several
schedulers, whatever happens to them."""

from __future__ import annotations

import logging
import random
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any

import pytest
from sqlalchemy import event, func, insert, select, text
from sqlalchemy.exc import IntegrityError

from domain import BACKOFF, NOW, TRAIN, Domain
from headrace.db import Database
from headrace.jobs.tables import Job
from headrace.scheduler import tick
from headrace.schedules import service
from headrace.schedules.requests import ScheduleChange, ScheduleRequest
from headrace.schedules.tables import Schedule, ScheduleRun
from headrace.schedules.times import Cron

SEED = 20270328
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
CRONS = {
    "Europe/Berlin": "30 2 * * SUN,WED",
    "America/New_York": "15 1 * * SUN,WED",
    "Australia/Lord_Howe": "45 1 * * SUN,WED",
    "Asia/Kathmandu": "0 0 * * SUN,WED",
}
"""At hours that the clock skips or shows twice where it changes, which it does on Sundays."""


def _create(domain: Domain, job: dict[str, Any] | None = None, **fields: Any) -> str:
    request = {"every_s": 3600, "overlap": "queue", "job": {"kind": "train", "spec": TRAIN} | (job or {})}
    if "cron" in fields:
        del request["every_s"]
    schedule = ScheduleRequest.model_validate(request | fields)
    row = domain.do(service.create, project="default", request=schedule, created_by=None, now=domain.now)
    return str(row.id)


def _change(domain: Domain, schedule: str, **fields: Any) -> None:
    with domain.db.transaction() as session:
        row = service.schedule(session, "default", schedule, lock=True)
        service.change(session, row, ScheduleChange.model_validate(fields), now=domain.now)


def _runs(domain: Domain, schedule: str) -> list[ScheduleRun]:
    with domain.db.read() as session:
        query = select(ScheduleRun).where(ScheduleRun.schedule == schedule).order_by(ScheduleRun.id)
        return list(session.scalars(query))


def _outcomes(domain: Domain, schedule: str) -> list[str]:
    return [run.outcome for run in _runs(domain, schedule)]


def _trained(domain: Domain) -> int:
    with domain.db.read() as session:
        return session.scalar(select(func.count()).select_from(Job).where(Job.kind == "train")) or 0


def _end(domain: Domain, job: str | None) -> None:
    assert job is not None
    domain.cancel(job)


class _Killed(BaseException):
    """What ends a scheduler at any statement, as SIGKILL would: whatever is not committed is undone."""


class _Killer:
    """Kills the scheduler of its thread, now and then, before or after any statement or commit."""

    def __init__(self, db: Database, chance: random.Random, rate: float) -> None:
        self.chance, self.rate, self.kills = chance, rate, 0
        for when in ("before_cursor_execute", "after_cursor_execute", "commit"):
            event.listen(db.engine, when, self._maybe)

    def _maybe(self, *_: Any) -> None:
        if self.chance.random() < self.rate:
            self.kills += 1
            raise _Killed


class _Clock:
    """The simulated time that all schedulers share, each pushing it on."""

    def __init__(self, now: datetime, chance: random.Random) -> None:
        self.now, self.chance, self._lock = now, chance, threading.Lock()

    def advance(self) -> datetime:
        with self._lock:
            self.now += self.chance.random() * 4 * DAY
            return self.now


def test_a_year_of_three_schedulers_two_of_which_are_killed(own_domain: Domain) -> None:
    domain = own_domain
    made = {zone: _create(domain, cron=cron, timezone=zone, catch_up="all") for zone, cron in CRONS.items()}
    end = NOW + 365 * DAY
    clock = _Clock(NOW, random.Random(SEED))
    url = domain.db.url.render_as_string(hide_password=False)

    def run(number: int) -> int:
        db = Database(url)
        killer = _Killer(db, random.Random(SEED + number), 0.02 if number else 0)
        while (now := clock.advance()) < end:
            with suppress(_Killed):
                tick(db, backoff=BACKOFF, now=now)
        killer.rate = 0
        db.close()
        return killer.kills

    with ThreadPoolExecutor(3) as pool:
        kills = list(pool.map(run, range(3)))
    assert min(kills[1:]) > 5, f"seed {SEED}"
    domain.now = end
    with domain.db.read() as session:
        while service.due(session, end, limit=1):
            domain.tick()
            session.rollback()
    rows = 0
    for zone, schedule in made.items():
        wanted = list(takewhile(lambda due: due <= end, Cron(CRONS[zone], zone).after(NOW)))
        runs = _runs(domain, schedule)
        assert [run.due_at for run in runs] == wanted, f"{zone}, seed {SEED}"
        assert {run.outcome for run in runs} == {"submitted"}
        assert len({run.job for run in runs}) == len(runs) >= 103
        rows += len(runs)
    assert _trained(domain) == rows, f"seed {SEED}"


@pytest.mark.parametrize(
    ("catch_up", "submitted", "missed"), [("all", 72, 0), ("latest", 1, 71), ("none", 0, 72)]
)
def test_after_three_days_without_a_scheduler(
    domain: Domain, catch_up: str, submitted: int, missed: int
) -> None:
    schedule = _create(domain, cron="0 * * * *", timezone="UTC", catch_up=catch_up)
    domain.now = datetime(2027, 1, 2, 5, tzinfo=UTC)
    domain.tick()
    # What passed before the first tick counts as an outage too: 04:00; 05:00 itself is on time.
    before = ["submitted" if catch_up == "all" else "missed", "submitted"]
    assert _outcomes(domain, schedule) == before
    domain.tick(3 * 24 * 3600 + 1800)
    while len(_runs(domain, schedule)) < 74:
        domain.tick(1)
    during = _runs(domain, schedule)[2:]
    assert [run.due_at for run in during] == [
        datetime(2027, 1, 2, 6, tzinfo=UTC) + hour * HOUR for hour in range(72)
    ]
    assert [run.outcome for run in during] == ["missed"] * missed + ["submitted"] * submitted
    assert all((run.reason is None) == (run.outcome == "submitted") for run in during)
    domain.now = datetime(2027, 1, 5, 6, 0, 9, tzinfo=UTC)
    domain.tick()
    assert _outcomes(domain, schedule)[74:] == ["submitted"]


def test_none_makes_good_for_nothing_that_is_late(domain: Domain) -> None:
    schedule = _create(domain, catch_up="none")
    domain.tick(3610)
    domain.tick(3601)
    assert _outcomes(domain, schedule) == ["submitted", "missed"]


def test_a_long_outage_is_caught_up_some_at_a_tick(domain: Domain) -> None:
    every = _create(domain, every_s=60, catch_up="all")
    newest = _create(domain, every_s=60, catch_up="latest")
    other = _create(domain, every_s=24 * 3600)
    domain.tick(24 * 3600)
    assert len(_runs(domain, every)) == service.MOST_JOBS
    assert len(_runs(domain, newest)) == service.MOST_RUNS
    assert _outcomes(domain, other) == ["submitted"]
    for _ in range(2):
        domain.tick()
    assert len(_runs(domain, every)) == 3 * service.MOST_JOBS
    assert _outcomes(domain, newest) == ["missed"] * 1439 + ["submitted"]


def test_overlap_skip_waits_for_the_job_before_and_queue_does_not(domain: Domain) -> None:
    skips, queues = (_create(domain, overlap=overlap) for overlap in ("skip", "queue"))
    domain.tick(3600)
    domain.tick(3600)
    assert _outcomes(domain, skips) == ["submitted", "skipped"]
    assert _outcomes(domain, queues) == ["submitted", "submitted"]
    first, skipped = _runs(domain, skips)
    assert first.job in (skipped.reason or "")
    _end(domain, first.job)
    domain.tick(3600)
    assert _outcomes(domain, skips) == ["submitted", "skipped", "submitted"]


def test_all_after_an_outage_still_skips_what_overlaps(domain: Domain) -> None:
    schedule = _create(domain, overlap="skip", catch_up="all")
    domain.tick(5 * 3600)
    assert _outcomes(domain, schedule) == ["submitted"] + ["skipped"] * 4


def test_a_bare_name_means_the_latest_version_when_it_fires(domain: Domain) -> None:
    schedule = _create(domain, job={"spec": TRAIN | {"dataset": "iris"}})
    domain.tick(3600)
    domain.upload("iris", "other content")
    lease = domain.claim(lane="light")
    assert lease is not None
    domain.ingest(lease)
    domain.tick(3600)
    specs = [domain.job(run.job or "").spec["dataset"] for run in _runs(domain, schedule)]
    assert specs == ["iris@1", "iris@2"]


def test_a_pause_and_another_rule_give_up_what_has_not_fired(domain: Domain) -> None:
    paused, changed, renamed = (_create(domain, catch_up="all") for _ in range(3))
    domain.now += 3 * HOUR
    _change(domain, paused, enabled=False)
    _change(domain, changed, every_s=60)
    _change(domain, renamed, name="still there")
    domain.tick()
    assert _outcomes(domain, paused) == ["missed"] * 3
    assert _outcomes(domain, changed) == ["missed"] * 3
    assert _outcomes(domain, renamed) == ["submitted"] * 3
    domain.now += HOUR / 2
    _change(domain, paused, enabled=True)
    domain.tick(1800)
    assert _outcomes(domain, paused)[3:] == ["submitted"]


def test_a_clock_that_goes_back_fires_nothing_again(domain: Domain, caplog: pytest.LogCaptureFixture) -> None:
    schedule = _create(domain, cron="0 * * * *", catch_up="all")
    domain.tick(5 * 3600)
    before = [run.due_at for run in _runs(domain, schedule)]
    domain.now -= 4 * HOUR
    _change(domain, schedule, timezone="Etc/GMT")
    domain.tick(5 * 3600)
    after = [run.due_at for run in _runs(domain, schedule)]
    assert len(before) == 5
    assert after == [*before, before[-1] + HOUR]
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_a_schedule_that_cannot_be_read_holds_up_no_other(
    domain: Domain, caplog: pytest.LogCaptureFixture
) -> None:
    broken, sound = _create(domain), _create(domain)
    with domain.db.transaction() as session:
        session.get_one(Schedule, broken).job = {}
    domain.tick(3600)
    assert _outcomes(domain, broken) == []
    assert _outcomes(domain, sound) == ["submitted"]
    assert broken in caplog.text


def test_a_quota_that_is_used_up_is_a_failed_run(domain: Domain) -> None:
    schedule = _create(domain)
    domain.project("default", max_queued=0)
    jobs = _trained(domain)
    domain.tick(3600)
    (run,) = _runs(domain, schedule)
    assert (run.outcome, run.job) == ("failed", None)
    assert run.reason
    assert _trained(domain) == jobs


def test_a_trigger_takes_no_due_time(domain: Domain) -> None:
    schedule = _create(domain)
    domain.now = NOW + HOUR
    for _ in range(2):
        with domain.db.transaction() as session:
            row = service.schedule(session, "default", schedule, lock=True)
            service.trigger(session, row, by="key_1", now=domain.now)
    domain.tick()
    runs = _runs(domain, schedule)
    assert [run.triggered_by for run in runs] == ["key_1", "key_1", None]
    assert runs[2].due_at == NOW + HOUR


def test_the_schema_refuses_a_second_row_for_a_due_time(domain: Domain) -> None:
    schedule = _create(domain)
    row = {"schedule": schedule, "due_at": NOW, "fired_at": NOW, "outcome": "missed"}
    with pytest.raises(IntegrityError), domain.db.transaction() as session:
        session.execute(insert(ScheduleRun), [row | {"id": "run_1"}, row | {"id": "run_2"}])


def test_nothing_is_due_before_its_time(domain: Domain) -> None:
    schedule = _create(domain)
    with domain.db.read() as session:
        assert service.due(session, NOW + HOUR, limit=10) == [schedule]
        assert service.due(session, NOW + HOUR - timedelta(microseconds=1), limit=10) == []
    domain.tick(3599)
    assert _runs(domain, schedule) == []


def test_what_runs_at_every_tick_reads_by_index(domain: Domain) -> None:
    """At row one million as at row one: the plans are the database's own, over tables worth an index."""
    schedule = _create(domain, overlap="skip")
    with domain.db.read() as session:
        row = session.get_one(Schedule, schedule)
        other = {column.name: getattr(row, column.name) for column in Schedule.__table__.columns}
    paused = {"enabled": False, "next_due_at": None}
    minutes = [NOW - n * timedelta(minutes=1) for n in range(3_000)]
    with domain.db.transaction() as session:
        session.execute(insert(Schedule), [other | paused | {"id": f"sch_{n}"} for n in range(2_000)])
        missed = {"schedule": schedule, "fired_at": NOW, "outcome": "missed"}
        session.execute(
            insert(ScheduleRun),
            [missed | {"id": f"run_0{n:04}", "due_at": at} for n, at in enumerate(minutes)],
        )
    with domain.db.engine.begin() as connection:
        connection.execute(text("ANALYZE"))
    sent: list[tuple[str, Any]] = []

    def record(_c: Any, _cursor: Any, statement: str, values: Any, _context: Any, _many: bool) -> None:
        if "FROM schedule" in statement:
            sent.append((statement, values))

    event.listen(domain.db.engine, "before_cursor_execute", record)
    domain.tick(3600)
    domain.tick(3600)
    with domain.db.read() as session:
        service.runs(session, session.get_one(Schedule, schedule), limit=5)
    event.remove(domain.db.engine, "before_cursor_execute", record)
    assert _outcomes(domain, schedule)[-2:] == ["submitted", "skipped"]
    explain = "EXPLAIN " if domain.db.engine.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN "
    assert len(sent) > 6
    with domain.db.engine.connect() as connection:
        for statement, values in sent:
            plan = [str(line[-1]) for line in connection.exec_driver_sql(explain + statement, values)]
            assert not [
                line for line in plan if re.search(r"Seq Scan on schedule|SCAN schedule\w*$", line)
            ], statement
