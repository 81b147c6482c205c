"""Jobs: the list, one job live, and what can be done with it."""

from __future__ import annotations

from typing import Any

from flask import Response
from pydantic import model_validator

from headrace.errors import NotFound
from headrace.jobs import coordinators, costs, queries, service, transitions
from headrace.jobs.states import FINAL, State
from headrace_web.api import job_results
from headrace_web.api import jobs as api
from headrace_web.calls import Call
from headrace_web.dashboard import bars, charts, evaluations, explanations
from headrace_web.dashboard.pages import FORM, HTML, Pages, following, page, to
from headrace_web.live import MEDIA_TYPE

pages = Pages("jobs")

KINDS = ("train", "evaluate", "predict", "explain", "ingest")
"""Those for whose submission there is a form, and that of uploads."""


class JobsPageQuery(api.JobsQuery):
    """The filters; a form sends those that are left open as empty."""

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, given: Any) -> Any:
        return {name: value for name, value in given.items() if value != ""}


@pages.route("GET", "/jobs", role="viewer", query=JobsPageQuery, produces=HTML)
def index(call: Call, query: JobsPageQuery) -> Response:
    """List jobs, newest first."""
    with call.parts.database.read() as session:
        found = queries.jobs(
            session, call.project, query.wanted(), limit=query.limit, cursor=query.position()
        )
    return page(
        "jobs.html",
        jobs=found.items,
        following=following(query.following(found)),
        query=query,
        states=State,
        kinds=("train", "tune", "evaluate", "predict", "ingest"),
    )


@pages.route("GET", "/jobs/<id:job>", role="viewer", produces=HTML)
def show(call: Call, job: str) -> Response:
    """Show one job as it goes on."""
    with call.parts.database.read() as session:
        row = service.job(session, call.project, job)
        series = queries.metrics(session, row)
        made = coordinators.parts(session, row.id)
        cost = costs.of(session, [row.id]).get(row.id)
    tried = list(dict.fromkeys(name for part in made for name in (part.figures or {}).get("params", {})))
    return page(
        "job.html", job=row, series=series, cost=cost, final=row.state in FINAL, parts=made, tried=tried
    )


@pages.route(
    "GET", "/jobs/<id:job>/events", role="viewer", query=api.EventsQuery, produces=MEDIA_TYPE, problems=[503]
)
def events(call: Call, job: str, query: api.EventsQuery) -> Response:
    """Stream the job's events."""
    with call.parts.database.read() as session:
        row = service.job(session, call.project, job)
    return api.watch(call, row, query.after)


@pages.route("GET", "/jobs/<id:job>/log", role="viewer", query=job_results.LogsQuery, produces="text/plain")
def log(call: Call, job: str, query: job_results.LogsQuery) -> Response:
    """Show the whole log."""
    return job_results.logs(call, job, query)


@pages.route("GET", "/jobs/<id:job>/output", role="viewer", produces="application/octet-stream")
def output(call: Call, job: str) -> Response:
    """Download what the job has made."""
    return job_results.output(call, job)


@pages.route("GET", "/jobs/<id:job>/evaluation", role="viewer", produces=HTML)
def evaluation(call: Call, job: str) -> Response:
    """Show what an evaluate job has found."""
    row, stored = job_results.result(call, job, "evaluation")
    return page("job_evaluation.html", job=row, **evaluations.shown(call, stored))


@pages.route("GET", "/jobs/<id:job>/explanation", role="viewer", produces=HTML)
def explanation(call: Call, job: str) -> Response:
    """Show what an explain job has found."""
    row, stored = job_results.result(call, job, "explanation")
    found = explanations.shown(call, stored)
    return page("job_explanation.html", job=row, bar=bars, chart=charts, **found)


@pages.route("POST", "/jobs/<id:job>/cancel", role="submitter", consumes=[FORM], produces=HTML)
def cancel(call: Call, job: str) -> Response:
    """Cancel a job."""
    with call.parts.database.transaction() as session:
        transitions.request_cancel(session, call.project, job, call.now)
    return to(f"/jobs/{job}")


@pages.route("POST", "/jobs/<id:job>/retry", role="submitter", consumes=[FORM], produces=HTML)
def retry(call: Call, job: str) -> Response:
    """Submit a job again, and show the new one."""
    with call.parts.database.transaction() as session:
        again = service.retry(
            session, project=call.project, job_id=job, created_by=call.principal.key, now=call.now
        )
    return to(f"/jobs/{again.id}")


def known(kind: str) -> str:
    """Return ``kind`` if people submit such jobs. Raises NotFound."""
    if kind not in KINDS[:-1]:
        raise NotFound(f"There is no form for {kind[:100]!r}.")
    return kind
