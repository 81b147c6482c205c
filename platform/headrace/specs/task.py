"""What passes between the supervisor and a job process.

The supervisor makes a scratch folder and writes into it ``task.json`` (a `Task`) and the verified inputs;
the job process writes its outputs below ``out/`` and sends `Message` objects, one JSON object a line, over a
pipe. The last one is a `Done` or a `Failed`. Nothing else passes: the job process has no database, no
credentials and no network of ours. A `Checkpoint` names a file below ``checkpoints/``, which the supervisor
copies while the job goes on.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from headrace.specs.base import Column

TASK_FILE = "task.json"
CHECKPOINTS_FOLDER = "checkpoints"
MAX_LINE_BYTES = 1024 * 1024
"""A longer line on the pipe ends the attempt: results are small, data goes into files."""


class _Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Task(_Wire):
    """One attempt of one job, complete.

    ``spec`` is the resolved spec; of a reproduce job that of the training to be done again. ``inputs`` maps a
    name (``source``, ``data``, ``package``) to a path relative to the scratch folder; ``checkpoints`` are
    such paths too, of what earlier attempts left, newest first. ``columns`` are those of the dataset version,
    empty for an ingest. ``code`` is the algorithm's dotted path, ``lineage`` is copied into the package.
    ``validation``: a train job also gives metrics on validation rows. ``held_out``: it gives, in place of a
    package, what it says of the rows of its fold. ``checkpoint_s`` is the shortest time between two
    checkpoints (train and reproduce only). ``request_id`` and ``traceparent`` (W3C) are those of the
    submission.
    """

    job: str
    kind: str
    attempt: int
    spec: dict[str, Any]
    inputs: dict[str, str]
    columns: list[Column] = []
    code: str | None = None
    lineage: dict[str, Any] = {}
    validation: bool = False
    held_out: bool = False
    checkpoints: list[str] = []
    checkpoint_s: Annotated[float, Field(gt=0)] = 30.0
    request_id: str | None = None
    traceparent: str | None = None


class Progress(_Wire):
    """How far the job is: ``fraction`` 0 to 1, never falling, and what it is doing."""

    type: Literal["progress"] = "progress"
    fraction: Annotated[float, Field(ge=0, le=1)]
    message: Annotated[str, Field(max_length=500)] = ""


class Metric(_Wire):
    """One point of a learning curve. ``step`` is the epoch, from 1."""

    type: Literal["metric"] = "metric"
    name: Annotated[str, Field(max_length=100)]
    step: Annotated[int, Field(ge=0, le=2**53)]
    value: float


class Checkpoint(_Wire):
    """The job can be resumed from the file ``file`` of the folder ``checkpoints``, which is complete.

    ``position`` says to people where that is. The file may vanish once a newer one is there.
    """

    type: Literal["checkpoint"] = "checkpoint"
    file: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    position: Annotated[str, Field(max_length=200)]


class Done(_Wire):
    """The job succeeded. ``outputs`` maps a name to a path below the scratch folder's ``out/``."""

    type: Literal["done"] = "done"
    result: dict[str, Any]
    outputs: dict[str, str]


class Failed(_Wire):
    """The job failed with a reason for people; ``error`` names its class."""

    type: Literal["failed"] = "failed"
    error: str
    message: Annotated[str, Field(max_length=4000)]
    retryable: bool


Message = Annotated[Progress | Metric | Checkpoint | Done | Failed, Field(discriminator="type")]
message_adapter: TypeAdapter[Progress | Metric | Checkpoint | Done | Failed] = TypeAdapter(Message)
