"""Schedules: when jobs are submitted again, and what became of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated

from flask import Response, request
from pydantic import Field as QueryField
from pydantic import ValidationError

from headrace.errors import Invalid
from headrace.jobs import service as jobs
from headrace.schedules import service
from headrace.schedules.requests import ScheduleChange, ScheduleRequest
from headrace.specs.algorithms import field_errors
from headrace_web.calls import Call
from headrace_web.dashboard import forms
from headrace_web.dashboard.forms import Field
from headrace_web.dashboard.pages import FORM, HTML, Pages, following, page, to
from headrace_web.pagination import PageQuery, Query

pages = Pages("schedules")

UPCOMING = 5
SENT_AGAIN = ("kind", "name", "priority", "queue", "max_attempts", "timeout_s", "tags")
FIELDS = [
    Field(loc=("name",), label="name", type="string", help="For people; may be empty."),
    Field(
        loc=("cron",),
        label="cron",
        type="string",
        help="Minute, hour, day, month, weekday: 0 3 * * * is each night at three.",
    ),
    Field(
        loc=("timezone",),
        label="time zone",
        type="string",
        placeholder="UTC",
        help="Whose clock the cron goes by, as Europe/Berlin.",
    ),
    Field(loc=("every_s",), label="or every so many seconds", type="integer"),
    Field(
        loc=("catch_up",),
        label="due times missed in an outage",
        type="choice",
        placeholder="latest",
        options=[("none", "none fires"), ("latest", "the latest fires"), ("all", "all fire")],
    ),
    Field(
        loc=("overlap",),
        label="while the job before still runs",
        type="choice",
        placeholder="skip",
        options=[("skip", "skip this one"), ("queue", "queue behind it")],
    ),
    Field(
        loc=("job",),
        label="job",
        type="json",
        required=True,
        rows=16,
        help="As it would be submitted. A dataset without a version means the latest when it fires.",
    ),
]


class NewQuery(Query):
    """The job that is to be repeated."""

    job: Annotated[str, QueryField(max_length=100)] = ""


@pages.route("GET", "/schedules", role="viewer", query=PageQuery, produces=HTML)
def index(call: Call, query: PageQuery) -> Response:
    """List schedules, newest first."""
    with call.parts.database.read() as session:
        found = service.schedules(session, call.project, limit=query.limit, cursor=query.position())
    return page("schedules.html", schedules=found.items, following=following(query.following(found)))


@pages.route("GET", "/schedules/new", role="maintainer", query=NewQuery, produces=HTML)
def new(call: Call, query: NewQuery) -> Response:
    """Show the form for a schedule, which may repeat a job that there is."""
    given = {}
    if query.job:
        with call.parts.database.read() as session:
            row = jobs.job(session, call.project, query.job)
        # The newest data each time, not the version that the job was pinned to.
        spec = row.spec | {"dataset": str(row.spec.get("dataset", "")).partition("@")[0]}
        template = {name: getattr(row, name) for name in SENT_AGAIN} | {"spec": spec}
        given = {"job": json.dumps(template, indent=2), "name": row.name}
    return _form(given, None)


@pages.route("POST", "/schedules", role="maintainer", consumes=[FORM], produces=HTML)
def create(call: Call) -> Response:
    """Create the schedule, or show the form again with what is wrong in it."""
    try:
        try:
            wanted = ScheduleRequest.model_validate(forms.read(FIELDS, request.form))
        except ValidationError as error:
            raise Invalid(field_errors(error)) from None
        with call.parts.database.transaction() as session:
            row = service.create(
                session, project=call.project, request=wanted, created_by=call.principal.key, now=call.now
            )
    except Invalid as error:
        return _form(request.form, error)
    return to(f"/schedules/{row.id}")


@pages.route("GET", "/schedules/<id:schedule>", role="viewer", query=PageQuery, produces=HTML)
def show(call: Call, schedule: str, query: PageQuery) -> Response:
    """Show one schedule: the next due times, and what became of the last ones."""
    with call.parts.database.read() as session:
        row = service.schedule(session, call.project, schedule)
        found = service.runs(session, row, limit=query.limit, cursor=query.position())
    return page(
        "schedule.html",
        schedule=row,
        upcoming=service.upcoming(row, call.now, UPCOMING),
        runs=found.items,
        following=following(query.following(found)),
    )


@pages.route("POST", "/schedules/<id:schedule>/trigger", role="maintainer", consumes=[FORM], produces=HTML)
def trigger(call: Call, schedule: str) -> Response:
    """Submit the job now, and show it."""
    with call.parts.database.transaction() as session:
        row = service.schedule(session, call.project, schedule, lock=True)
        run = service.trigger(session, row, by=call.principal.key, now=call.now)
    return to(f"/jobs/{run.job}")


@pages.route("POST", "/schedules/<id:schedule>/enabled", role="maintainer", consumes=[FORM], produces=HTML)
def enable(call: Call, schedule: str) -> Response:
    """Pause a schedule, or let it go on."""
    change = ScheduleChange(enabled=request.form.get("enabled") == "yes")
    with call.parts.database.transaction() as session:
        row = service.schedule(session, call.project, schedule, lock=True)
        service.change(session, row, change, now=call.now)
    return to(f"/schedules/{schedule}")


@pages.route("POST", "/schedules/<id:schedule>/delete", role="maintainer", consumes=[FORM], produces=HTML)
def delete(call: Call, schedule: str) -> Response:
    """Delete a schedule; its jobs stay."""
    with call.parts.database.transaction() as session:
        row = service.schedule(session, call.project, schedule, lock=True)
        service.delete(session, row, now=call.now)
    return to("/schedules")


def _form(given: Mapping[str, str], error: Invalid | None) -> Response:
    fields = forms.fill(FIELDS, given, error)
    return page(
        "schedule_new.html",
        status=422 if error else 200,
        fields=fields,
        wrong=[field for field in fields if field.errors],
        elsewhere=forms.elsewhere(FIELDS, error),
        failed=error is not None,
    )
