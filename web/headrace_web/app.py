"""Building the Flask app."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable
from datetime import datetime

from flask import Flask, Response, g, request

from headrace import origin
from headrace.artifacts import service as artifacts
from headrace.artifacts.store import open_store
from headrace.config import Settings
from headrace.dispatch import dispatching_database
from headrace_web import api, auth, dashboard, errors
from headrace_web.calls import Parts
from headrace_web.clock import DatabaseClock
from headrace_web.instruments import Instruments
from headrace_web.live import Feed
from headrace_web.rates import RateLimit
from headrace_web.routes import CONVERTERS

access_log = logging.getLogger("headrace.web.access")

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


def create_app(settings: Settings, *, clock: Callable[[], datetime] | None = None) -> Flask:
    """Return the web app of ``settings``, with its database and its dispatcher of tickets.

    Call it in the process that serves, never before a fork. ``clock`` is what requests take as the time, by
    default the database's.
    """
    app = Flask("headrace_web", template_folder="dashboard/templates", static_folder="dashboard/static")
    database, dispatcher = dispatching_database(settings.database_url, settings.broker_url)
    store = open_store(settings.artifacts_url)
    artifacts.guard(database, store)
    app.extensions["headrace"] = Parts(
        settings=settings,
        database=database,
        dispatcher=dispatcher,
        store=store,
        clock=clock or DatabaseClock(database),
        rates=RateLimit(settings.rate_per_s),
        instruments=Instruments(),
        feed=Feed(database, most=settings.web_viewers, frame=api.jobs.event_json),
    )
    # `//` is no other spelling of `/`, and a redirect to it would be an answer in HTML.
    app.url_map.merge_slashes = False
    app.url_map.redirect_defaults = False
    app.url_map.converters.update(CONVERTERS)
    app.before_request(_begin)
    app.after_request(_finish)
    app.teardown_request(_end)
    errors.register(app)
    api.register(app)
    dashboard.register(app)
    return app


def _begin() -> None:
    given = request.headers.get("X-Request-Id", "")
    g.request_id = given if origin.is_request_id(given) else uuid.uuid4().hex
    g.started = time.monotonic()
    trace = origin.valid_traceparent(request.headers.get("traceparent", ""))
    origin.begin(origin.Origin(request_id=g.request_id, traceparent=trace))
    auth.check_host(Parts.of_current().settings.allowed_hosts)


def _finish(response: Response) -> Response:
    response.headers["X-Request-Id"] = g.request_id
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    duration_s = time.monotonic() - g.started
    rule = request.url_rule.rule if request.url_rule is not None else None
    Parts.of_current().instruments.observe(request.method, rule, response.status_code, duration_s)
    access_log.info(
        "%s %s %d",
        request.method,
        request.path,
        response.status_code,
        extra={
            "action": "request",
            "method": request.method,
            "path": request.path,
            "status": response.status_code,
            "duration_s": round(duration_s, 4),
        },
    )
    return response


def _end(_error: BaseException | None) -> None:
    origin.end()
