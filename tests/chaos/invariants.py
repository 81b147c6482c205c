"""The invariants of ``reliability.md``, checked from outside: by the client's ledger, the database, the
artifact store and the process table, never by the code that is under test.

`check` looks at a deployment that has come to rest; `over_quota` and `artifacts` may be asked at any moment.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from chaos import histories
from chaos.ledger import TAG, Entry
from chaos.processes import left_behind
from chaos.violation import Violation
from headrace.access.tables import Project
from headrace.artifacts.store import Store, read_verified
from headrace.artifacts.tables import Artifact
from headrace.datasets.tables import DatasetVersion
from headrace.db import Database
from headrace.errors import HeadraceError
from headrace.jobs.states import FINAL, State
from headrace.jobs.tables import COORDINATOR, Job, JobTag
from headrace.registry.tables import Model, ModelVersion
from headrace.schedules.tables import Schedule, ScheduleRun


def check(
    database_url: str,
    store: Store,
    *,
    ledger: Iterable[Entry] = (),
    marks: Iterable[str] = (),
    settled: bool = True,
    collected: bool = False,
) -> list[Violation]:
    """Return every violation, in words.

    ``marks``: texts that only processes of the deployment bear in their environment or command line; none of
    them may live. ``settled``: faults have stopped and time has passed, so that every job has to have ended.
    ``collected``: garbage has been collected, so that the store may hold nothing that no row names.
    """
    database = Database(database_url)
    try:
        with database.read() as session:
            found = [
                *submissions(session, ledger),
                *(stuck(session) if settled else ()),
                *effects(session),
                *histories.check(session),
                *artifacts(session, store),
                *(unreferenced(session, store) if collected else ()),
                *cancelled(session),
                *schedules(session),
                *over_quota(session),
            ]
    finally:
        database.close()
    return [*found, *(Violation("I6", text) for mark in marks for text in left_behind(mark))]


def submissions(session: Session, ledger: Iterable[Entry]) -> Iterator[Violation]:
    """I1, I7 and the digests: what was answered exists once, ended as it had to, and made what it had to.

    An empty ledger says nothing: then nobody kept one.
    """
    entries = list(ledger)
    tagged: dict[str, list[str]] = {}
    for key, job_id in session.execute(select(JobTag.value, JobTag.job).where(JobTag.key == TAG)):
        tagged.setdefault(key, []).append(job_id)
    for entry in entries:
        for invariant, text in _submission(session, entry, tagged.pop(entry.key, [])):
            yield Violation(invariant, f"{entry.key}: {text}", entry.job)
    for key, jobs in tagged.items() if entries else ():
        yield Violation("I1", f"{key}: {jobs} exist, and nobody asked for them", jobs[0])


def _submission(session: Session, entry: Entry, tagged: list[str]) -> Iterator[tuple[str, str]]:
    if entry.job is None:
        yield "I1", "was never answered"
        return
    if len(set(entry.answers)) > 1:
        yield "I1", f"was answered with different jobs: {entry.answers}"
    if len(tagged) > 1:
        yield "I1", f"exists {len(tagged)} times: {tagged}"
    job = session.get(Job, entry.job)
    if job is None:
        yield "I1", f"was answered with {entry.job}, which does not exist"
        return
    if entry.cancelled and job.state == State.SUCCEEDED:
        yield "I7", f"cancelling {job.id} was answered with 202, and it succeeded"
    elif State(job.state) in FINAL and job.state not in entry.ends:
        yield "I2", f"{job.id} ended {job.state} ({job.error}), not {' or '.join(sorted(entry.ends))}"
    if job.state == State.SUCCEEDED:
        yield from _made(session, entry, job)


def _made(session: Session, entry: Entry, job: Job) -> Iterator[tuple[str, str]]:
    result = job.result or {}
    for name, value in entry.result.items():
        if result.get(name) != value:
            yield "digest", f"{job.id} has {name} {result.get(name)!r}, not {value!r}"
    if entry.weights is not None:
        version = session.scalar(select(ModelVersion).where(ModelVersion.job == job.id))
        if version is None or version.weights_digest != entry.weights:
            learned = version and version.weights_digest
            yield "digest", f"{job.id} learned {learned}, an undisturbed run {entry.weights}"
    if entry.source is not None:
        dataset = session.scalar(select(DatasetVersion).where(DatasetVersion.job == job.id))
        if dataset is None or dataset.digest != entry.source:
            yield "digest", f"{job.id} ingested {dataset and dataset.digest}, not {entry.source}"


def stuck(session: Session) -> Iterator[Violation]:
    """I2: every job has ended."""
    for job in session.scalars(select(Job).where(Job.state.not_in(FINAL)).order_by(Job.id)):
        asked = ", although cancelling was asked for" if job.cancel_requested else ""
        yield Violation("I2", f"{job.id} is {job.state} still{asked}", job.id)


def effects(session: Session) -> Iterator[Violation]:
    """I3: what has succeeded has its one effect, and nothing else has any."""
    versions = Counter(session.scalars(select(ModelVersion.job)))
    made: dict[str, Counter[str]] = {
        "train": versions,
        "tune": versions,
        "predict": Counter(session.scalars(select(Artifact.owner).where(Artifact.name == "output"))),
        "ingest": Counter(
            session.scalars(select(DatasetVersion.job).where(DatasetVersion.columns.is_not(None)))
        ),
    }
    for job in session.scalars(select(Job).where(Job.kind.in_(made)).order_by(Job.id)):
        # What a part has learned is for its parent, which has the effect.
        found, wanted = made[job.kind][job.id], int(job.state == State.SUCCEEDED and job.parent is None)
        if found != wanted:
            yield Violation("I3", f"{job.id} ({job.kind}) is {job.state} and has {found} effects", job.id)
    yield from _versions(session)


def _versions(session: Session) -> Iterator[Violation]:
    models = {model.id: model for model in session.scalars(select(Model))}
    numbers: dict[str, list[int]] = {model: [] for model in models}
    owners = set(session.scalars(select(Artifact.owner).where(Artifact.name == "package")))
    for version, job in session.execute(
        select(ModelVersion, Job).join(Job, Job.id == ModelVersion.job).order_by(ModelVersion.version)
    ):
        numbers[version.model].append(version.version)
        if version.id not in owners:
            yield Violation("I3", f"{version.id} of {job.id} has no package", job.id)
        told = (job.result or {}).get("version")
        if told != version.version:
            yield Violation("I3", f"{job.id} says version {told}, there is {version.version}", job.id)
    for model_id, found in numbers.items():
        model = models[model_id]
        if found != list(range(1, model.last_version + 1)):
            yield Violation(
                "I3", f"model {model.name} has versions {found}, the last is {model.last_version}"
            )


def artifacts(session: Session, store: Store) -> Iterator[Violation]:
    """I5: what a row names is there and hashes to its name, and so does whatever lies in the store."""
    names: dict[str, str] = {}
    for artifact in session.scalars(select(Artifact)):
        names.setdefault(artifact.digest, f"{artifact.name} of {artifact.owner}")
    for digest in {*names, *store.digests()}:
        try:
            for _ in read_verified(store, digest):
                pass
        except (HeadraceError, OSError) as error:
            yield Violation("I5", f"{names.get(digest, 'a file that no row names')}: {error}")


def unreferenced(session: Session, store: Store) -> Iterator[Violation]:
    """I6: the store holds nothing that no row names."""
    named = set(session.scalars(select(Artifact.digest)))
    for digest in store.digests():
        if digest not in named:
            yield Violation("I6", f"{digest} lies in the store, and no row names it")


def cancelled(session: Session) -> Iterator[Violation]:
    """I7: a job that was to be cancelled ended cancelled."""
    query = select(Job).where(Job.cancel_requested, Job.state.in_(FINAL), Job.state != State.CANCELLED)
    for job in session.scalars(query):
        yield Violation("I7", f"{job.id} was to be cancelled and has {job.state}", job.id)


def schedules(session: Session) -> Iterator[Violation]:
    """I8: one run a due time, one job a run; an interval that is to catch up all leaves none out."""
    runs: dict[str, list[ScheduleRun]] = {}
    for run in session.scalars(select(ScheduleRun).order_by(ScheduleRun.due_at)):
        runs.setdefault(run.schedule, []).append(run)
    jobs = Counter(run.job for found in runs.values() for run in found if run.job)
    for job_id, times in jobs.items():
        if times > 1:
            yield Violation("I8", f"{job_id} belongs to {times} due times", job_id)
    for schedule in session.scalars(select(Schedule)):
        found = runs.get(schedule.id, [])
        for due_at, times in Counter(run.due_at for run in found).items():
            if times > 1:
                yield Violation("I8", f"{schedule.id} fired {times} times for {due_at}")
        if schedule.every_s is None or schedule.catch_up != "all" or not found:
            continue
        timed = [run.due_at for run in found if run.triggered_by is None]
        for before, after in pairwise(timed):
            if (after - before).total_seconds() > schedule.every_s:
                yield Violation("I8", f"{schedule.id} has no run between {before} and {after}")


def over_quota(session: Session) -> Iterator[Violation]:
    """No project runs more jobs than its quota, at no moment."""
    running = (
        select(Project.name, Project.max_running, func.count())
        .join(Job, Job.project == Project.name)
        .where(Job.state == State.RUNNING, Job.lane != COORDINATOR)
        .group_by(Project.name, Project.max_running)
    )
    for name, most, found in session.execute(running):
        if most is not None and found > most:
            yield Violation("quota", f"project {name} runs {found} jobs, its quota is {most}")
