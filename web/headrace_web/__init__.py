"""The web process: the HTTP API over the domain's services. It never imports TensorFlow nor parses a user's
file.

A request passes these in turn, each in one place::

    gunicorn (server) ─▶ request id, host (app) ─▶ who, and may they (auth) ─▶ query and body (routes, body)
        ─▶ the view: parse → service → JSON (api/*) ─▶ problem+json for whatever was raised (errors)

- A `routes.Route` is all that is known of one endpoint: method, path, role, models of query, body and answer.
  The same object authorises, validates, and is shown in the OpenAPI document, so that none of the three can
  drift apart. A route without a role cannot be written down.
- A view owns its transaction and calls services, which are plain functions of a session. What must exist once
  goes through `idempotency.once`.
- Nothing is built at import. `app.create_app` runs in the process that serves, after gunicorn's fork, since
  neither database connections nor threads survive one.
- No request waits for the broker: tickets are published in the background, after the commit.
"""
