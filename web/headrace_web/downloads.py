"""Sending an artifact: in pieces, with its digest (RFC 9530), whole or a range of it (RFC 9110, 14)."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import BinaryIO

from flask import Response, request
from werkzeug.exceptions import RequestedRangeNotSatisfiable
from werkzeug.http import dump_options_header

from headrace.artifacts.store import CHUNK_BYTES, Store, Stored, read_verified

_ONE_RANGE = re.compile(r"bytes=(?=-?[0-9])([0-9]{0,18})-([0-9]{0,18})")


def send(store: Store, stored: Stored, *, media_type: str, filename: str | None = None) -> Response:
    """Return the bytes ``stored``, as a download called ``filename`` if that is given.

    A whole download is hashed on its way: the last piece goes out only if all of it hashes to its name, else
    the connection breaks off before the announced length. Raises ArtifactMissing, and 416 for a range outside
    of the file; several ranges at once are answered with the whole.
    """
    digest = base64.b64encode(bytes.fromhex(stored.digest.removeprefix("sha256:"))).decode()
    headers = {
        "Accept-Ranges": "bytes",
        "ETag": f'"{stored.digest}"',
        "Repr-Digest": f"sha-256=:{digest}:",
    }
    if filename is not None:
        headers["Content-Disposition"] = dump_options_header("attachment", {"filename": filename})
    if request.if_none_match.contains(stored.digest):
        return Response(status=304, headers=headers)
    part = _range(stored)
    if part is None:
        headers["Content-Digest"] = headers["Repr-Digest"]
        headers["Content-Length"] = str(stored.size_bytes)
        pieces = _verified(store, stored.digest)
        status = 200
    else:
        start, stop = part
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{stored.size_bytes}"
        headers["Content-Length"] = str(stop - start)
        pieces = _part(store.open(stored.digest), start, stop)
        status = 206
    return Response(pieces, status=status, headers=headers, content_type=media_type)


def _range(stored: Stored) -> tuple[int, int] | None:
    """Return the first byte and the one after the last, or None for the whole.

    Not werkzeug's: that refuses a suffix longer than the file, which RFC 9110 (14.1.2) says is the whole.
    """
    match = _ONE_RANGE.fullmatch(request.headers.get("Range", "").strip())
    if match is None or request.method != "GET":
        return None
    if request.headers.get("If-Range") not in (None, f'"{stored.digest}"'):
        return None
    first, last = match.groups()
    size = stored.size_bytes
    if first and last and int(last) < int(first):
        return None
    if first:
        start, stop = int(first), min(size, int(last) + 1) if last else size
    else:
        start, stop = max(0, size - int(last)), size
    if start >= size:
        raise RequestedRangeNotSatisfiable(
            size, description=f"The file has {size} bytes, none in that range."
        )
    return start, stop


def _verified(store: Store, digest: str) -> Iterator[bytes]:
    pieces = read_verified(store, digest)
    # Two pieces now: a missing file, or a small one gone bad, is an error and not a broken stream.
    held, following = next(pieces, b""), next(pieces, None)

    def rest() -> Iterator[bytes]:
        last, coming = held, following
        while coming is not None:
            yield last
            last, coming = coming, next(pieces, None)
        yield last

    return rest()


def _part(source: BinaryIO, start: int, stop: int) -> Iterator[bytes]:
    with source:
        source.seek(start)
        while start < stop and (piece := source.read(min(CHUNK_BYTES, stop - start))):
            start += len(piece)
            yield piece
