"""Cross-validation: a train job whose parts are its folds, and a training as usual for the version.

Each fold holds some rows out and learns from the others; ``figures`` of a fold have its ``metrics`` on the
rows that it held out. What the folds have learned is thrown away. The interval of a mean is that of Nadeau
and Bengio 2003, Inference for the generalization error: Student's t, the variance of the folds' values
corrected for the rows that their trainings share.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from statistics import fmean, variance
from typing import Any

from scipy.special import stdtrit
from sqlalchemy.orm import Session

from headrace.jobs.events import Event
from headrace.jobs.kinds import Part, Plan, parts, train
from headrace.jobs.states import FINAL, State
from headrace.jobs.tables import Job
from headrace.specs.jobs import TrainSpec
from headrace.specs.metrics import METRICS, VALIDATION

LEVEL = 0.95
FINAL_TRAINING = "training"


def plan(session: Session, job: Job, made: Sequence[Job]) -> Plan:
    """Return all folds and the training at first, then what has come out of them."""
    spec = TrainSpec.model_validate(job.spec)
    wanted = _parts(spec)
    ended = [part for part in made if part.state in FINAL]
    figures = {part.id: _figures(part) for part in ended if part.state == State.SUCCEEDED}
    done = len(ended) + sum(part.fraction for part in made if part.state not in FINAL)
    told = Plan(
        parts=[part for part in wanted if part.name not in {each.part for each in made}],
        figures=figures,
        events={part_id: _events(spec, found) for part_id, found in figures.items()},
        fraction=done / len(wanted),
        message=f"{len(ended)} of {len(wanted)} trainings",
    )
    for part in ended:
        if reason := parts.problem(part):
            return replace(told, broken=reason)
    return replace(told, done=len(ended) == len(wanted))


def finish(session: Session, job: Job, made: Sequence[Job], now: datetime) -> dict[str, Any]:
    """Register what the training on all rows has learned, with what the folds have shown."""
    by_name = {part.part: part for part in made}
    final = by_name[FINAL_TRAINING]
    folds = sorted((part for part in made if part is not final), key=lambda part: part.spec["fold"]["number"])
    version = parts.register(session, job, final, now)
    spec = TrainSpec.model_validate(job.spec)
    found = summary(spec, [(part.result or {})["metrics"] for part in folds])
    version.lineage = version.lineage | {"cross_validation": {"job": job.id, **found}}
    for part in made:
        parts.release(session, part)
    return train.result(version, final.result or {}) | {"cross_validation": found}


def summary(spec: TrainSpec, folds: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Return for each metric that all ``folds`` have their values, the mean and its interval."""
    assert spec.cross_validation is not None, "else it is no coordinator"
    return {**spec.cross_validation.model_dump(), "level": LEVEL, "metrics": spreads(spec, folds)}


def spreads(spec: TrainSpec, folds: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Return for each metric that all ``folds`` have ``folds``, its values, ``mean`` and ``interval``."""
    known = METRICS[spec.task] if spec.task is not None else {}
    names = [name for name in folds[0] if all(name in fold for fold in folds)]
    return {name: _spread([fold[name] for fold in folds], known.get(name)) for name in names}


def _spread(values: Sequence[float], higher_is_better: bool | None) -> dict[str, Any]:
    mean, folds = fmean(values), len(values)
    # Each fold is tested on 1 / (folds - 1) as many rows as it has learned from.
    error = math.sqrt(variance(values) * (1 / folds + 1 / (folds - 1)))
    half = float(stdtrit(folds - 1, (1 + LEVEL) / 2)) * error
    low, high = mean - half, mean + half
    # Nothing is better than perfect: 1 for all metrics of which more is better, 0 for the others.
    if higher_is_better is True:
        high = min(high, 1.0)
    elif higher_is_better is False:
        low = max(low, 0.0)
    return {"folds": list(values), "mean": mean, "interval": [low, high]}


def _parts(spec: TrainSpec) -> list[Part]:
    assert spec.cross_validation is not None, "else it is no coordinator"
    alone = spec.model_copy(update={"cross_validation": None}).model_dump(mode="json")
    asked = spec.cross_validation.model_dump()
    folds = [
        Part(
            name=f"fold {number + 1}",
            kind="train",
            spec=alone | {"fold": {**asked, "number": number}},
            figures={"fold": number + 1},
        )
        for number in range(spec.cross_validation.folds)
    ]
    return [*folds, Part(name=FINAL_TRAINING, kind="train", spec=alone)]


def _figures(part: Job) -> dict[str, Any]:
    metrics = (part.result or {}).get("metrics", {})
    return {**(part.figures or {}), "metrics": metrics}


def _events(spec: TrainSpec, figures: Mapping[str, Any]) -> list[Event]:
    """Return the fold's value of the metric that the task is first judged by."""
    name = headline(spec, figures["metrics"])
    if name is None or "fold" not in figures:
        return []
    value = figures["metrics"][name]
    return [Event("metric", {"name": VALIDATION + name, "step": figures["fold"], "value": value})]


def headline(spec: TrainSpec, metrics: Mapping[str, float]) -> str | None:
    """Return the first by which the task is judged of ``metrics``, None where there is none of its."""
    assert spec.task is not None, "the task is resolved when the job is submitted"
    return next((name for name in METRICS.get(spec.task, {}) if name in metrics), None)
