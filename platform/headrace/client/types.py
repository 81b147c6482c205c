"""The API's JSON objects. Times are RFC 3339 in UTC, durations are seconds; newer servers may add fields."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

State = Literal["waiting", "queued", "running", "succeeded", "failed", "cancelled"]
FINAL: frozenset[State] = frozenset({"succeeded", "failed", "cancelled"})


class Progress(TypedDict):
    """How far a job is: ``fraction`` is 0 to 1."""

    fraction: float
    message: str


class JobFailure(TypedDict):
    """Why a job, or its last attempt, failed."""

    type: str
    message: str
    attempt: int
    retryable: bool


class Cost(TypedDict):
    """What attempts have used; ``energy_source`` is ``rapl`` where all of it was measured."""

    attempts: int
    wall_s: float
    cpu_s: float
    peak_bytes: int
    energy_j: float
    energy_source: Literal["rapl", "estimate"] | None


class TotalCost(TypedDict):
    """The cost of one project, model or schedule."""

    project: str
    name: str
    cost: Cost


class Job(TypedDict):
    """One job; ``spec`` is the resolved one.

    A part of another job's work has that as its ``parent``; ``figures`` is what has come out of it.
    """

    id: str
    kind: str
    name: str | None
    project: str
    state: State
    priority: int
    queue: str
    spec: dict[str, Any]
    tags: dict[str, str]
    depends_on: list[str]
    attempt: int
    failures: int
    max_attempts: int
    timeout_s: float
    created_at: str
    started_at: str | None
    finished_at: str | None
    created_by: str
    worker: str | None
    progress: Progress
    cancel_requested: bool
    result: dict[str, Any] | None
    error: JobFailure | None
    retry_of: str | None
    parent: str | None
    part: str | None
    figures: dict[str, Any] | None
    cost: Cost | None


class Event(TypedDict):
    """Something that happened to a job; ``seq`` counts from 1 in each job.

    ``data``: of a ``state`` ``{state, …}``, of ``progress`` ``{fraction, message}``, of a ``metric``
    ``{name, step, value}``, of a ``log`` ``{text}``.
    """

    seq: int
    attempt: int
    type: Literal["state", "progress", "metric", "log"]
    at: str
    data: dict[str, Any]


class Column(TypedDict):
    """One column of a dataset version."""

    name: str
    type: str
    nullable: bool


class DatasetVersion(TypedDict, total=False):
    """One version of a dataset; ``rows`` and ``columns`` come when it is ``ready``."""

    dataset: str
    version: int
    state: Literal["ingesting", "ready", "failed"]
    job: str
    digest: str
    size_bytes: int
    rows: int | None
    columns: list[Column] | None
    error: Any
    created_at: str


class Dataset(TypedDict, total=False):
    """One dataset."""

    name: str
    latest_version: int | None
    created_at: str


class Model(TypedDict, total=False):
    """One model; ``aliases`` maps each alias to a version."""

    name: str
    latest_version: int | None
    aliases: dict[str, int]
    created_at: str


class Reproduction(TypedDict):
    """What the last reproduce job found: ``differences`` in words, ``arrays`` say where and by how much."""

    identical: bool
    weights_digest: str
    expected_weights_digest: str
    differences: list[str]
    arrays: list[dict[str, Any]]
    differing_arrays: int
    job: str
    at: str


class Explanation(TypedDict):
    """An explain job that explains a version: ``job`` has what it found."""

    job: str
    method: Literal["permutation", "integrated_gradients"]
    dataset: str
    created_at: str


class Predictions(TypedDict):
    """One prediction per instance: ``label`` and ``probabilities``, or ``value``, or what its task gives."""

    model: str
    version: int
    predictions: list[dict[str, Any]]


class ModelVersion(TypedDict, total=False):
    """One version of a model, with all that is needed to make it again."""

    model: str
    version: int
    created_at: str
    job: str
    algorithm: str
    params: dict[str, Any]
    metrics: dict[str, float]
    signature: dict[str, Any]
    lineage: dict[str, Any]
    weights_digest: str
    digest: str
    size_bytes: int
    aliases: list[str]
    reproduced: Reproduction | None


class Algorithm(TypedDict, total=False):
    """One algorithm; ``params`` is the JSON Schema of its params."""

    name: str
    title: str
    summary: str
    tasks: list[str]
    params: dict[str, Any]


class Schedule(TypedDict):
    """One schedule; ``job`` is the template as it was written, ``next_due_at`` is None while it is paused."""

    id: str
    name: str
    project: str
    cron: str | None
    timezone: str
    every_s: int | None
    job: dict[str, Any]
    catch_up: Literal["none", "latest", "all"]
    overlap: Literal["skip", "queue"]
    enabled: bool
    next_due_at: str | None
    created_at: str
    created_by: str | None


class ScheduleRun(TypedDict):
    """What became of one due time: ``job`` where one was submitted, else ``reason``."""

    id: str
    due_at: str
    fired_at: str
    outcome: Literal["submitted", "skipped", "missed", "failed"]
    job: str | None
    reason: str | None
    triggered_by: str | None


class Usage(TypedDict):
    """What a project uses now."""

    running: int
    queued: int
    stored_bytes: int


class Project(TypedDict):
    """One project; ``max_…`` are its limits, None where there is none."""

    name: str
    created_at: str
    weight: float
    max_priority: int
    max_running: int | None
    max_queued: int | None
    max_stored_bytes: int | None
    usage: Usage


class Worker(TypedDict):
    """One worker; ``job`` only where that is one of the project's."""

    name: str
    queues: list[str]
    slots: int
    state: Literal["idle", "busy", "lost"]
    job: str | None
    started_at: str
    last_seen_at: str
    version: str


class Queue(TypedDict):
    """One queue, with counts of the project's jobs."""

    name: str
    queued: int
    running: int
    oldest_queued_s: float | None
    workers: int


class Act(TypedDict):
    """Somebody did something; ``actor`` is the id of a key."""

    id: str
    at: str
    project: str
    actor: str
    action: str
    object: str
    request_id: str | None
    details: dict[str, Any]


class Key(TypedDict, total=False):
    """One API key, ``prefix`` is how it begins; ``key`` is there in the answer to its creation only."""

    id: str
    key: str
    prefix: str
    project: str
    role: str
    name: str
    created_at: str
    expires_at: str | None
    revoked_at: str | None
