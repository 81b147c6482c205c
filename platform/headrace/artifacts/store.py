"""The artifact store: a small protocol, and the store in a local folder.

A digest is written ``sha256:<64 hex digits>``. Layout of the folder: ``staging/`` for files being written,
``<first two hex digits>/<hex>`` for finished ones. A file is written in ``staging``, flushed to the disk,
renamed, and its folder flushed: after `Stage.commit` returns, a power cut cannot take it back.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple, Protocol, Self
from urllib.parse import unquote, urlsplit

from headrace.errors import ArtifactCorrupt, ArtifactMissing

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

    def commit(self) -> Stored:
        """Make the bytes durable and visible under their digest."""

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

    def delete(self, digest: str) -> None:
        """Remove the bytes, if they are there."""

    def digests(self) -> Iterator[str]:
        """Yield the digest of everything in the store."""


def open_store(url: str) -> Store:
    """Return the store at ``url``: ``file:///folder``. Raises ValueError for others."""
    parts = urlsplit(url)
    if parts.scheme != "file":
        raise ValueError(
            f"HEADRACE_ARTIFACTS_URL: {parts.scheme or url!r} is not supported; use file:///folder"
        )
    return LocalStore(Path(unquote(parts.path)))


def put_file(store: Store, path: Path, keepalive: Callable[[], None] = lambda: None) -> Stored:
    """Copy the file at ``path`` into ``store``; ``keepalive`` is called between chunks."""
    with path.open("rb") as source, store.stage() as stage:
        while chunk := source.read(CHUNK_BYTES):
            stage.write(chunk)
            keepalive()
        return stage.commit()


def fetch_file(store: Store, digest: str, target: Path, keepalive: Callable[[], None] = lambda: None) -> None:
    """Copy the bytes ``digest`` to the new file ``target``.

    Raises `ArtifactMissing`, or `ArtifactCorrupt` when they do not hash to their name.
    """
    with target.open("xb") as sink:
        for chunk in read_verified(store, digest):
            sink.write(chunk)
            keepalive()


def read_verified(store: Store, digest: str) -> Iterator[bytes]:
    """Yield the bytes in chunks; raise `ArtifactCorrupt` at the end when they do not hash to their name."""
    actual = hashlib.sha256()
    with store.open(digest) as source:
        while chunk := source.read(CHUNK_BYTES):
            actual.update(chunk)
            yield chunk
    if f"sha256:{actual.hexdigest()}" != digest:
        raise ArtifactCorrupt(f"{digest} in the artifact store reads as sha256:{actual.hexdigest()}")


class LocalStore:
    """A `Store` in a local folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.staging = root / "staging"
        self.staging.mkdir(parents=True, exist_ok=True, mode=0o700)

    def path(self, digest: str) -> Path:
        """Return where the bytes ``digest`` are or would be."""
        if not _DIGEST.fullmatch(digest):
            raise ArtifactMissing(f"{digest!r} is no digest")
        name = digest.removeprefix("sha256:")
        return self.root / name[:2] / name

    def stage(self) -> LocalStage:
        """See `Store.stage`."""
        return LocalStage(self)

    def open(self, digest: str) -> BinaryIO:
        """See `Store.open`."""
        try:
            return self.path(digest).open("rb")
        except FileNotFoundError:
            raise ArtifactMissing(f"{digest} is not in the artifact store") from None

    def delete(self, digest: str) -> None:
        """See `Store.delete`."""
        path = self.path(digest)
        path.unlink(missing_ok=True)

    def digests(self) -> Iterator[str]:
        """See `Store.digests`."""
        for path in sorted(self.root.glob("[0-9a-f][0-9a-f]/*")):
            yield f"sha256:{path.name}"


class LocalStage:
    """A `Stage` in a local folder."""

    def __init__(self, store: LocalStore) -> None:
        self._store = store
        self._hash = hashlib.sha256()
        self._size = 0
        self._path = store.staging / secrets.token_hex(16)
        self._file = self._path.open("xb")

    def write(self, chunk: bytes) -> None:
        """See `Stage.write`."""
        self._file.write(chunk)
        self._hash.update(chunk)
        self._size += len(chunk)

    def digest(self) -> str:
        """See `Stage.digest`."""
        return f"sha256:{self._hash.hexdigest()}"

    def commit(self) -> Stored:
        """See `Stage.commit`."""
        stored = Stored(self.digest(), self._size)
        self._file.flush()
        os.fsync(self._file.fileno())
        os.fchmod(self._file.fileno(), 0o440)
        self._file.close()
        target = self._store.path(stored.digest)
        target.parent.mkdir(exist_ok=True)
        # Also where it was there already: whoever has just made it may not have flushed it yet.
        _sync_folder(self._store.root)
        # Replacing equal bytes is harmless, and mends a file that had gone bad.
        self._path.rename(target)
        _sync_folder(target.parent)
        return stored

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._file.close()  # raises when what is still buffered finds the disk full
        finally:
            self._path.unlink(missing_ok=True)


def _sync_folder(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
