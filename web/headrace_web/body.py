"""Reading a JSON body: bounded in bytes, depth and length of numbers, and free of what no database keeps.

PostgreSQL takes no NUL and no lone surrogate in text and no infinity in JSON; Python's parser lets all three
pass. They are refused here, once, so that nothing behind this module has to think of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from flask import Request
from gunicorn.http.errors import ParseException

from headrace.errors import Malformed, TooLarge, Unsupported

MAX_DEPTH = 50
MAX_NUMBER_LENGTH = 50
CHUNK = 64 * 1024


def read(request: Request, max_bytes: int) -> bytes:
    """Return the whole JSON body. Raises Unsupported, TooLarge, or Malformed when the client stops early."""
    check_type(request, ("application/json",))
    return b"".join(stream(request, max_bytes, chunk=CHUNK))


def check_type(request: Request, accepted: Sequence[str]) -> None:
    """Raise Unsupported unless the body is of one of the media types ``accepted``."""
    if request.mimetype not in accepted:
        sent = request.mimetype or "without a type"
        raise Unsupported(f"The body should be {' or '.join(accepted)}; it is {sent}.")


def stream(request: Request, max_bytes: int, *, chunk: int) -> Iterator[bytes]:
    """Yield the body in pieces of at most ``chunk`` bytes, announced length or not.

    Raises TooLarge as soon as that is known, Malformed when it breaks off or its chunks cannot be told apart.
    """
    too_large = TooLarge(f"The body should have at most {max_bytes} bytes.")
    announced = request.content_length
    if announced is not None and announced > max_bytes:
        raise too_large
    total = 0
    source = request.environ["wsgi.input"]
    terminated = request.environ.get("wsgi.input_terminated", False)
    if announced is None and not terminated:
        return
    while announced is None or total < announced:
        piece = _read(source, chunk if announced is None else min(chunk, announced - total))
        if not piece:
            break
        total += len(piece)
        if total > max_bytes:
            raise too_large
        yield piece
    if announced is not None and total < announced:
        raise Malformed(f"The body ended after {total} of the {announced} bytes announced.")


def _read(source: Any, size: int) -> bytes:
    try:
        piece: bytes = source.read(size)
    except (OSError, ParseException) as error:
        # The connection broke, or stood still for longer than the server waits; or bad chunks.
        raise Malformed(f"The body breaks off: {error}") from None
    return piece


def parse(raw: bytes) -> Any:
    """Return the JSON value of ``raw``. Raises Malformed."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed(f"The body is not UTF-8: byte {error.start} is wrong.") from None
    try:
        value = json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_int=_int, parse_float=_float
        )
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise Malformed(f"The body is not JSON: {error.msg} at {where}.") from None
    except RecursionError:
        raise Malformed(f"The body is nested deeper than {MAX_DEPTH} levels.") from None
    _check(value)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise Malformed(f"The body names {twice[:100]!r} twice in one object.")
    return found


def _constant(text: str) -> NoReturn:
    raise Malformed(f"{text} is not JSON: numbers should be finite.")


def _int(text: str) -> int:
    _check_length(text)
    return int(text)


def _float(text: str) -> float:
    _check_length(text)
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise Malformed(f"{text} is too large a number.")
    return value


def _check_length(text: str) -> None:
    if len(text) > MAX_NUMBER_LENGTH:
        raise Malformed(
            f"A number of {len(text)} characters is longer than the {MAX_NUMBER_LENGTH} accepted."
        )


def _check(value: Any) -> None:
    """Walk without recursion: the parser's limit on depth is far above ours."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        below: list[Any] = []
        for item in level:
            if isinstance(item, str):
                _check_text(item)
            elif isinstance(item, list):
                below += item
            elif isinstance(item, dict):
                below += item.values()
                for key in item:
                    _check_text(key)
        if not below:
            return
        level = below
    raise Malformed(f"The body is nested deeper than {MAX_DEPTH} levels.")


def _check_text(text: str) -> None:
    if "\x00" in text:
        raise Malformed("The body holds the character NUL, which no text may have.")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise Malformed(
            "The body holds half a surrogate pair (\\ud800 to \\udfff), which is no character."
        ) from None
