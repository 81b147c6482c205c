"""What jobs leave behind: learning curves, log, output, evaluation, explanation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from flask import Response
from pydantic import BaseModel, Field

from headrace.artifacts import service as artifacts
from headrace.artifacts.store import Stored
from headrace.jobs import queries, service
from headrace.jobs.tables import Job
from headrace_web import downloads
from headrace_web.api import evaluations, explanations
from headrace_web.api.evaluations import Evaluation
from headrace_web.api.explanations import Explanation
from headrace_web.calls import Call, Parts
from headrace_web.pagination import Query
from headrace_web.routes import Routes

routes = Routes("jobs", "/api/v1/jobs")

OUTPUT_TYPES = {
    "parquet": "application/vnd.apache.parquet",
    "csv": "text/csv",
    "ndjson": "application/x-ndjson",
}


class Metrics(BaseModel):
    """Learning curves of the last attempt: for each name its [step, value] pairs."""

    series: dict[str, list[tuple[int, float]]]


class LogsQuery(Query):
    """Which log."""

    attempt: Annotated[int | None, Field(ge=1, le=10**6, description="Only this attempt's")] = None


@routes.route("GET", "/<id:job>/metrics", role="viewer", returns=Metrics)
def metrics(call: Call, job: str) -> Metrics:
    """Show the learning curves of a job."""
    with call.parts.database.read() as session:
        row = service.job(session, call.project, job)
        return Metrics(series=queries.metrics(session, row))


@routes.route("GET", "/<id:job>/logs", role="viewer", query=LogsQuery, produces="text/plain")
def logs(call: Call, job: str, query: LogsQuery) -> Response:
    """Show the log of a job, or that of one attempt."""
    with call.parts.database.read() as session:
        service.job(session, call.project, job)
    text = _log(call.parts, call.project, job, query.attempt)
    return Response(text, content_type="text/plain; charset=utf-8")


@routes.route("GET", "/<id:job>/output", role="viewer", produces="application/octet-stream", problems=[416])
def output(call: Call, job: str) -> Response:
    """Download the file that a predict job has made, whole or a range of it."""
    row, stored = result(call, job, "output")
    ending = str(row.spec.get("format", "bin"))
    media_type = OUTPUT_TYPES.get(ending, "application/octet-stream")
    return downloads.send(call.parts.store, stored, media_type=media_type, filename=f"{row.id}.{ending}")


@routes.route("GET", "/<id:job>/evaluation", role="viewer", returns=Evaluation)
def evaluation(call: Call, job: str) -> Response:
    """Show what an evaluate job has found: how good a version is on a dataset."""
    _, stored = result(call, job, "evaluation")
    return evaluations.send(call, stored)


@routes.route("GET", "/<id:job>/explanation", role="viewer", returns=Explanation)
def explanation(call: Call, job: str) -> Response:
    """Show what an explain job has found: what the predictions of a version rest on."""
    _, stored = result(call, job, "explanation")
    return explanations.send(call, stored)


def result(call: Call, job: str, name: str) -> tuple[Job, Stored]:
    """Return a job and the file ``name`` that it has left. Raises NotFound."""
    with call.parts.database.read() as session:
        row = service.job(session, call.project, job)
        return row, artifacts.artifact(session, row.id, name)


def _log(parts: Parts, project: str, job: str, attempt: int | None) -> Iterator[str]:
    with parts.database.read() as session:
        yield from queries.log(session, service.job(session, project, job), attempt)
