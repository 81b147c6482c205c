"""The ``Idempotency-Key`` header: what is sent twice happens once and is answered twice.

The answer is kept in the transaction of the effect, so that both are there or neither (`headrace.access.
idempotency` has the protocol). Whatever is not a success frees the key: the request may be sent again.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from datetime import timedelta

from flask import Response, request
from sqlalchemy.orm import Session

from headrace.access import idempotency
from headrace.errors import Invalid
from headrace_web.calls import Answer, Call, json_response

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


def once(
    call: Call,
    act: Callable[[Session], Answer],
    *,
    status: int,
    receive: Callable[[Callable[[], None]], bytes] | None = None,
    prepare: Callable[[], object] | None = None,
    hold: timedelta = idempotency.RESERVED_FOR,
) -> Response:
    """Answer with what ``act`` returns, called in a transaction; or, for a key seen before, with what it
    returned then.

    Requests are the same when method, path, query and content are. The content is the call's, or what
    ``receive`` returns: it reads the body once the key is reserved, and calls its argument now and then to
    keep it so. ``prepare`` runs before the transaction and only if ``act`` will. Raises IdempotencyKeyInUse
    while the first request is being answered, IdempotencyKeyReused for another request.
    """
    key = _key()
    if key is None:
        if receive is not None:
            receive(lambda: None)
        if prepare is not None:
            prepare()
        with call.parts.database.transaction() as session:
            return act(session).response(status)
    with call.parts.database.transaction() as session:
        held = idempotency.reserve(session, call.project, key, call.now, hold=hold)
    if isinstance(held, idempotency.Answered):
        held.check(_fingerprint(call.content if receive is None else receive(lambda: None)))
        headers = held.answer["headers"] | {REPLAYED: "true"}
        return json_response(held.answer["body"], held.status, headers)
    try:
        fingerprint = _fingerprint(call.content if receive is None else receive(_keeper(call, held, hold)))
        if prepare is not None:
            prepare()
        with call.parts.database.transaction() as session:
            answer = act(session)
            response = answer.response(status)
            idempotency.complete(
                session,
                held,
                request_sha256=fingerprint,
                status=response.status_code,
                answer={"body": response.get_data(as_text=True), "headers": dict(answer.headers)},
                now=call.parts.clock(),
            )
    except BaseException:
        with call.parts.database.transaction() as session:
            idempotency.release(session, held)
        raise
    return response


def _keeper(call: Call, held: idempotency.Reservation, hold: timedelta) -> Callable[[], None]:
    """Return what prolongs the reservation, when a third of its time has gone."""
    due = time.monotonic() + hold.total_seconds() / 3

    def keep() -> None:
        nonlocal due
        if time.monotonic() >= due:
            with call.parts.database.transaction() as session:
                idempotency.extend(session, held, call.parts.clock(), hold=hold)
            due = time.monotonic() + hold.total_seconds() / 3

    return keep


def _key() -> str | None:
    value = request.headers.get(HEADER)
    if value is None:
        return None
    key = value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value
    if not _KEY.fullmatch(key):
        raise Invalid.field("header", HEADER, msg="should be 1 to 255 visible ASCII characters")
    return key


def _fingerprint(content: bytes) -> str:
    head = f"{request.method} {request.path}?{request.query_string.decode('latin-1')}\n"
    return hashlib.sha256(head.encode() + content).hexdigest()
