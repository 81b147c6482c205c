"""Requests that survive a moment without a server: retries, problem documents, files with digests."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import os
import random
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar
from urllib.parse import urlsplit

import httpx

from headrace import __version__
from headrace.client.errors import ApiError, Unreachable
from headrace.errors import DigestMismatch, HeadraceError

ATTEMPTS = 5
"""How often a request that may be repeated is sent: over about three seconds."""
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0
CHUNK_BYTES = 256 * 1024
OVERLOADED = frozenset({429, 502, 503, 504})

T = TypeVar("T")
Params = Mapping[str, Any]
ProgressCallback = Callable[[int, int | None], None]
"""Called with the bytes done so far, and those in all where that is known."""


class Transport:
    """Sends requests to one server with one key. Thread-safe, as `httpx.Client` is."""

    def __init__(
        self,
        url: str,
        key: str | None,
        *,
        timeout_s: float = 30.0,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = url.rstrip("/")
        self._sleep = sleep
        headers = {"User-Agent": f"headrace/{__version__}"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        try:
            self._http = httpx.Client(
                base_url=self.url,
                headers=headers,
                timeout=httpx.Timeout(timeout_s, connect=5.0),
                transport=transport,
                # A proxy for the outside world cannot reach this machine's own loopback.
                trust_env=not is_loopback(url),
            )
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError, ValueError) as error:
            # A key with a line break or beyond ASCII is no header.
            raise HeadraceError(f"cannot use the server {url[:200]!r} or the key: {error}") from None

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def json(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Return the JSON of the answer, None where there is none. Raises `ApiError`, `Unreachable`."""
        response = self.send(method, path, params=params, json=body, headers=headers)
        return _json(response) if response.content else None

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        json: Any = None,
        content: Callable[[], Iterator[bytes]] | None = None,
        headers: Mapping[str, str] | None = None,
        retry: bool = True,
    ) -> httpx.Response:
        """Return the answer, which is no error. ``content`` makes the body anew for each attempt.

        What may be repeated (GET, PUT, and whatever has an idempotency key) is, unless ``retry`` is false.
        """

        def attempt() -> httpx.Response:
            response = self._http.request(
                method,
                path,
                params=_present(params),
                json=json,
                content=content() if content else None,
                headers=headers,
            )
            _raise_for_problem(response)
            return response

        repeatable = method in ("GET", "PUT") or (headers is not None and "Idempotency-Key" in headers)
        return self._retrying(attempt, retry and repeatable)

    def download(
        self,
        path: str,
        target: Path,
        *,
        params: Params | None = None,
        progress: ProgressCallback | None = None,
    ) -> str:
        """Write a file to ``target``, whole or not at all, and return its digest (``sha256:…``).

        Raises `DigestMismatch` when the bytes are not those that the server announced.
        """

        def attempt() -> str:
            with self._http.stream("GET", path, params=_present(params)) as response:
                if response.is_error:
                    response.read()
                _raise_for_problem(response)
                announced = _announced_digest(response.headers)
                length = response.headers.get("content-length", "")
                total = int(length) if length.isdecimal() else None
                with _replacing(target) as file:
                    digest = hashlib.sha256()
                    done = 0
                    for chunk in response.iter_bytes(CHUNK_BYTES):
                        file.write(chunk)
                        digest.update(chunk)
                        done += len(chunk)
                        if progress:
                            progress(done, total)
                    if announced != digest.digest():
                        raise DigestMismatch(
                            f"{path} should hash to {announced.hex()}, but {done} bytes that hash to "
                            f"{digest.hexdigest()} came; nothing was kept"
                        )
            return f"sha256:{digest.hexdigest()}"

        return self._retrying(attempt, repeatable=True)

    @contextmanager
    def stream(
        self, path: str, *, params: Params | None = None, headers: Mapping[str, str], silence_s: float
    ) -> Iterator[httpx.Response]:
        """Yield an answer to be read as it comes; it breaks off after ``silence_s`` without a byte.

        Raises `ApiError`, and httpx.TransportError, also while it is read. Not tried again.
        """
        timeout = httpx.Timeout(silence_s, connect=5.0)
        request = self._http.stream("GET", path, params=_present(params), headers=headers, timeout=timeout)
        with request as response:
            if response.is_error:
                response.read()
            _raise_for_problem(response)
            yield response

    def _retrying(self, attempt: Callable[[], T], repeatable: bool) -> T:
        pause = FIRST_PAUSE_S
        for number in range(1, ATTEMPTS + 1):
            last = number == ATTEMPTS or not repeatable
            try:
                return attempt()
            except httpx.TransportError as error:
                if last:
                    raise self._unreachable(error) from None
            except ApiError as error:
                # After a break the server may still be busy with the very same request.
                in_progress = number > 1 and error.type.endswith("/idempotency-key-in-use")
                if last or (error.status not in OVERLOADED and not in_progress):
                    raise
                pause = max(pause, min(error.retry_after_s or 0.0, LONGEST_PAUSE_S))
            self._sleep(pause * random.uniform(0.8, 1.2))
            pause = min(pause * 2, LONGEST_PAUSE_S)
        raise AssertionError("the last attempt returns or raises")

    def _unreachable(self, error: httpx.TransportError) -> Unreachable:
        reason = str(error) or type(error).__name__
        hint = " Is it running? `headrace up` starts one." if isinstance(error, httpx.ConnectError) else ""
        return Unreachable(f"cannot reach {self.url}: {reason}.{hint}")


def is_loopback(url: str) -> bool:
    """Return whether ``url`` is a server on this machine."""
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def content_digest(path: Path) -> tuple[str, int]:
    """Return the ``Content-Digest`` header (RFC 9530) and the size in bytes of the file ``path``."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
        return f"sha-256=:{base64.b64encode(digest).decode()}:", file.tell()


def read_chunks(path: Path, size: int, progress: ProgressCallback | None) -> Iterator[bytes]:
    """Yield the file ``path`` piece by piece."""
    done = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
            done += len(chunk)
            if progress:
                progress(done, size)


def _present(params: Params | None) -> dict[str, Any]:
    return {name: value for name, value in (params or {}).items() if value is not None}


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        kind = response.headers.get("content-type", "no type")
        raise HeadraceError(
            f"{response.request.method} {response.url} answered {kind}, not JSON: is this a Headrace server?"
        ) from None


def _raise_for_problem(response: httpx.Response) -> None:
    if response.is_success:
        return
    body: Any = None
    if "json" in response.headers.get("content-type", ""):
        try:
            body = response.json()
        except ValueError:
            body = None
    raise ApiError.from_answer(response.status_code, body, response.headers)


def _announced_digest(headers: Mapping[str, str]) -> bytes:
    for part in headers.get("content-digest", "").split(","):
        name, _, value = part.strip().partition("=")
        if name == "sha-256":
            try:
                return base64.b64decode(value.strip(":"), validate=True)
            except ValueError:
                break
    raise DigestMismatch("the server announced no SHA-256 digest for this file, so it cannot be checked")


@contextmanager
def _replacing(target: Path) -> Iterator[IO[bytes]]:
    """Yield a file that takes the place of ``target`` at the end, or vanishes if anything is raised."""
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        with partial.open("xb") as file:
            yield file
        os.replace(partial, target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
