"""The dashboard: what the API does, for people in a browser.

- A page is a `pages.PageRoute`: the API's own `Route`, with a session in a cookie in place of the key in a
  header, and with HTML in place of problem+json. Rights are decided by the same `headrace_web.auth`; a page
  without a role cannot be written down. Who is not signed in is sent to the sign-in page.
- Views call the same services as the API's, and the API's own views where those already answer with what a
  browser takes: files, logs, uploads, live events. A page bears the name of its resource.
- Whatever is not GET needs the form token of its session (`headrace.access.sign_ins`), and comes from a page
  of this very server.
- Jinja escapes everything. Scripts and styles are files of ours: the Content-Security-Policy allows no other,
  and no inline ones. Pages say what there is to say without scripts; those add what is live (`job.js`,
  `refresh.js`), uploads with their progress, and small comforts.
"""

from __future__ import annotations

from flask import Flask

from headrace_web.dashboard import costs, datasets, jobs, models, overview, pages, schedules, sign_in, submit

RESOURCES = (sign_in, overview, jobs, submit, datasets, models, schedules, costs)


def all_pages() -> list[pages.PageRoute]:
    """Return every route of the dashboard."""
    return [route for resource in RESOURCES for route in resource.pages.routes]


def register(app: Flask) -> None:
    """Add the dashboard to ``app``."""
    pages.prepare(app)
    for resource in RESOURCES:
        resource.pages.register(app)
