"""Clients, workers and the scheduler, interleaved at random; some workers are zombies that write with leases
that they have lost. A model in Python says what each step should come to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine
from sqlalchemy import select

from domain import BACKOFF, LEASE_S, TRAIN, Domain
from headrace.db import Database
from headrace.errors import Conflict, Invalid, LeaseLost
from headrace.jobs import leases, transitions
from headrace.jobs.events import Event
from headrace.jobs.leases import Lease
from headrace.jobs.states import FINAL, NEXT, State
from headrace.jobs.tables import Job, JobEvent
from headrace.registry.tables import ModelVersion


@dataclass
class Expected:
    """What the model knows of a job."""

    state: State
    max_attempts: int
    depends_on: list[str]
    attempt: int = 0
    failures: int = 0
    cancel_requested: bool = False
    parent: str | None = None
    coordinates: bool = False
    lease: Lease | None = None
    leases: list[Lease] = field(default_factory=list)


TRIALS = 2
TUNE = {
    "train": TRAIN,
    "space": {"params.batch_size": {"choices": [8, 16]}},
    "metric": "val_accuracy",
    "sampler": "grid",
    "parallel": 1,
}
"""Two trials, one after the other."""


class Jobs(RuleBasedStateMachine):
    database: Database

    @initialize()
    def begin(self) -> None:
        self.domain = Domain(self.database)
        self.domain.clear()
        self.jobs: dict[str, Expected] = {}

    def _lease(self, pick: int) -> Lease:
        given = [lease for job in self.jobs.values() for lease in job.leases]
        return given[pick % len(given)]

    def _any_lease(self) -> bool:
        return any(job.leases for job in self.jobs.values())

    def _with(self, lease: Lease, act: Callable[[], Any]) -> Expected | None:
        """Do ``act``; return the job if the lease is in force, else check that nothing was done."""
        job = self.jobs[lease.job]
        if job.lease == lease:
            act()
            return job
        before = self.domain.dump()
        try:
            act()
        except LeaseLost:
            assert self.domain.dump() == before
            return None
        raise AssertionError(f"{lease} was accepted; in force is {job.lease}")

    def _end(self, job: Expected, state: State) -> None:
        job.state, job.lease = state, None
        if job.coordinates and state != State.SUCCEEDED:
            for part in self._parts(job):
                if part.state not in FINAL:
                    self._stop(part)

    def _parts(self, job: Expected) -> list[Expected]:
        return [part for part in self.jobs.values() if part.parent and self.jobs[part.parent] is job]

    def _stop(self, job: Expected) -> None:
        job.cancel_requested = True
        if job.state != State.RUNNING or job.coordinates:
            self._end(job, State.CANCELLED)

    def _failed(self, job: Expected, retryable: bool) -> None:
        if job.cancel_requested:
            self._end(job, State.CANCELLED)
            return
        job.failures += 1
        self._end(job, State.QUEUED if retryable and job.failures < job.max_attempts else State.FAILED)

    @rule(
        priority=st.integers(0, 9),
        max_attempts=st.integers(1, 3),
        depends=st.lists(st.integers(0, 99), max_size=2),
    )
    def submit(self, priority: int, max_attempts: int, depends: list[int]) -> None:
        known = list(self.jobs)
        depends_on = [known[pick % len(known)] for pick in depends] if known else []
        states = {self.jobs[job].state for job in depends_on}
        try:
            made = self.domain.submit(priority=priority, max_attempts=max_attempts, depends_on=depends_on)
        except Invalid:
            assert states & {State.FAILED, State.CANCELLED}
            return
        assert not states & {State.FAILED, State.CANCELLED}
        waits = bool(states - {State.SUCCEEDED})
        self.jobs[made] = Expected(State.WAITING if waits else State.QUEUED, max_attempts, depends_on)

    @rule(max_attempts=st.integers(1, 2))
    def submit_tune(self, max_attempts: int) -> None:
        made = self.domain.submit(kind="tune", spec=TUNE, max_attempts=max_attempts, timeout_s=100)
        self.jobs[made] = Expected(State.QUEUED, max_attempts, [], coordinates=True)

    @rule(worker=st.sampled_from(["a", "b", "c"]))
    def claim(self, worker: str) -> None:
        lease = self.domain.claim(worker)
        if lease is None:
            with self.database.read() as session:
                due = Job.available_at <= self.domain.now
                claimable = select(Job).where(Job.state == State.QUEUED, Job.lane == "heavy", due)
                assert not session.scalars(claimable).all()
            return
        job = self.jobs[lease.job]
        assert job.state == State.QUEUED
        job.state, job.lease, job.attempt = State.RUNNING, lease, job.attempt + 1
        job.leases.append(lease)
        assert lease.attempt == job.attempt

    @precondition(_any_lease)
    @rule(pick=st.integers(0, 99), fraction=st.floats(0, 1))
    def renew(self, pick: int, fraction: float) -> None:
        lease = self._lease(pick)
        progress = Event("progress", {"fraction": fraction, "message": "on"})

        def act() -> None:
            cancel = self.domain.do(
                leases.renew, lease, now=self.domain.now, lease_s=LEASE_S, happened=[progress]
            )
            assert cancel == self.jobs[lease.job].cancel_requested

        self._with(lease, act)

    @precondition(_any_lease)
    @rule(pick=st.integers(0, 99))
    def succeed(self, pick: int) -> None:
        lease = self._lease(pick)
        job = self.jobs[lease.job]
        if job.lease == lease and job.cancel_requested:
            before = self.domain.dump()
            try:
                self.domain.commit(lease)
            except Conflict:
                assert self.domain.dump() == before
                return
            raise AssertionError("a job succeeded that was being cancelled")
        if self._with(lease, lambda: self.domain.commit(lease)):
            self._end(job, State.SUCCEEDED)

    @precondition(_any_lease)
    @rule(pick=st.integers(0, 99), retryable=st.booleans())
    def fail(self, pick: int, retryable: bool) -> None:
        lease = self._lease(pick)
        if job := self._with(lease, lambda: self.domain.fail(lease, retryable=retryable)):
            self._failed(job, retryable)

    @precondition(_any_lease)
    @rule(pick=st.integers(0, 99))
    def hand_back(self, pick: int) -> None:
        lease = self._lease(pick)
        if job := self._with(
            lease, lambda: self.domain.do(transitions.hand_back, lease, now=self.domain.now)
        ):
            self._end(job, State.CANCELLED if job.cancel_requested else State.QUEUED)

    @precondition(lambda self: any(job.cancel_requested and job.leases for job in self.jobs.values()))
    @rule(pick=st.integers(0, 99))
    def give_up_as_asked(self, pick: int) -> None:
        asked = [lease for job in self.jobs.values() if job.cancel_requested for lease in job.leases]
        lease = asked[pick % len(asked)]
        if job := self._with(lease, lambda: self.domain.do(transitions.cancel, lease, now=self.domain.now)):
            self._end(job, State.CANCELLED)

    @precondition(lambda self: self.jobs)
    @rule(pick=st.integers(0, 99))
    def request_cancel(self, pick: int) -> None:
        chosen = list(self.jobs)[pick % len(self.jobs)]
        job = self.jobs[chosen]
        try:
            self.domain.cancel(chosen)
        except Conflict:
            assert job.state in FINAL
            return
        assert job.state not in FINAL
        self._stop(job)

    @rule(after_s=st.sampled_from([0.0, 1.0, 10.0, 16.0, 61.0]))
    def tick(self, after_s: float) -> None:
        expires = {name: self.domain.job(name).lease_expires_at for name in self.jobs}
        self.domain.tick(after_s)
        for name, job in self.jobs.items():
            ends = expires[name]
            if job.state == State.RUNNING and ends is not None and ends < self.domain.now:
                self._failed(job, retryable=True)
        for job in self.jobs.values():  # in the order of submission, as `tick` goes
            if job.state == State.WAITING:
                states = {self.jobs[other].state for other in job.depends_on}
                if states & {State.FAILED, State.CANCELLED}:
                    self._end(job, State.CANCELLED)
                elif states == {State.SUCCEEDED}:
                    self._end(job, State.QUEUED)
        for name, job in list(self.jobs.items()):
            if job.coordinates and job.state == State.QUEUED:
                job.state, job.attempt = State.RUNNING, 1
            if job.coordinates and job.state == State.RUNNING:
                self._coordinate(name, job)

    def _coordinate(self, name: str, job: Expected) -> None:
        """The parts run one after another; the first that ends badly is the end."""
        states = [part.state for part in self._parts(job)]
        if {State.FAILED, State.CANCELLED} & set(states):
            job.failures += 1
            self._end(job, State.FAILED)
        elif states == [State.SUCCEEDED] * TRIALS:
            self._end(job, State.SUCCEEDED)
        elif set(states) <= {State.SUCCEEDED}:
            with self.database.read() as session:
                made = select(Job.id).where(Job.parent == name, Job.part == f"trial {len(states)}")
                part = session.scalars(made).one()
            self.jobs[part] = Expected(State.QUEUED, job.max_attempts, [], parent=name)

    @invariant()
    def database_agrees_with_the_model(self) -> None:
        if not hasattr(self, "jobs"):
            return
        with self.database.read() as session:
            rows = {row.id: row for row in session.scalars(select(Job).where(Job.kind != "ingest"))}
            effects = list(session.scalars(select(ModelVersion.job)))
            events: dict[str, list[JobEvent]] = {name: [] for name in rows}
            for event in session.scalars(select(JobEvent).order_by(JobEvent.job, JobEvent.seq)):
                events.setdefault(event.job, []).append(event)
        assert rows.keys() == self.jobs.keys()
        for name, job in self.jobs.items():
            row = rows[name]
            assert (row.state, row.attempt, row.failures, row.cancel_requested) == (
                job.state,
                job.attempt,
                job.failures,
                job.cancel_requested,
            )
            if job.coordinates:
                assert (row.lease_token is not None) == (job.state == State.RUNNING)
            else:
                assert row.lease_token == (job.lease.token if job.lease else None)
            assert row.parent == job.parent
            self._story_is_legal(row, events[name])
        succeeded = [
            name for name, job in self.jobs.items() if job.state == State.SUCCEEDED and not job.parent
        ]
        assert sorted(effects) == sorted(succeeded)

    def _story_is_legal(self, row: Job, events: list[JobEvent]) -> None:
        assert [event.seq for event in events] == list(range(1, row.event_seq + 1))
        attempts = [event.attempt for event in events]
        assert attempts == sorted(attempts)
        states = [State(event.data["state"]) for event in events if event.type == "state"]
        assert states[0] in (State.WAITING, State.QUEUED)
        assert states[-1] == row.state
        for before, after in pairwise(states):
            assert after in NEXT[before]
        assert states.count(State.RUNNING) == row.attempt
        assert all(event.type == "state" or event.attempt > 0 for event in events)

    def teardown(self) -> None:
        """Once faults stop, every job comes to an end."""
        if not hasattr(self, "jobs"):
            return
        for _ in range(100):
            while lease := self.domain.claim("healthy"):
                self.domain.commit(lease)
            if all(self.domain.job(name).state in FINAL for name in self.jobs):
                return
            self.domain.now += timedelta(seconds=LEASE_S + BACKOFF.max_s)
            self.domain.tick()
        raise AssertionError("some jobs never end")


def test_any_order_of_steps_keeps_the_invariants(domain: Domain) -> None:
    machine = type("Machine", (Jobs,), {"database": domain.db})
    # One database serves all examples, each of which empties it first.
    run_machine(
        machine,
        settings=settings(
            max_examples=8,
            stateful_step_count=35,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
