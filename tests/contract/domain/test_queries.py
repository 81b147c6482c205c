"""Lists of jobs: each filter finds what it should, pages join."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from domain import LEASE_S, NOW, TRAIN, Domain
from headrace import paging
from headrace.jobs import leases, queries
from headrace.jobs.events import Event
from headrace.jobs.queries import JobFilter


def _found(domain: Domain, wanted: JobFilter, project: str = "default") -> list[str]:
    with domain.db.read() as session:
        found, cursor = [], None
        while True:
            page = queries.jobs(session, project, wanted, limit=2, cursor=cursor)
            found += [job.name for job in page.items if job.kind == "train"]
            cursor = page.next_cursor
            if cursor is None:
                return found


def test_each_filter_finds_its_jobs_newest_first(domain: Domain) -> None:
    domain.project("other")
    domain.submit(name="first", queue="gpu", tags={"team": "vision", "a": "b"})
    domain.now += timedelta(minutes=1)
    domain.submit(name="second 100%", tags={"team": "Vision"}, spec=TRAIN | {"model": "m2"})
    domain.now += timedelta(minutes=1)
    third = domain.submit(name="Third_x", tags={"team": "vision"})
    domain.cancel(third)
    every = ["Third_x", "second 100%", "first"]
    for wanted, names in [
        (JobFilter(), every),
        (JobFilter(kind="train"), every),
        (JobFilter(dataset="iris"), every),
        (JobFilter(state="queued"), every[1:]),
        (JobFilter(state="cancelled"), ["Third_x"]),
        (JobFilter(queue="gpu"), ["first"]),
        (JobFilter(model="m2"), ["second 100%"]),
        (JobFilter(tag=("team", "vision")), ["Third_x", "first"]),
        (JobFilter(tag=("team", "vision"), state="queued"), ["first"]),
        (JobFilter(tag=("team", "b")), []),
        (JobFilter(q="third"), ["Third_x"]),
        (JobFilter(q="0%"), ["second 100%"]),
        (JobFilter(q="d_x"), ["Third_x"]),
        (JobFilter(q="_"), ["Third_x"]),
        (JobFilter(q="%"), ["second 100%"]),
        (JobFilter(q=third), ["Third_x"]),
        (JobFilter(q=third[:-1]), []),
        (JobFilter(created_after=NOW), every[:2]),
        (JobFilter(created_before=NOW + timedelta(minutes=2)), every[1:]),
    ]:
        assert _found(domain, wanted) == names, wanted
    assert _found(domain, JobFilter(), project="other") == []


def test_what_no_index_finds_is_looked_for_page_by_page(
    domain: Domain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page looks at so many jobs and may be short, or empty; together they have every job once."""
    monkeypatch.setattr(paging, "LOOKED_AT", 4)
    chance = random.Random(7)
    submitted = []
    for number in range(30):
        name = chance.choice(["needle", "hay", "hay"])
        tags = {"team": chance.choice(["red", "blue"])}
        spec = TRAIN | {"model": chance.choice(["m1", "m2"])}
        domain.submit(name=f"{name} {number}", tags=tags, spec=spec)
        submitted.insert(0, (f"{name} {number}", tags["team"], spec["model"]))
        domain.now += timedelta(seconds=30)
    with domain.db.read() as session:
        first = queries.jobs(session, "default", JobFilter(q="nothing like it"), limit=2)
    assert list(first.items) == []
    assert first.next_cursor is not None
    since = NOW + timedelta(minutes=5)
    for wanted, right in [
        (JobFilter(q="NEEDLE"), lambda name, team, model: "needle" in name),
        (JobFilter(q="nothing like it"), lambda name, team, model: False),
        (JobFilter(model="m1", state="queued"), lambda name, team, model: model == "m1"),
        (JobFilter(model="m1", state="succeeded"), lambda name, team, model: False),
        (JobFilter(tag=("team", "red"), q="hay"), lambda name, team, model: team == "red" and "hay" in name),
        (JobFilter(created_after=since), lambda name, team, model: int(name.split()[1]) > 10),
        (
            JobFilter(created_before=since, model="m2"),
            lambda name, team, model: int(name.split()[1]) < 10 and model == "m2",
        ),
    ]:
        assert _found(domain, wanted) == [job[0] for job in submitted if right(*job)], wanted


@pytest.mark.parametrize("moment", [datetime.min, datetime.max, datetime(1969, 7, 20), datetime(2600, 1, 1)])
def test_any_moment_can_be_asked_for(domain: Domain, moment: datetime) -> None:
    domain.submit(name="one")
    moment = moment.replace(tzinfo=UTC)
    assert _found(domain, JobFilter(created_after=moment)) == (["one"] if moment < NOW else [])
    assert _found(domain, JobFilter(created_before=moment)) == (["one"] if moment > NOW else [])


def test_what_happened_is_told_in_order_and_by_attempt(domain: Domain) -> None:
    lease = domain.running(max_attempts=3)
    for attempt in (1, 2):
        happened = [
            Event("metric", {"name": "loss", "step": 1, "value": attempt + 0.5}),
            Event("log", {"text": f"attempt {attempt}\n"}),
        ]
        domain.do(leases.renew, lease, now=domain.now, lease_s=LEASE_S, happened=happened)
        if attempt == 1:
            domain.fail(lease)
            domain.now += timedelta(minutes=2)
            again = domain.claim()
            assert again is not None
            lease = again
    job = domain.job(lease.job)
    with domain.db.read() as session:
        assert queries.metrics(session, job) == {"loss": [(1, 2.5)]}
        assert "".join(queries.log(session, job)) == "attempt 1\nattempt 2\n"
        assert "".join(queries.log(session, job, attempt=1)) == "attempt 1\n"
        page = queries.events(session, job, limit=3)
        rest = queries.events(session, job, limit=100, cursor=page.next_cursor)
    seen = [(event.seq, event.type) for event in [*page.items, *rest.items]]
    types = ["state", "state", "metric", "log", "state", "state", "metric", "log"]
    assert seen == list(enumerate(types, 1))
    assert rest.next_cursor is None


@pytest.mark.parametrize("fraction", [0.0, 1.0])
def test_a_success_shows_as_whole(domain: Domain, fraction: float) -> None:
    lease = domain.running()
    event = Event("progress", {"fraction": fraction, "message": "on"})
    domain.do(leases.renew, lease, now=domain.now, lease_s=LEASE_S, happened=[event])
    domain.commit(lease)
    assert domain.job(lease.job).fraction == 1.0
