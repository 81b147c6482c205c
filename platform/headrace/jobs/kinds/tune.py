"""Tune: train with several params; what was best on validation rows becomes a version.

Its parts are trials, train jobs that keep what they have learned to themselves. Trial *k* is chosen, and
pruned, by what is known of the trials up to *k* - ``parallel``, which have ended before it begins; those
between count as running, whether they do or not. So what a trial tries depends on the seed alone, and not on
which worker was faster, or died. A pruned trial ends at the step at which its curve was too bad, also where
its worker was quicker and went on to the end.

``figures`` of a trial: ``trial`` (its number), ``params`` (what it tries, by path), ``state`` (``running``,
``complete``, ``pruned``, ``failed``), then ``value`` and, where there is a pruner, ``curve``; ``step``, the
last of a pruned one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from headrace.jobs import queries
from headrace.jobs.events import Event
from headrace.jobs.kinds import Lane, Part, Plan, Resolved, parts, search_space, train
from headrace.jobs.states import FINAL, State
from headrace.jobs.tables import Job
from headrace.specs.metrics import METRICS, VALIDATION
from headrace.specs.tuning import TuneSpec
from headrace.tuning import Trial

Spec = TuneSpec
LANE: Lane = "coordinator"
RESULT = ("model", "version", "metrics", "metric", "best", "trials", "promoted", "reason", "warnings")

Trials = dict[int, tuple[Job, Trial]]


def resolve(session: Session, project: str, spec: TuneSpec) -> Resolved:
    """Check the training as one of its own, and what is to be tried in it."""
    return search_space.resolve(session, project, spec)


def plan(session: Session, job: Job, made: Sequence[Job]) -> Plan:
    """Return the trials that are due, those that are to be pruned, and what has come out of the others."""
    spec = TuneSpec.model_validate(job.spec)
    trials = _trials(session, spec, made)
    total = spec.trials or 0
    judged = [(part, trial) for part, trial in trials.values() if trial.state != "running"]
    ended = sum(part.state in FINAL for part, _ in judged)
    running = sum(part.fraction for part, _ in trials.values() if part.state not in FINAL)
    best = _best(spec, trials)
    message = f"{ended} of {total} trials" + (f", best {spec.metric} {best.value:.6g}" if best else "")
    told = Plan(
        figures={part.id: _figures(trial) for part, trial in judged},
        events={
            part.id: [
                Event(
                    "metric", {"name": search_space.curve(spec), "step": trial.number, "value": trial.value}
                )
            ]
            for part, trial in judged
            if trial.state == "complete"
        },
        unneeded=[
            part.id
            for part, trial in judged
            if trial.state == "pruned" and part.state not in FINAL and not part.cancel_requested
        ],
        fraction=(ended + running) / total,
        message=message,
    )
    failed = [part for part, trial in judged if trial.state == "failed"]
    if len(failed) > spec.max_failed:
        reason = parts.problem(failed[-1]) or f"{failed[-1].part} ({failed[-1].id}) has no {spec.metric}"
        return replace(told, broken=reason)
    if ended == total:
        return replace(told, done=True) if best else replace(told, broken="no trial came to its end")
    return replace(told, parts=_due(spec, trials))


def finish(session: Session, job: Job, made: Sequence[Job], now: datetime) -> dict[str, Any]:
    """Register what the best trial has learned."""
    spec = TuneSpec.model_validate(job.spec)
    trials = _trials(session, spec, made)
    best = _best(spec, trials)
    assert best is not None, "planned"
    part = trials[best.number][0]
    version = parts.register(session, job, part, now)
    told = [_told(*trials[number]) for number in sorted(trials)]
    version.lineage = version.lineage | {
        "tuning": {"job": job.id, "metric": spec.metric, "trials": len(told), **_told(part, best)}
    }
    for trial, _ in trials.values():
        parts.release(session, trial)
    found = {"metric": spec.metric, "best": _told(part, best), "trials": told}
    return train.result(version, part.result or {}) | found


def _due(spec: TuneSpec, trials: Trials) -> list[Part]:
    """Return the trials that may begin: each as soon as all that it may know of have ended."""
    search = search_space.search(spec)
    begun = {number: trial for number, (_, trial) in trials.items()}
    due: list[Part] = []
    for number in range(spec.trials or 0):
        if number in trials:
            continue
        known = _known(spec, trials, number)
        if known is None:
            break
        between = [_unknown(begun[other]) for other in range(len(known), number)]
        values = search.ask(number, (*known, *between))
        begun[number] = trial = Trial(number=number, values=values, state="running")
        due.append(
            Part(
                name=f"trial {number}",
                kind="train",
                spec=search_space.trial_spec(spec, values),
                figures=_figures(trial),
            )
        )
    return due


def _trials(session: Session, spec: TuneSpec, made: Sequence[Job]) -> Trials:
    """Return every trial that was begun, judged as far as it can be."""
    trials: Trials = {}
    for part in sorted(made, key=lambda part: int((part.figures or {})["trial"])):
        figures = part.figures or {}
        trial = Trial(
            number=figures["trial"],
            values=figures["params"],
            state=figures["state"],
            value=figures.get("value"),
            curve=tuple((step, value) for step, value in figures.get("curve", ())),
            step=figures.get("step"),
        )
        if trial.state == "running":
            trial = _judged(session, spec, part, trial, _known(spec, trials, trial.number))
        trials[trial.number] = (part, trial)
    return trials


def _known(spec: TuneSpec, trials: Trials, number: int) -> tuple[Trial, ...] | None:
    """Return the trials by which trial ``number`` is chosen and judged, None while one of them runs."""
    known = [trials.get(other) for other in range(number - spec.parallel + 1)]
    ended = [trial for trial in known if trial and trial[1].state != "running" and trial[0].state in FINAL]
    return tuple(trial for _, trial in ended) if len(ended) == len(known) else None


def _judged(
    session: Session, spec: TuneSpec, part: Job, trial: Trial, known: tuple[Trial, ...] | None
) -> Trial:
    """Return what has come out of a trial so far."""
    if spec.pruner != "none" and known is not None:
        curves = queries.metrics(session, part)
        trial = replace(trial, curve=tuple(curves.get(search_space.curve(spec), ())))
        step = search_space.search(spec).pruned_at(trial, known)
        if step is not None:
            curve = tuple(point for point in trial.curve if point[0] <= step)
            return replace(trial, state="pruned", curve=curve, value=curve[-1][1], step=step)
    if part.state in (State.FAILED, State.CANCELLED):
        return replace(trial, state="failed")
    if part.state == State.SUCCEEDED:
        value = _value(session, spec, part)
        return replace(trial, state="failed" if value is None else "complete", value=value)
    return trial


def _value(session: Session, spec: TuneSpec, part: Job) -> float | None:
    """Return the metric of what a trial has learned, on validation rows.

    ``val_loss`` is only known as a curve: its value is that of the epoch whose weights were kept.
    """
    metric = spec.metric.removeprefix(VALIDATION)
    if spec.train.task is not None and metric in METRICS.get(spec.train.task, {}):
        found: float | None = (part.result or {}).get("validation", {}).get(metric)
        return found
    curve = [value for _, value in queries.metrics(session, part).get(spec.metric, [])]
    if not curve:
        return None
    return min(curve) if part.spec["params"].get("early_stopping") is not None else curve[-1]


def _best(spec: TuneSpec, trials: Trials) -> Trial | None:
    """Return the best trial that was not pruned; of equals the first."""
    sign = -1.0 if search_space.higher_is_better(spec) else 1.0
    complete = [trial for _, trial in trials.values() if trial.state == "complete"]
    return min(complete, key=lambda trial: (sign * (trial.value or 0.0), trial.number), default=None)


def _unknown(trial: Trial) -> Trial:
    return Trial(number=trial.number, values=trial.values, state="running")


def _figures(trial: Trial) -> dict[str, Any]:
    found = {"trial": trial.number, "params": trial.values, "state": trial.state}
    more = {"value": trial.value, "step": trial.step, "curve": [list(point) for point in trial.curve] or None}
    return found | {name: value for name, value in more.items() if value is not None}


def _told(part: Job, trial: Trial) -> Mapping[str, Any]:
    figures = _figures(trial)
    figures.pop("curve", None)
    return {"job": part.id, **figures}
