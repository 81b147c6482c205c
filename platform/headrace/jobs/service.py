"""Jobs as people use them: submit, look at, retry. Cancelling is `transitions.request_cancel`."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from headrace.access import audit, quotas
from headrace.access.tables import Project
from headrace.datasets import service as datasets
from headrace.db import new_id
from headrace.errors import Conflict, Forbidden, NotFound
from headrace.jobs import checkpoints, coordinators, dependencies, transitions
from headrace.jobs.dependencies import Checked
from headrace.jobs.states import State
from headrace.jobs.tables import Job
from headrace.registry import uploads
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
    checked = check(session, row, request)
    quotas.check_queued(session, row)
    job = Job(
        id=new_id("job", now),
        project=project,
        kind=request.kind,
        name=request.name,
        priority=request.priority,
        queue=request.queue,
        lane=checked.lane,
        spec=checked.spec,
        tags=dict(request.tags),
        depends_on=list(request.depends_on),
        model=checked.model,
        dataset=checked.dataset,
        max_attempts=request.max_attempts,
        timeout_s=request.timeout_s,
        created_by=created_by,
        retry_of=retry_of,
    )
    action = "job.submit" if retry_of is None else "job.retry"
    audit.record(session, action, project=project, object=job.id, now=now, kind=job.kind, retry_of=retry_of)
    return transitions.create(session, job, waiting=checked.waits, now=now)


def check(session: Session, project: Project, request: JobRequest) -> Checked:
    """Return the spec that a job of ``request`` would have now, and whether it would have to wait.

    Raises `Invalid` and `Forbidden`, as `submit` does.
    """
    if request.priority > project.max_priority:
        raise Forbidden(f"priority {request.priority} is above this project's cap of {project.max_priority}")
    return dependencies.check(session, project.name, request)


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

    With ``resume`` it goes on from the last checkpoint of the old one, where that left any; a coordinator
    takes over the parts that the old one got done.
    """
    old = job(session, project, job_id)
    if old.state not in (State.FAILED, State.CANCELLED):
        raise Conflict(f"{old.id} is {old.state}; only a failed or cancelled job can be retried")
    if old.parent is not None:
        raise Conflict(f"{old.id} is a part of {old.parent}; that is what can be retried")
    if old.kind == "ingest":
        return datasets.ingest_again(session, old, created_by=created_by, now=now)
    if old.kind == "upload":
        return uploads.upload_again(session, old, created_by=created_by, now=now)
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
        coordinators.take_over(session, old, new)
    return new
