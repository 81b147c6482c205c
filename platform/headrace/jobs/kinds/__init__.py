"""What each kind of job needs and what its success changes: one module a kind, the same names in each.

``Spec`` is the model of the user's JSON. ``resolve(session, project, spec)`` checks it in full against the
database and returns a `Resolved`: defaults filled in, refs pinned. ``prepare(session, job)`` returns what
the job process is given. ``commit(session, job, done, files, now)`` makes the effects, in the transaction
that ends the job, and returns the job's result, whose entries ``RESULT`` names.

`ingest` and `upload` are submitted by uploads only, of datasets and of models, so users cannot ask for them.

The work of a **coordinator** is other jobs, its parts. It has no ``prepare`` and no ``commit``; instead
``plan(session, job, parts)`` says, changing nothing, what is to be done next by what has become of its parts,
and ``finish(session, job, parts, now)`` makes the effects in the transaction that ends it, and returns the
result. `headrace.jobs.coordinators` does what a plan says. A part makes no effect of its own: a train job
that is one keeps its files and what it has learned for its parent. No part is a coordinator: it may have the
very spec of its parent (`stacking`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from sqlalchemy.orm import Session

from headrace.artifacts.store import Stored
from headrace.jobs.events import Event
from headrace.jobs.tables import Job
from headrace.specs.base import Column, Spec
from headrace.specs.task import Done

Lane = Literal["light", "heavy", "coordinator"]
Runtime = Literal["plain", "tensorflow"]


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """A spec that has been checked in full. ``model`` and ``dataset`` are names, to find the job by.

    ``lane`` is that of the kind unless the spec asks for another.
    """

    spec: Spec
    model: str | None = None
    dataset: str | None = None
    lane: Lane | None = None


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """What a job process is given. ``inputs`` maps a name to a digest; the rest is as in `Task`.

    ``spec`` is None where it is the job's own. ``validation`` and ``held_out`` are those of `Task`.
    """

    runtime: Runtime
    inputs: dict[str, str]
    columns: list[Column] = field(default_factory=list)
    code: str | None = None
    lineage: dict[str, Any] = field(default_factory=dict)
    spec: dict[str, Any] | None = None
    validation: bool = False
    held_out: bool = False


@dataclass(frozen=True, kw_only=True)
class Part:
    """A job to be: part ``name`` of its parent's work, with what the parent keeps of it from the start."""

    name: str
    kind: str
    spec: Mapping[str, Any]
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a coordinator does next; a function of its parts.

    ``parts`` are to be made, ``unneeded`` (ids) to be cancelled; ``figures`` (by id) is what has come out of
    a part since, ``events`` what is written of it when it is new. ``broken`` says why the
    coordinator cannot succeed; ``done``: every part has ended and `Coordinator.finish` is due.
    """

    parts: Sequence[Part] = ()
    unneeded: Sequence[str] = ()
    figures: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    events: Mapping[str, Sequence[Event]] = field(default_factory=dict)
    fraction: float = 0.0
    message: str = ""
    broken: str | None = None
    done: bool = False


class Kind(Protocol):
    """A module of this package."""

    Spec: type[Spec]
    LANE: Lane
    RESULT: tuple[str, ...]

    def resolve(self, session: Session, project: str, spec: Any) -> Resolved:
        """Return ``spec`` checked and pinned. Raises `Invalid`, each ``loc`` beginning with "spec"."""

    def prepare(self, session: Session, job: Job) -> Preparation:
        """Return what the job process is given."""

    def commit(
        self, session: Session, job: Job, done: Done, files: Mapping[str, Stored], now: datetime
    ) -> dict[str, Any]:
        """Make the effects and return the result."""


class Coordinator(Protocol):
    """A module that does the work of a job by other jobs."""

    def plan(self, session: Session, job: Job, parts: Sequence[Job]) -> Plan:
        """Return what is to be done next; ``parts`` are those that were made, oldest first."""

    def finish(self, session: Session, job: Job, parts: Sequence[Job], now: datetime) -> dict[str, Any]:
        """Make the effects and return the result."""


def coordinator(job: Job) -> Coordinator:
    """Return what coordinates ``job``, whose lane is that of coordinators."""
    from headrace.jobs.kinds import cross_validation, stacking, tune

    training: Any = cross_validation if job.spec.get("cross_validation") else stacking
    found: Coordinator = {"train": training, "tune": tune}[job.kind]
    return found


def kind(name: str) -> Kind:
    """Return the kind called ``name``. Raises KeyError."""
    from headrace.jobs.kinds import evaluate, explain, ingest, predict, reproduce, train, tune, upload

    kinds: dict[str, Any] = {
        "ingest": ingest,
        "train": train,
        "evaluate": evaluate,
        "predict": predict,
        "explain": explain,
        "reproduce": reproduce,
        "tune": tune,
        "upload": upload,
    }
    found: Kind = kinds[name]
    return found
