"""Jobs as people use them: submit, look at, retry. Cancelling is `transitions.request_cancel`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from headrace.access import audit, quotas
from headrace.access.tables import Project
from headrace.datasets import service as datasets
from headrace.db import new_id
from headrace.errors import Conflict, FieldError, Forbidden, Invalid, NotFound
from headrace.jobs import checkpoints, kinds, transitions
from headrace.jobs.states import State
from headrace.jobs.tables import Job
from headrace.specs.algorithms import field_errors
from headrace.specs.base import Spec
from headrace.specs.jobs import JobRequest


def submit(
    session: Session,
    *,
    project: str,
    request: JobRequest,
    created_by: str | None,
    now: datetime,
    retry_of: str | None = None,
) -> Job:
    """Return the new job, its spec checked in full; a job that must wait is checked as far as possible.

    Raises `Invalid` for whatever is wrong in ``request``, `Forbidden` for a priority above the project's
    cap, `Limited` when the project's quota of queued jobs is used up.
    """
    row = session.get_one(Project, project, with_for_update={"key_share": True})
    resolved, waits = check(session, row, request)
    quotas.check_queued(session, row)
    job = Job(
        id=new_id("job"),
        project=project,
        kind=request.kind,
        name=request.name,
        priority=request.priority,
        queue=request.queue,
        lane=kinds.kind(request.kind).LANE,
        spec=resolved.spec.model_dump(mode="json"),
        tags=dict(request.tags),
        depends_on=list(request.depends_on),
        model=resolved.model,
        dataset=resolved.dataset,
        max_attempts=request.max_attempts,
        timeout_s=request.timeout_s,
        created_by=created_by,
        retry_of=retry_of,
    )
    action = "job.submit" if retry_of is None else "job.retry"
    audit.record(session, action, project=project, object=job.id, now=now, kind=job.kind, retry_of=retry_of)
    return transitions.create(session, job, waiting=waits, now=now)


def check(session: Session, project: Project, request: JobRequest) -> tuple[kinds.Resolved, bool]:
    """Return the resolved spec that a job of ``request`` would have now, and whether it would have to wait.

    Raises `Invalid` and `Forbidden`, as `submit` does.
    """
    if request.priority > project.max_priority:
        raise Forbidden(f"priority {request.priority} is above this project's cap of {project.max_priority}")
    kind = kinds.kind(request.kind)
    spec = _read_spec(kind.Spec, request.spec)
    # A waiting job's refs may name what its dependencies have yet to make.
    if _must_wait(session, project.name, request.depends_on):
        return kinds.Resolved(spec=spec), True
    return kind.resolve(session, project.name, spec), False


def job(session: Session, project: str, job_id: str) -> Job:
    """Return one job of ``project``. Raises `NotFound`."""
    found = session.scalar(select(Job).where(Job.project == project, Job.id == job_id))
    if found is None:
        raise NotFound(f"there is no job {job_id[:100]!r}")
    return found


def retry(
    session: Session,
    *,
    project: str,
    job_id: str,
    created_by: str | None,
    now: datetime,
    resume: bool = False,
) -> Job:
    """Return a new job that does again what a failed or cancelled one did. Raises `NotFound`, `Conflict`.

    With ``resume`` it goes on from the last checkpoint of the old one, where that left any.
    """
    old = job(session, project, job_id)
    if old.state not in (State.FAILED, State.CANCELLED):
        raise Conflict(f"{old.id} is {old.state}; only a failed or cancelled job can be retried")
    if old.kind == "ingest":
        return datasets.ingest_again(session, old, created_by=created_by, now=now)
    request = JobRequest.model_validate(
        {
            "kind": old.kind,
            "spec": old.spec,
            "name": old.name,
            "priority": old.priority,
            "queue": old.queue,
            "max_attempts": old.max_attempts,
            "timeout_s": old.timeout_s,
            "depends_on": old.depends_on,
            "tags": old.tags,
        }
    )
    new = submit(session, project=project, request=request, created_by=created_by, now=now, retry_of=old.id)
    if resume:
        checkpoints.inherit(session, old, new, now)
    return new


def unblocked(session: Session, waiting: Sequence[tuple[str, list[str]]]) -> list[str]:
    """Return which of ``waiting`` (id, ids of its dependencies) `advance_waiting` would move on."""
    needed = {dependency for _, depends_on in waiting for dependency in depends_on}
    rows = session.execute(select(Job.id, Job.state).where(Job.id.in_(needed)))
    states = {job_id: State(state) for job_id, state in rows}
    ended_badly = {State.FAILED, State.CANCELLED}
    return [
        job_id
        for job_id, depends_on in waiting
        if (found := {states[dependency] for dependency in depends_on}) & ended_badly
        or found == {State.SUCCEEDED}
    ]


def advance_waiting(session: Session, job: Job, now: datetime) -> None:
    """Move a waiting job on if its dependencies have ended. The caller has locked its row."""
    dependencies = session.scalars(select(Job).where(Job.id.in_(job.depends_on))).all()
    for dependency in dependencies:
        if dependency.state in (State.FAILED, State.CANCELLED):
            transitions.cancel_dependent(session, job, dependency=dependency, now=now)
            return
    if any(dependency.state != State.SUCCEEDED for dependency in dependencies):
        return
    kind = kinds.kind(job.kind)
    try:
        resolved = kind.resolve(session, job.project, _read_spec(kind.Spec, job.spec))
    except Invalid as problem:
        error = {"type": "Invalid", "message": problem.detail, "attempt": 0, "retryable": False}
        transitions.give_up(session, job, error=error, now=now)
        return
    job.model, job.dataset = resolved.model, resolved.dataset
    transitions.queue(session, job, spec=resolved.spec.model_dump(mode="json"), now=now)


def _read_spec(model: type[Spec], spec: dict[str, Any]) -> Spec:
    try:
        return model.model_validate(spec)
    except ValidationError as error:
        raise Invalid(field_errors(error, "spec")) from None


def _must_wait(session: Session, project: str, depends_on: list[str]) -> bool:
    there = {
        found.id: found.state
        for found in session.scalars(select(Job).where(Job.project == project, Job.id.in_(depends_on)))
    }
    wrong = []
    for index, job_id in enumerate(depends_on):
        if job_id not in there:
            wrong.append(FieldError(loc=("depends_on", index), msg=f"there is no job {job_id[:100]!r}"))
        elif there[job_id] in (State.FAILED, State.CANCELLED):
            wrong.append(FieldError(loc=("depends_on", index), msg=f"{job_id} has {there[job_id]} already"))
    if wrong:
        raise Invalid(wrong)
    return any(state != State.SUCCEEDED for state in there.values())
