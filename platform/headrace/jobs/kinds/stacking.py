"""Stacking (Wolpert 1992): a train job whose parts train its members anew, then learn from what these say.

Each member is trained without each fold of the training rows, otherwise as it was trained itself, and
predicts the rows of that fold; a part keeps nothing but these predictions. From all of them together, of rows
that no member had seen, the last part learns what each member is worth, and combines the members as they are.
``figures`` of the other parts: ``member``, ``fold`` (from 1), ``metrics`` on the rows that were held out, and
``value``, the first of these that the task is judged by.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from headrace.errors import HeadraceError
from headrace.jobs.kinds import Part, Plan, cross_validation, members_anew, parts, train
from headrace.jobs.states import FINAL, State
from headrace.jobs.tables import Job
from headrace.specs.jobs import TrainSpec

LAST = "stack"
MOST_AT_ONCE = 50
"""Parts that are made in one step: each takes a while, and the step is one transaction."""


def plan(session: Session, job: Job, made: Sequence[Job]) -> Plan:
    """Return the members' trainings; when all have succeeded, the one that learns from them."""
    spec = TrainSpec.model_validate(job.spec)
    total = (members_anew.folds(spec) or 0) * len(spec.params["models"]) + 1
    ended = [part for part in made if part.state in FINAL]
    done = len(ended) + sum(part.fraction for part in made if part.state not in FINAL)
    told = Plan(
        figures={part.id: _figures(spec, part) for part in ended if part.state == State.SUCCEEDED},
        fraction=done / total,
        message=f"{len(ended)} of {total} trainings",
    )
    for part in ended:
        if reason := parts.problem(part):
            return replace(told, broken=reason)
    if len(ended) == total:
        return replace(told, done=True)
    try:
        return replace(told, parts=_due(session, job, spec, made, total))
    except HeadraceError as error:  # a member has been deleted
        return replace(told, broken=error.detail[:4000])


def finish(session: Session, job: Job, made: Sequence[Job], now: datetime) -> dict[str, Any]:
    """Register what the last part has learned, with what the members have shown on rows held out."""
    by_name = {part.part: part for part in made}
    last = by_name[LAST]
    version = parts.register(session, job, last, now)
    found = _shown(TrainSpec.model_validate(job.spec), [part for part in made if part is not last])
    version.lineage = version.lineage | {"stacking": {"job": job.id, **found}}
    for part in made:
        parts.release(session, part)
    return train.result(version, last.result or {}) | {"stacking": found}


def _due(session: Session, job: Job, spec: TrainSpec, made: Sequence[Job], total: int) -> list[Part]:
    there = {part.part for part in made}
    if LAST in there:
        return []
    if len(there) < total - 1:
        wanted = _trainings(session, job, spec)
        return [part for part in wanted if part.name not in there][:MOST_AT_ONCE]
    if all(part.state == State.SUCCEEDED for part in made):
        return [Part(name=LAST, kind="train", spec=spec.model_dump(mode="json"))]
    return []


def _trainings(session: Session, job: Job, spec: TrainSpec) -> Iterator[Part]:
    for ref, folds in members_anew.trainings(session, job.project, spec):
        for number, training in enumerate(folds, 1):
            figures = {"member": ref, "fold": number}
            yield Part(name=f"{ref} fold {number}", kind="train", spec=training, figures=figures)


def _shown(spec: TrainSpec, trainings: Sequence[Job]) -> dict[str, Any]:
    """Return for each member its metrics on the folds that it was trained without."""
    members = []
    for ref in spec.params["models"]:
        of_member = [part.figures or {} for part in trainings if (part.figures or {})["member"] == ref]
        folds = [figures["metrics"] for figures in sorted(of_member, key=lambda figures: figures["fold"])]
        members.append({"model": ref, "metrics": cross_validation.spreads(spec, folds)})
    return {"folds": members_anew.folds(spec), "level": cross_validation.LEVEL, "members": members}


def _figures(spec: TrainSpec, part: Job) -> dict[str, Any]:
    metrics = (part.result or {}).get("metrics", {})
    name = cross_validation.headline(spec, metrics)
    value = {} if name is None else {"value": metrics[name]}
    return {**(part.figures or {}), "metrics": metrics, **value}
