"""Jobs: what their events tell of their lives, and whether their ends and their effects agree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from headrace.access.tables import Audit
from headrace.artifacts.tables import Artifact
from headrace.datasets.tables import DatasetVersion
from headrace.fsck.finding import Finding
from headrace.jobs.states import FINAL, NEXT, State
from headrace.jobs.tables import Job, JobEvent
from headrace.registry.tables import ModelVersion

PAGE = 200
_ADVICE = "report this with the job's events (headrace job --json): it should not be possible"
_OF_THE_JOB = {"predict": "output", "evaluate": "evaluation", "explain": "explanation"}


def page(session: Session, after: str) -> tuple[list[Finding], str | None]:
    """Check the jobs that follow ``after``; return what is wrong, and the last of them, None at the end."""
    jobs = session.scalars(select(Job).where(Job.id > after).order_by(Job.id).limit(PAGE)).all()
    events: dict[str, list[JobEvent]] = {job.id: [] for job in jobs}
    query = select(JobEvent).where(JobEvent.job.in_(events), JobEvent.type == "state")
    for event in session.scalars(query.order_by(JobEvent.job, JobEvent.seq)):
        events[event.job].append(event)
    found = [
        Finding("error", "job", job.id, message, _ADVICE)
        for job in jobs
        for message in (*history(job, events[job.id]), *_effect(session, job))
    ]
    return found, jobs[-1].id if len(jobs) == PAGE else None


def history(job: Job, events: Sequence[JobEvent]) -> Iterator[str]:
    """Say what is wrong with ``events``, the changes of the state of ``job`` in their order."""
    state: State | None = None
    attempt = 0
    for event in events:
        to = State(event.data["state"])
        if state is None and to not in (State.WAITING, State.QUEUED):
            yield f"began {to}"
        if state is not None and to not in NEXT[state]:
            yield f"went from {state} to {to}"
        if to == State.RUNNING and event.attempt != attempt + 1:
            yield f"attempt {event.attempt} came after attempt {attempt}"
        if to != State.RUNNING and event.attempt != attempt:
            yield f"attempt {event.attempt} became {to} while the last to start was {attempt}"
        state, attempt = to, max(attempt, event.attempt)
    if state != job.state:
        yield f"is {job.state}, and its last event says {state}"
    if attempt != job.attempt:
        yield f"counts {job.attempt} attempts, and {attempt} were started"
    if events and events[-1].seq > job.event_seq:
        yield f"has event {events[-1].seq}, and counts {job.event_seq}"
    if job.failures > job.max_attempts:
        yield f"failed {job.failures} times, and {job.max_attempts} were allowed"


def _effect(session: Session, job: Job) -> Iterator[str]:
    """Say where ``job`` succeeded without its effect, or has one without success. A deletion leaves a trace
    in the audit log; nothing else takes an effect away.
    """
    succeeded = job.state == State.SUCCEEDED
    if job.kind in _OF_THE_JOB:
        has = session.get(Artifact, (job.id, _OF_THE_JOB[job.kind])) is not None
        if has != succeeded:
            yield f"is {job.state} and has {'its' if has else 'no'} {_OF_THE_JOB[job.kind]}"
    elif job.kind in ("train", "tune") and job.parent is None:
        made = session.scalar(select(ModelVersion).where(ModelVersion.job == job.id))
        if made is not None and not succeeded:
            yield f"is {job.state} and has made a version"
        elif made is None and succeeded and not _is_deleted(session, job, "model"):
            yield "succeeded, and the version that it made is not there"
    elif job.kind == "ingest" and State(job.state) in FINAL:
        version = session.scalar(select(DatasetVersion).where(DatasetVersion.job == job.id))
        if version is not None and (version.columns is not None) != succeeded:
            yield f"is {job.state}, and its version is {'ready' if version.columns else 'not ready'}"
        elif version is None and succeeded and not _is_deleted(session, job, "dataset"):
            yield "succeeded, and the version that it made is not there"


def _is_deleted(session: Session, job: Job, what: str) -> bool:
    """Return whether the version that ``job`` made was deleted on request."""
    result = job.result or {}
    name = result.get(what, job.spec.get(what))
    number = result.get("version", job.spec.get("version"))
    act = exists().where(
        Audit.project == job.project, Audit.action == f"{what}.delete", Audit.object == f"{name}@{number}"
    )
    return bool(session.scalar(select(act)))
