"""The first page: what goes on, and what is there."""

from __future__ import annotations

from flask import Response

from headrace.datasets import service as datasets
from headrace.jobs import queries
from headrace.jobs.states import State
from headrace.registry import service as registry
from headrace_web.calls import Call
from headrace_web.dashboard.pages import HTML, Pages, page

pages = Pages("overview")

SHOWN = 8


@pages.route("GET", "/", role="viewer", produces=HTML)
def show(call: Call) -> Response:
    """Show what runs, what was done last, and the newest datasets and models."""
    with call.parts.database.read() as session:
        active = {
            state: queries.count(session, call.project, state)
            for state in (State.RUNNING, State.QUEUED, State.WAITING)
        }
        recent = queries.jobs(session, call.project, queries.JobFilter(), limit=SHOWN).items
        models = [
            (model, registry.latest(session, model), registry.aliases_of(session, model))
            for model in registry.models(session, call.project, limit=SHOWN).items
        ]
        sets = datasets.datasets(session, call.project, limit=SHOWN).items
        return page("overview.html", active=active, jobs=recent, models=models, datasets=sets)
