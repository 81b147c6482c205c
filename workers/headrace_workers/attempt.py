"""One attempt of one job, from the claim to the commit.

`_attempt` reads as the pipeline that it is: prepare the inputs, run the job process, commit. Each step lets
the heartbeat beat; whatever ends the attempt early, ends it by an exception, and `headrace_workers.retries`
says what that comes to. When the lease is lost nothing is written: the job is another attempt's.
"""

from __future__ import annotations

import logging
import os
import shutil
import stat
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from sqlalchemy.orm import Session

from headrace import logs, origin
from headrace.artifacts.store import Store, Stored, fetch_file, put_file
from headrace.config import Settings
from headrace.db import Database, clock
from headrace.errors import ArtifactCorrupt, ArtifactMissing, Collected, LeaseLost, Unavailable
from headrace.jobs import checkpoints, kinds, leases, transitions
from headrace.jobs.events import Event
from headrace.jobs.leases import Lease
from headrace.jobs.tables import Job
from headrace.origin import Origin
from headrace.specs.task import (
    CHECKPOINTS_FOLDER,
    TASK_FILE,
    Checkpoint,
    Done,
    Failed,
    Metric,
    Progress,
    Task,
)
from headrace_workers.blocking import beating
from headrace_workers.heartbeat import Heartbeat
from headrace_workers.job_pipes import Exited, Garbage, LogLines
from headrace_workers.job_process import ForkServer, JobProcess, SpawnFailed
from headrace_workers.metering import Meter
from headrace_workers.outcomes import Broken, Cancelled, Computed, HandedBack, Interrupted, Outcome
from headrace_workers.retries import ending
from headrace_workers.scratch import Scratch

_SPAWN_PATIENCE_S = 60.0
_COLLECTED_S = 0.5
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where attempts are run: what all slots of a worker share."""

    settings: Settings
    db: Database
    store: Store
    scratch: Scratch
    servers: Mapping[kinds.Runtime, ForkServer]
    stop: threading.Event


def run_attempt(site: Site, lease: Lease) -> None:
    """Run the claimed job to an end and write it down. Raises nothing of the job's own making."""
    heartbeat = Heartbeat(site.db, site.settings, lease, site.stop)
    try:
        job = heartbeat.read(lambda session: session.get_one(Job, lease.job))
        heartbeat.timeout_s, heartbeat.since = job.timeout_s, job.event_seq
        came_from = Origin(project=job.project, request_id=job.request_id, traceparent=job.traceparent)
        with origin.acting(came_from), logs.job(job.id, lease.attempt):
            _log.info("%s attempt %d begins", job.kind, lease.attempt, extra={"action": "attempt.begin"})
            _run(site, lease, job, heartbeat)
    except LeaseLost as lost:
        _log.warning("%s", lost.detail)


def _run(site: Site, lease: Lease, job: Job, heartbeat: Heartbeat) -> None:
    """Run the attempt and write its outcome down."""
    with ExitStack() as stack:
        outcome = ending(lambda: _attempt(site, lease, job, heartbeat, stack))
        if not isinstance(outcome, Computed):
            heartbeat.persist(lambda session: _end(site, session, lease, outcome))
        ended = type(outcome).__name__
        extra = {"action": "attempt.end", "outcome": ended}
        _log.info("attempt %d ends: %s", lease.attempt, ended, extra=extra)


def _attempt(site: Site, lease: Lease, job: Job, heartbeat: Heartbeat, stack: ExitStack) -> Outcome:
    folder = site.scratch.new(lease.job)
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    preparation = _prepare(site, job, folder, heartbeat)
    with _spawn(site.servers[preparation.runtime], folder, heartbeat) as process:
        heartbeat.meter = Meter(process, site.settings.watts_per_core)
        outcome = _watch(process, heartbeat, lambda made: _keep(site, lease, folder, made, heartbeat))
    # The job process is dead, so its outputs can no longer change.
    return _commit(site, lease, job, folder, outcome, heartbeat) if isinstance(outcome, Computed) else outcome


def _prepare(site: Site, job: Job, folder: Path, heartbeat: Heartbeat) -> kinds.Preparation:
    """Put the task and its verified inputs into ``folder``."""
    kind = kinds.kind(job.kind)
    preparation = heartbeat.read(lambda session: kind.prepare(session, job))
    left = heartbeat.read(lambda session: checkpoints.of(session, job.id))
    (folder / "in").mkdir()
    (folder / "out").mkdir()
    inputs = {name: f"in/{name}" for name in preparation.inputs}
    for name, digest in preparation.inputs.items():
        _fetch(site.store, digest, folder / inputs[name], heartbeat)
    usable = _fetch_checkpoints(site.store, left, folder, heartbeat)
    task = Task(
        job=job.id,
        kind=job.kind,
        attempt=job.attempt,
        spec=job.spec if preparation.spec is None else preparation.spec,
        inputs=inputs,
        columns=preparation.columns,
        code=preparation.code,
        lineage=preparation.lineage,
        validation=preparation.validation,
        held_out=preparation.held_out,
        checkpoints=usable,
        checkpoint_s=site.settings.checkpoint_s,
        request_id=job.request_id,
        traceparent=job.traceparent,
    )
    (folder / TASK_FILE).write_text(task.model_dump_json())
    return preparation


