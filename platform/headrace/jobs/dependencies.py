"""Jobs that wait for others: what can be told of their specs at once, and what happens when the others end.

A job waits until all that it depends on have succeeded; when one of them does not, it is cancelled. Its spec
may take values from their results (`headrace.specs.results`), and its refs may name what they have yet to
make, so at submission it is checked as far as that can be told, and in full when they have ended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from headrace.datasets import service as datasets
from headrace.errors import FieldError, HeadraceError, Invalid, NotFound
from headrace.jobs import kinds, transitions
from headrace.jobs.states import State
from headrace.jobs.tables import Job
from headrace.specs import results
from headrace.specs.algorithms import algorithm, field_errors
from headrace.specs.base import Spec
from headrace.specs.jobs import JobRequest

ENDED_BADLY = frozenset({State.FAILED, State.CANCELLED})


@dataclass(frozen=True, kw_only=True)
class Checked:
    """The spec that a job will have: the resolved one, or as it was sent while the job ``waits``.

    ``model`` and ``dataset`` are names, to find the job by.
    """

    spec: dict[str, Any]
    model: str | None = None
    dataset: str | None = None
    waits: bool = False
    lane: kinds.Lane


def check(session: Session, project: str, request: JobRequest) -> Checked:
    """Return what a job of ``request`` would be now. Raises `Invalid` for whatever is wrong in it."""
    dependencies = _dependencies(session, project, request.depends_on)
    _check_places(results.places(request.spec), dependencies)
    if all(job.state == State.SUCCEEDED for job in dependencies.values()):
        return resolve(session, project, request.kind, request.spec, dependencies)
    spec = _check_ahead(session, project, request.kind, request.spec)
    return Checked(spec=spec, waits=True, lane=kinds.kind(request.kind).LANE)


def unblocked(session: Session, waiting: Sequence[tuple[str, list[str]]]) -> list[str]:
    """Return which of ``waiting`` (id, ids of its dependencies) `advance` would move on."""
    needed = {dependency for _, depends_on in waiting for dependency in depends_on}
    rows = session.execute(select(Job.id, Job.state).where(Job.id.in_(needed)))
    states = {job_id: State(state) for job_id, state in rows}
    return [
        job_id
        for job_id, depends_on in waiting
        if (found := {states[dependency] for dependency in depends_on}) & ENDED_BADLY
        or found == {State.SUCCEEDED}
    ]


def advance(session: Session, job: Job, now: datetime) -> None:
    """Move a waiting job on if its dependencies have ended. The caller has locked its row."""
    dependencies = {row.id: row for row in session.scalars(select(Job).where(Job.id.in_(job.depends_on)))}
    for dependency in dependencies.values():
        if dependency.state in ENDED_BADLY:
            transitions.cancel_dependent(session, job, dependency=dependency, now=now)
            return
    if any(dependency.state != State.SUCCEEDED for dependency in dependencies.values()):
        return
    try:
        checked = resolve(session, job.project, job.kind, job.spec, dependencies)
    except HeadraceError as problem:
        error = {
            "type": type(problem).__name__,
            "message": f"its dependencies have succeeded, but {problem.detail}",
            "attempt": 0,
            "retryable": False,
        }
        transitions.give_up(session, job, error=error, now=now)
        return
    job.model, job.dataset, job.lane = checked.model, checked.dataset, checked.lane
    transitions.queue(session, job, spec=checked.spec, now=now)


def _dependencies(session: Session, project: str, depends_on: list[str]) -> dict[str, Job]:
    query = select(Job).where(Job.project == project, Job.id.in_(depends_on))
    there = {job.id: job for job in session.scalars(query)}
    wrong = []
    for index, job_id in enumerate(depends_on):
        if job_id not in there:
            wrong.append(FieldError(loc=("depends_on", index), msg=f"there is no job {job_id[:100]!r}"))
        elif there[job_id].state in ENDED_BADLY:
            msg = f"{job_id} has {there[job_id].state} already"
            wrong.append(FieldError(loc=("depends_on", index), msg=msg))
    if wrong:
        raise Invalid(wrong)
    return there


def _check_places(places: Sequence[results.Place], dependencies: Mapping[str, Job]) -> None:
    """Raise `Invalid` where a value is taken from no dependency, or from what one will never have."""
    wrong = []
    for place in places:
        job = dependencies.get(place.value.job)
        if job is None:
            msg = f"{place.value.job[:100]!r} should be in depends_on, for its result to be used"
            wrong.append(FieldError(loc=(*place.loc, results.MARK), msg=msg))
            continue
        has = kinds.kind(job.kind).RESULT
        needs = place.value.steps[:1]
        if place.named is not None and len(place.value.steps) < 2:
            needs = ["version", place.named]
        missing = [name for name in needs if name not in has]
        if missing:
            msg = f"the result of {job.id}, of kind {job.kind}, has no {missing[0][:100]!r}: {', '.join(has)}"
            wrong.append(FieldError(loc=place.loc, msg=msg))
    if wrong:
        raise Invalid(wrong)


def resolve(
    session: Session,
    project: str,
    kind_name: str,
    spec: Mapping[str, Any],
    dependencies: Mapping[str, Job] = MappingProxyType({}),
) -> Checked:
    """Return what a job is whose ``dependencies`` have succeeded. Raises `Invalid`."""
    kind = kinds.kind(kind_name)
    taken = {job.id: job.result for job in dependencies.values()}
    resolved = kind.resolve(session, project, _read(kind.Spec, results.fill(spec, taken)))
    return Checked(
        spec=resolved.spec.model_dump(mode="json"),
        model=resolved.model,
        dataset=resolved.dataset,
        lane=resolved.lane or kind.LANE,
    )


def _check_ahead(session: Session, project: str, kind_name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """Return the spec of a job that must wait, after checking what will not change until it need not."""
    taken = results.places(spec)
    model = kinds.kind(kind_name).Spec
    try:
        read: dict[str, Any] = model.model_validate(spec).model_dump(mode="json")
    except ValidationError as error:
        wrong = [
            found
            for found in field_errors(error, "spec")
            if not any(results.covers(place, found.loc) for place in taken)
        ]
        if wrong:
            raise Invalid(wrong) from None
        read = spec
    dataset = spec.get("dataset")
    if isinstance(dataset, str):  # uploads make datasets, jobs do not, so it must be there
        _check_dataset(session, project, dataset)
    chosen = spec.get("algorithm")
    if isinstance(chosen, str):
        found = algorithm(chosen, "spec", "algorithm")
        if not any(place.loc[:2] == ("spec", "params") for place in taken):
            found.check_params(spec.get("params", {}), "spec", "params")
    return read


def _check_dataset(session: Session, project: str, ref: str) -> None:
    name = ref.partition("@")[0]
    try:
        datasets.dataset(session, project, name)
    except NotFound as problem:
        raise Invalid.field("spec", "dataset", msg=problem.detail) from None


def _read(model: type[Spec], spec: dict[str, Any]) -> Spec:
    try:
        return model.model_validate(spec)
    except ValidationError as error:
        raise Invalid(field_errors(error, "spec")) from None
