"""A body that is a file: streamed into the store, checked against its digest, and given to what uses it."""

from __future__ import annotations

import base64
import functools
import re
from collections.abc import Callable

from flask import Response, request
from sqlalchemy.orm import Session

from headrace.artifacts.store import CHUNK_BYTES, Stored
from headrace.datasets import service as datasets
from headrace.errors import DigestMismatch, Malformed
from headrace_web import body
from headrace_web.calls import Answer, Call
from headrace_web.idempotency import once

_DIGEST = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/]{43}=):\s*(?:,|$)")


def take(
    call: Call,
    act: Callable[[Session, Stored], Answer],
    *,
    head: int = 0,
    look: Callable[[bytes], None] = lambda head: None,
) -> Response:
    """Answer with what ``act`` makes of the body, stored; see `headrace_web.idempotency.once`.

    ``look`` gets the first ``head`` bytes (fewer where the body has no more) before the rest is read, and may
    refuse them. Raises `Malformed` for an empty body, `DigestMismatch` where it is not what was announced.
    """
    announced = _announced_digest()
    if announced is not None and request.content_length is not None:
        _check_room(call, Stored(announced, request.content_length))
    with call.parts.store.stage() as stage:
        size_bytes = 0

        def receive() -> bytes:
            nonlocal size_bytes
            start, looked = b"", False
            for piece in body.stream(request, call.parts.settings.max_upload_bytes, chunk=CHUNK_BYTES):
                if not looked:
                    start += piece[: head - len(start)]
                    if looked := len(start) == head:
                        look(start)
                stage.write(piece)
                size_bytes += len(piece)
            if size_bytes == 0:
                raise Malformed("The body is empty.")
            if not looked:
                look(start)
            digest = stage.digest()
            if announced is not None and digest != announced:
                raise DigestMismatch(f"Content-Digest announces {announced}, but the body is {digest}.")
            return digest.encode()

        @functools.cache
        def commit() -> Stored:
            _check_room(call, Stored(stage.digest(), size_bytes))
            return stage.commit()

        return once(call, lambda session: act(session, commit()), status=202, receive=receive, prepare=commit)


def _check_room(call: Call, file: Stored) -> None:
    """Raise Limited early where that is plain already; what takes the file decides."""
    with call.parts.database.read() as session:
        datasets.check_room(session, call.project, file)


def _announced_digest() -> str | None:
    header = request.headers.get("Content-Digest")
    if header is None:
        return None
    match = _DIGEST.search(header)
    if match is None:
        raise Malformed(f"Content-Digest should be sha-256=:<base64 of 32 bytes>:, not {header[:200]!r}.")
    return f"sha256:{base64.b64decode(match[1]).hex()}"
