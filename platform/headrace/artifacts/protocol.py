"""What a store of artifacts promises, whatever it is kept in.

A digest is written ``sha256:<64 hex digits>``; what is stored under it never changes. Every method raises
`StorageFailed` when the disk or the service behind the store fails, and `StorageFull` when it has no room.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from types import TracebackType
from typing import BinaryIO, NamedTuple, Protocol, Self

from headrace.errors import ArtifactMissing

CHUNK_BYTES = 1024 * 1024
_DIGEST = re.compile(r"^sha256:[0-9a-f]{64}$")


class Stored(NamedTuple):
    """Bytes that are safe in the store."""

    digest: str
    size_bytes: int


class Stage(Protocol):
    """Bytes on their way into the store. Leaving the ``with`` block without `commit` discards them."""

    def write(self, chunk: bytes) -> None:
        """Append ``chunk``."""

    def digest(self) -> str:
        """Return the digest of what has been written so far."""

    def commit(self, keepalive: Callable[[], None] = ...) -> Stored:
        """Make the bytes durable and visible under their digest; ``keepalive`` is called now and then."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Store(Protocol):
    """Where artifacts are kept. Every method may be called from any process at any time."""

    def stage(self) -> Stage:
        """Return a place for new bytes."""

    def open(self, digest: str) -> BinaryIO:
        """Return a seekable reader. Raises `ArtifactMissing`."""

    def size(self, digest: str) -> int:
        """Return how many bytes are stored under ``digest``. Raises `ArtifactMissing`."""

    def delete(self, digest: str) -> None:
        """Remove the bytes, if they are there. Only `headrace.artifacts.collector` may."""

    def digests(self, after: str = "") -> Iterator[str]:
        """Yield the digest of everything in the store that sorts behind ``after``, in order."""

    def deleting(self) -> AbstractContextManager[timedelta | None]:
        """Hold the right to delete. Yields None while another process holds it; else the age from which on a
        process that had announced to delete something, and has not said that it did, must be dead.
        """

    def leftovers(self, idle: timedelta) -> Iterator[str]:
        """Yield what writers that are dead, and did nothing for ``idle``, left half-written."""

    def discard(self, leftover: str) -> None:
        """Remove what `leftovers` yielded, if it is still there."""


def file_name(digest: str) -> str:
    """Return where the bytes ``digest`` are kept below the root of any store: ``<2 hex digits>/<64>``.

    Raises `ArtifactMissing` for what is no digest, so that nothing else ever becomes a path.
    """
    if not _DIGEST.fullmatch(digest):
        raise ArtifactMissing(f"{digest[:100]!r} is no digest")
    name = digest.removeprefix("sha256:")
    return f"{name[:2]}/{name}"
