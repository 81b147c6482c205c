"""Versions that were not trained here: networks from uploaded ``.keras`` files, to start from.

An upload is stored as it comes and read by a job alone, which takes the network apart, checks it and writes
it anew; the version appears when that job succeeds. Such a version is a *backbone*: it has no columns and no
target, so it cannot predict, but a train job can name it as its ``base``.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from headrace.access import audit, quotas
from headrace.access.tables import Project
from headrace.artifacts import service as artifacts
from headrace.artifacts.store import Stored
from headrace.db import new_id
from headrace.errors import Conflict
from headrace.jobs import transitions
from headrace.jobs.tables import Job
from headrace.registry.service import BACKBONE, numbered
from headrace.registry.tables import ModelVersion
from headrace.specs.jobs import UploadSpec

SOURCE = "source"
PRIORITY = 5
ATTEMPTS = 3
TIMEOUT_S = 3600


def upload(
    session: Session,
    *,
    project: str,
    name: str,
    file: Stored,
    filename: str | None,
    created_by: str | None,
    queue: str = "default",
    retry_of: str | None = None,
    now: datetime,
) -> Job:
    """Return the job that makes a version of the model ``name`` of the stored ``file``.

    Raises `Limited` when the project's quota of stored bytes or of queued jobs is used up.
    """
    owner = session.get_one(Project, project, with_for_update={"key_share": True})
    quotas.check_queued(session, owner)
    if retry_of is None:
        quotas.check_stored(session, owner, file.size_bytes)
    spec = UploadSpec(model=name, digest=file.digest, size_bytes=file.size_bytes, filename=filename)
    job = Job(
        id=new_id("job", now),
        project=project,
        kind="upload",
        name=f"upload {name}",
        priority=min(PRIORITY, owner.max_priority),
        queue=queue,
        lane="heavy",
        spec=spec.model_dump(mode="json"),
        tags={},
        depends_on=[],
        model=name,
        max_attempts=ATTEMPTS,
        timeout_s=TIMEOUT_S,
        created_by=created_by,
        retry_of=retry_of,
    )
    transitions.create(session, job, waiting=False, now=now)
    artifacts.attach(session, project=project, owner=job.id, files={SOURCE: file}, now=now)
    action = "model.upload" if retry_of is None else "job.retry"
    audit.record(session, action, project=project, object=job.id, now=now, model=name, digest=file.digest)
    return job


def upload_again(session: Session, job: Job, *, created_by: str | None, now: datetime) -> Job:
    """Return a new job in place of ``job``, which did not succeed. Raises `Limited`, `Conflict`."""
    files = artifacts.attached(session, job.id)
    if SOURCE not in files:
        raise Conflict(f"the file that {job.id} was to read is kept no more; upload it again")
    return upload(
        session,
        project=job.project,
        name=job.spec["model"],
        file=files[SOURCE],
        filename=job.spec["filename"],
        created_by=created_by,
        queue=job.queue,
        retry_of=job.id,
        now=now,
    )


def add_backbone(
    session: Session, job: Job, read: Mapping[str, Any], package: Stored, now: datetime
) -> ModelVersion:
    """Register what ``job`` has read as the next version of its model; the upload itself is given up.

    ``read`` is the result of the job process: ``params``, ``weights_digest``, ``keras_version``,
    ``environment``.
    """
    spec = UploadSpec.model_validate(job.spec)
    model = numbered(session, job.project, spec.model, now)
    uploaded = {"digest": spec.digest, "size_bytes": spec.size_bytes, "filename": spec.filename}
    unknown = dict.fromkeys(("dataset", "dataset_version", "dataset_digest", "base", "seed", "split"))
    added = ModelVersion(
        id=new_id("mdv"),
        model=model.id,
        version=model.last_version,
        job=job.id,
        created_at=now,
        algorithm="keras",
        params=read["params"],
        task=BACKBONE,
        metrics={},
        signature={"inputs": [], "outputs": []},
        dataset_version=None,
        lineage={
            **unknown,
            "uploaded": {**uploaded, "keras_version": read["keras_version"]},
            "environment": read["environment"],
        },
        weights_digest=read["weights_digest"],
        digest=package.digest,
        size_bytes=package.size_bytes,
    )
    session.add(added)
    artifacts.attach(session, project=job.project, owner=added.id, files={"package": package}, now=now)
    artifacts.detach(session, job.id, SOURCE)
    session.flush()
    return added