def _fetch_checkpoints(store: Store, left: list[Stored], folder: Path, heartbeat: Heartbeat) -> list[str]:
    """Put those of ``left`` that are whole into ``folder``; return where. Nothing depends on them."""
    usable = []
    for number, stored in enumerate(left, 1):
        path = folder / "in" / f"checkpoint-{number}"
        try:
            _fetch(store, stored.digest, path, heartbeat)
        except (ArtifactCorrupt, ArtifactMissing) as error:
            path.unlink(missing_ok=True)
            heartbeat.record_log(LogLines(lines=(f"a checkpoint is not used: {error.detail}",)))
        else:
            usable.append(f"in/{path.name}")
    return usable


def _fetch(store: Store, digest: str, path: Path, heartbeat: Heartbeat) -> None:
    beating(heartbeat, lambda proceed: fetch_file(store, digest, path, proceed))


def _put(store: Store, path: Path, heartbeat: Heartbeat) -> Stored:
    return beating(heartbeat, lambda proceed: put_file(store, path, proceed))


def _spawn(server: ForkServer, folder: Path, heartbeat: Heartbeat) -> JobProcess:
    deadline = time.monotonic() + _SPAWN_PATIENCE_S
    while True:
        try:
            return server.spawn(folder, keepalive=heartbeat.beat)
        except SpawnFailed:
            if time.monotonic() > deadline:
                raise
            heartbeat.beat()
            server.ready(0.5)


def _watch(process: JobProcess, heartbeat: Heartbeat, keep: Callable[[Checkpoint], None]) -> Outcome:
    """Take what the job process says until it is dead; return what it came to."""
    last: Done | Failed | Garbage | None = None
    while True:
        for event in process.read(heartbeat.due_in()):
            match event:
                case Progress():
                    heartbeat.record(Event("progress", event.model_dump(include={"fraction", "message"})))
                case Metric():
                    heartbeat.record(Event("metric", event.model_dump(include={"name", "step", "value"})))
                case Checkpoint():
                    keep(event)
                case LogLines():
                    heartbeat.record_log(event)
                case Exited():
                    return _verdict(event, last)
                case Garbage():
                    last = event
                    process.kill()
                case Done() | Failed():
                    last = last or event
        heartbeat.beat()


def _keep(site: Site, lease: Lease, folder: Path, made: Checkpoint, heartbeat: Heartbeat) -> None:
    """Store a checkpoint and attach it to the job. The job goes on, so only what was copied is hashed.

    What cannot be stored is done without: the attempt itself is not in danger.
    """
    path = folder / CHECKPOINTS_FOLDER / made.file
    try:
        if not _is_plain_file(path):  # a newer one has taken its place
            return
        stored = _put(site.store, path, heartbeat)
        heartbeat.persist(lambda session: checkpoints.keep(session, lease, stored, clock(session)))
    except (OSError, Unavailable) as error:
        reason = error.strerror if isinstance(error, OSError) else error.detail
        message = f"the checkpoint at {made.position} cannot be stored: {reason}"
        heartbeat.record_log(LogLines(lines=(message,)))


def _verdict(exited: Exited, last: Done | Failed | Garbage | None) -> Outcome:
    match last:
        case Garbage():
            return Broken(type="ProtocolError", message=last.reason, retryable=False)
        case Failed():
            return Broken(type=last.error, message=last.message, retryable=last.retryable)
        case Done() if exited.code == 0:
            return Computed(done=last)
    return Broken(type="ProcessDied", message=f"worker lost: the job process {exited.reason}", retryable=True)


def _commit(
    site: Site, lease: Lease, job: Job, folder: Path, computed: Computed, heartbeat: Heartbeat
) -> Outcome:
    """Store the outputs and commit the effects; return another outcome if that could not be."""

    def write(session: Session) -> Outcome:
        held = leases.hold(session, lease)
        if held.cancel_requested:
            return Cancelled()
        now = clock(session)
        result = kinds.kind(job.kind).commit(session, held, computed.done, files, now)
        transitions.succeed(session, lease, result=result, now=now)
        return computed

    try:
        while True:
            files = _store_outputs(site.store, folder, computed.done.outputs, heartbeat)
            try:
                return heartbeat.persist(write)
            except Collected as error:
                _log.warning("the outputs are stored again: %s", error.detail)
                heartbeat.beat()
                time.sleep(_COLLECTED_S)
    except (KeyError, TypeError, ValidationError) as error:
        _log.exception("%s: its result cannot be used", job.id)
        return Broken(type="ProtocolError", message=f"the result lacks {error}"[:500], retryable=False)


def _store_outputs(
    store: Store, folder: Path, outputs: Mapping[str, str], heartbeat: Heartbeat
) -> dict[str, Stored]:
    files = {}
    for name, relative in outputs.items():
        path = folder / "out" / relative
        if Path(relative).is_absolute() or ".." in Path(relative).parts or not _is_plain_file(path):
            raise Interrupted(
                Broken(
                    type="ProtocolError",
                    message=f"the output {name!r} is no file below out/",
                    retryable=False,
                )
            )
        files[name] = _put(store, path, heartbeat)
    return files


def _is_plain_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode) and path.resolve() == path.absolute()
    except OSError:
        return False


def _end(site: Site, session: Session, lease: Lease, outcome: Outcome) -> None:
    now = clock(session)
    match outcome:
        case Cancelled():
            transitions.cancel(session, lease, now=now)
        case HandedBack():
            transitions.hand_back(session, lease, now=now)
        case Broken(type=type_, message=message, retryable=retryable):
            settings = site.settings
            backoff = transitions.Backoff(base_s=settings.backoff_base_s, max_s=settings.backoff_max_s)
            details: dict[str, Any] = {"type": type_, "message": message, "retryable": retryable}
            transitions.fail(session, lease, now=now, backoff=backoff, **details)
