"""I4 and I9, read from what is written of each job: legal transitions only, attempts that rise by one,
failures that are counted, and nothing from an attempt whose time is over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from chaos.violation import Violation
from headrace.artifacts.tables import Artifact
from headrace.jobs.states import FINAL, NEXT, State
from headrace.jobs.tables import Job, JobEvent


def check(session: Session) -> Iterator[Violation]:
    """Yield what is wrong with the histories of all jobs."""
    events: dict[str, list[JobEvent]] = {}
    for event in session.scalars(select(JobEvent).order_by(JobEvent.job, JobEvent.seq)):
        events.setdefault(event.job, []).append(event)
    for job in session.scalars(select(Job).order_by(Job.id)):
        for invariant, text in _one(job, events.get(job.id, [])):
            yield Violation(invariant, f"{job.id}: {text}", job.id)
    yield from _checkpoints(session)


def _one(job: Job, events: Sequence[JobEvent]) -> Iterator[tuple[str, str]]:
    if job.pruned_at is None and [event.seq for event in events] != list(range(1, job.event_seq + 1)):
        yield "I4", f"its {len(events)} events are not numbered 1 to {job.event_seq}"
    yield from _transitions(job, [event for event in events if event.type == "state"])
    yield from _superseded(events)
    told = Counter(
        (event.attempt, event.data["name"], event.data["step"]) for event in events if event.type == "metric"
    )
    for point, times in told.items():
        if times > 1:
            yield "I4", f"attempt %d told %s of step %d {times} times" % point


def _transitions(job: Job, events: Sequence[JobEvent]) -> Iterator[tuple[str, str]]:
    state: State | None = None
    attempt = failures = 0
    for event in events:
        to = State(event.data["state"])
        if state is None and to not in (State.WAITING, State.QUEUED):
            yield "I4", f"it began {to}"
        if state is not None and to not in NEXT[state]:
            yield "I4", f"it went from {state} to {to} (event {event.seq})"
        if to == State.RUNNING:
            if event.attempt != attempt + 1:
                yield "I4", f"attempt {event.attempt} came after attempt {attempt}"
            attempt = event.attempt
        elif event.attempt != attempt:
            yield "I4", f"event {event.seq} is of attempt {event.attempt}, the last to start was {attempt}"
        if state == State.RUNNING and "error" in event.data and to != State.CANCELLED:
            failures += 1
        state = to
    if state != job.state:
        yield "I4", f"it is {job.state}, its last event says {state}"
    if attempt != job.attempt:
        yield "I4", f"it counts {job.attempt} attempts, {attempt} were started"
    if failures != job.failures:
        yield "I9", f"it counts {job.failures} failures, its events tell of {failures}"
    if failures > job.max_attempts:
        yield "I9", f"{failures} attempts failed, {job.max_attempts} were allowed"
    if job.state == State.FAILED and job.error and job.error["retryable"] and failures < job.max_attempts:
        yield "I9", f"it failed for good after {failures} of {job.max_attempts} attempts"


def _superseded(events: Sequence[JobEvent]) -> Iterator[tuple[str, str]]:
    state, running = None, 0
    for event in events:
        if event.type == "state":
            state = State(event.data["state"])
            running = event.attempt if state == State.RUNNING else running
        elif state != State.RUNNING or event.attempt != running:
            yield (
                "I4",
                f"event {event.seq} ({event.type}) was written by attempt {event.attempt} while {state}",
            )


def _checkpoints(session: Session) -> Iterator[Violation]:
    """A succeeded job has released its checkpoints: one that is there was written after its end."""
    late = (
        select(Job.id)
        .join(Artifact, Artifact.owner == Job.id)
        .where(Job.state == State.SUCCEEDED, Artifact.name.in_(("checkpoint", "checkpoint-before")))
    )
    for job_id in session.scalars(late.distinct()):
        yield Violation("I4", f"{job_id}: a checkpoint was kept after it had succeeded", job_id)


def story(session: Session, job_id: str) -> str:
    """Return what happened to a job, for people: a line for each of its states, and how it stands."""
    job = session.get(Job, job_id)
    if job is None:
        return f"{job_id}: there is no such job"
    query = select(JobEvent).where(JobEvent.job == job_id, JobEvent.type == "state").order_by(JobEvent.seq)
    lines = [f"  {event.seq:4} {event.at:%H:%M:%S.%f} {event.data}" for event in session.scalars(query)]
    stands = f"{job.state}, attempt {job.attempt}, {job.failures} failures, worker {job.worker}"
    if State(job.state) not in FINAL:
        stands += f", available at {job.available_at:%H:%M:%S}, lease until {job.lease_expires_at}"
    return "\n".join([f"{job.id} ({job.kind} {job.spec.get('algorithm', '')}, {job.tags}): {stands}", *lines])
