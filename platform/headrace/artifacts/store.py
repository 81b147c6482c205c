"""Opening the artifact store, and copying files into and out of it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from headrace.artifacts.local import LocalStore
from headrace.artifacts.protocol import CHUNK_BYTES, Stage, Store, Stored
from headrace.config import redact
from headrace.errors import ArtifactCorrupt, Invalid, StorageFailed

__all__ = [
    "CHUNK_BYTES",
    "LocalStore",
    "Stage",
    "Store",
    "Stored",
    "fetch_file",
    "open_store",
    "put_file",
    "read_verified",
]

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def open_store(url: str) -> Store:
    """Return the store at ``url``: ``file:///folder`` or ``s3://bucket/prefix``.

    Raises `Invalid` for any other: of what else fsspec reaches, most cannot promise that bytes are durable,
    or that they appear whole or not at all, and none was tested.
    """
    parts = urlsplit(url)
    if parts.scheme == "file" and not parts.netloc and parts.path:
        return LocalStore(Path(unquote(parts.path)))
    if parts.scheme == "s3" and _BUCKET.fullmatch(parts.netloc):
        from headrace.artifacts.s3 import S3Store

        return S3Store(parts.netloc, unquote(parts.path).strip("/"))
    raise Invalid.field(
        "HEADRACE_ARTIFACTS_URL", msg=f"should be file:///folder or s3://bucket/prefix, not {redact(url)!r}"
    )


def put_file(store: Store, path: Path, keepalive: Callable[[], None] = lambda: None) -> Stored:
    """Copy the file at ``path`` into ``store``; ``keepalive`` is called between chunks."""
    with path.open("rb") as source, store.stage() as stage:
        while chunk := source.read(CHUNK_BYTES):
            stage.write(chunk)
            keepalive()
        return stage.commit(keepalive)


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
        while chunk := _read(source):
            actual.update(chunk)
            yield chunk
    if f"sha256:{actual.hexdigest()}" != digest:
        raise ArtifactCorrupt(f"{digest} in the artifact store reads as sha256:{actual.hexdigest()}")


def _read(source: BinaryIO) -> bytes:
    try:
        return source.read(CHUNK_BYTES)
    except OSError as error:
        raise StorageFailed(f"cannot read from the artifact store: {error.strerror or error}") from error
