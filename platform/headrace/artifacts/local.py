"""The artifact store in a local folder.

Layout: ``staging/`` for files being written, ``<first two hex digits>/<hex>`` for finished ones. A file is
written in ``staging``, flushed to the disk, renamed, and its folder flushed: after `LocalStage.commit`
returns, a power cut cannot take it back. Whoever writes a staged file holds a lock on it, and whoever deletes
holds one on the root; the kernel frees both when the process dies, so who still lives is never guessed.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from headrace.artifacts.protocol import Stored, file_name
from headrace.errors import ArtifactMissing, StorageFailed, StorageFull

_NAME = re.compile(r"[0-9a-f]{64}")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class LocalStore:
    """A `Store` in a local folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.staging = root / "staging"
        if not self.staging.is_dir():
            with _reported("make"):
                self.staging.mkdir(parents=True, exist_ok=True, mode=0o700)
                _sync_folder(root)
                _sync_folder(root.parent)

    def path(self, digest: str) -> Path:
        """Return where the bytes ``digest`` are or would be."""
        return self.root / file_name(digest)

    def stage(self) -> LocalStage:
        """See `Store.stage`."""
        return LocalStage(self)

    def open(self, digest: str) -> BinaryIO:
        """See `Store.open`."""
        with _found(digest):
            return self.path(digest).open("rb")

    def size(self, digest: str) -> int:
        """See `Store.size`."""
        with _found(digest):
            return self.path(digest).stat().st_size

    def delete(self, digest: str) -> None:
        """See `Store.delete`."""
        with _reported("delete from"):
            self.path(digest).unlink(missing_ok=True)

    def digests(self, after: str = "") -> Iterator[str]:
        """See `Store.digests`."""
        last = after.removeprefix("sha256:")
        for folder in self._names(self.root):
            if len(folder) == 2 and folder >= last[:2]:
                for name in self._names(self.root / folder):
                    if name > last and _NAME.fullmatch(name):
                        yield f"sha256:{name}"

    @contextmanager
    def deleting(self) -> Iterator[timedelta | None]:
        """See `Store.deleting`. Who holds the lock knows that all others are dead."""
        with _reported("lock"):
            fd = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield timedelta() if _locks(fd) else None
        finally:
            os.close(fd)

    def leftovers(self, idle: timedelta) -> Iterator[str]:
        """See `Store.leftovers`."""
        oldest = time.time() - idle.total_seconds()
        for name in self._names(self.staging):
            path = self.staging / name
            with _reported("read from"), suppress(FileNotFoundError):
                if path.stat().st_mtime <= oldest and not _is_locked(path):
                    yield name

    def discard(self, leftover: str) -> None:
        """See `Store.discard`."""
        path = self.staging / leftover
        with _reported("delete from"), suppress(FileNotFoundError), path.open("rb") as file:
            if _locks(file.fileno()):
                path.unlink()

    def _names(self, folder: Path) -> list[str]:
        with _reported("read from"):
            return sorted(os.listdir(folder))


class LocalStage:
    """A `Stage` in a local folder."""

    def __init__(self, store: LocalStore) -> None:
        self._store = store
        self._hash = hashlib.sha256()
        self._size = 0
        with _reported("write to"):
            self._path, self._file = _new_file(store.staging)

    def write(self, chunk: bytes) -> None:
        """See `Stage.write`."""
        with _reported("write to"):
            self._file.write(chunk)
        self._hash.update(chunk)
        self._size += len(chunk)

    def digest(self) -> str:
        """See `Stage.digest`."""
        return f"sha256:{self._hash.hexdigest()}"

    def commit(self, keepalive: Callable[[], None] = lambda: None) -> Stored:
        """See `Stage.commit`. Flushing cannot be watched, so ``keepalive`` is not called."""
        stored = Stored(self.digest(), self._size)
        with _reported("write to"):
            self._file.flush()
            os.fsync(self._file.fileno())
            os.fchmod(self._file.fileno(), 0o440)
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
            with _reported("write to"):
                self._file.close()  # raises when what is still buffered finds the disk full
        finally:
            with _reported("delete from"):
                self._path.unlink(missing_ok=True)


@contextmanager
def _reported(doing: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        kind = StorageFull if error.errno in _FULL else StorageFailed
        raise kind(f"cannot {doing} the artifact store: {error.strerror or error}") from error


@contextmanager
def _found(digest: str) -> Iterator[None]:
    with _reported("read from"):
        try:
            yield
        except FileNotFoundError:
            raise ArtifactMissing(f"{digest} is not in the artifact store") from None


def _new_file(folder: Path) -> tuple[Path, BinaryIO]:
    """Return a new file in ``folder``, locked."""
    while True:
        path = folder / secrets.token_hex(16)
        file = path.open("xb")
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return path, file
        file.close()  # it was taken for a leftover before it was locked


def _locks(fd: int) -> bool:
    """Return whether the file is now locked by this process, until it is closed."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_locked(path: Path) -> bool:
    with path.open("rb") as file:
        return not _locks(file.fileno())


def _sync_folder(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
