"""The ``Idempotency-Key`` header: what is sent twice happens once and is answered twice.

The answer is kept in the transaction of the effect, so that both are there or neither (`headrace.access.
idempotency` has the protocol). Whatever is not a success frees the key: the request may be sent again.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
import threading
from collections.abc import Callable, Iterator

from flask import Response, request
from sqlalchemy.orm import Session

from headrace.access import idempotency
from headrace.db import AWAY
from headrace.errors import Conflict, Invalid
from headrace_web.calls import Answer, Call, json_response

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
EXTENDED_EVERY_S = idempotency.RESERVED_FOR.total_seconds() / 4
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_log = logging.getLogger(__name__)


def once(
    call: Call,
    act: Callable[[Session], Answer],
    *,
    status: int,
    receive: Callable[[], bytes] | None = None,
    prepare: Callable[[], object] | None = None,
) -> Response:
    """Answer with what ``act`` returns, called in a transaction; or, for a key seen before, with what it
    returned then.

    Requests are the same when method, path, query and content are. The content is the call's, or what
    ``receive`` returns: it reads the body once the key is reserved, for as long as it takes. ``prepare`` runs
    before the transaction and only if ``act`` will. Raises IdempotencyKeyInUse while the first request is
    being answered, IdempotencyKeyReused for another request.
    """
    key = _key()
    if key is None:
        if receive is not None:
            receive()
        if prepare is not None:
            prepare()
        with call.parts.database.transaction() as session:
            return act(session).response(status)
    with call.parts.database.transaction() as session:
        held = idempotency.reserve(session, call.project, key, call.now)
    if isinstance(held, idempotency.Answered):
        held.check(_fingerprint(call.content if receive is None else receive()))
        headers = held.answer["headers"] | {REPLAYED: "true"}
        return json_response(held.answer["body"], held.status, headers)
    try:
        with _extended(call, held) if receive is not None else contextlib.nullcontext():
            fingerprint = _fingerprint(call.content if receive is None else receive())
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


@contextlib.contextmanager
def _extended(call: Call, held: idempotency.Reservation) -> Iterator[None]:
    """Keep the reservation while the block runs, by a thread that dies with the process, as the right to
    answer does soon after: a body may take an hour to come, and its killed server must not hold the key.
    """
    done = threading.Event()

    def extend() -> None:
        while not done.wait(EXTENDED_EVERY_S):
            try:
                with call.parts.database.transaction() as session:
                    idempotency.extend(session, held, call.parts.clock())
            except Conflict:
                return  # `complete` will say so.
            except AWAY as error:
                _log.warning("an idempotency key was not extended: %s", type(error).__name__)

    thread = threading.Thread(target=extend, name="idempotency", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


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
