"""What each kind of job needs and what its success changes: one module a kind, the same names in each.

``Spec`` is the model of the user's JSON. ``resolve(session, project, spec)`` checks it in full against the
database and returns a `Resolved`: defaults filled in, refs pinned. ``prepare(session, job)`` returns what
the job process is given. ``commit(session, job, done, files, now)`` makes the effects, in the transaction
that ends the job, and returns the job's result, whose entries ``RESULT`` names.

`ingest` and `upload` are submitted by uploads only, of datasets and of models, so users cannot ask for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from sqlalchemy.orm import Session

from headrace.artifacts.store import Stored
from headrace.jobs.tables import Job
from headrace.specs.base import Column, Spec
from headrace.specs.task import Done

Lane = Literal["light", "heavy"]
Runtime = Literal["plain", "tensorflow"]


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """A spec that has been checked in full. ``model`` and ``dataset`` are names, to find the job by."""

    spec: Spec
    model: str | None = None
    dataset: str | None = None


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """What a job process is given. ``inputs`` maps a name to a digest; the rest is as in `Task`.

    ``spec`` is None where it is the job's own.
    """

    runtime: Runtime
    inputs: dict[str, str]
    columns: list[Column] = field(default_factory=list)
    code: str | None = None
    lineage: dict[str, Any] = field(default_factory=dict)
    spec: dict[str, Any] | None = None


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


def kind(name: str) -> Kind:
    """Return the kind called ``name``. Raises KeyError."""
    from headrace.jobs.kinds import evaluate, explain, ingest, predict, reproduce, train, upload

    kinds: dict[str, Any] = {
        "ingest": ingest,
        "train": train,
        "evaluate": evaluate,
        "predict": predict,
        "explain": explain,
        "reproduce": reproduce,
        "upload": upload,
    }
    found: Kind = kinds[name]
    return found
