"""A power cut, as a disk lives it: of what was written it has what was flushed, and nothing else for sure."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

Fsync = Callable[[int], None]


class Disk:
    """Watches what is flushed, by standing in for ``os.fsync``; `cut` takes away what was not."""

    def __init__(self, fsync: Fsync = os.fsync) -> None:
        self._fsync = fsync
        self._files: set[int] = set()
        self._entries: dict[int, set[str]] = {}

    def fsync(self, fd: int) -> None:
        """Flush ``fd``: the content of a file, the entries of a folder."""
        self._fsync(fd)
        status = os.fstat(fd)
        if os.path.isdir(f"/proc/self/fd/{fd}"):
            self._entries[status.st_ino] = set(os.listdir(fd))
        else:
            self._files.add(status.st_ino)

    def cut(self, folder: Path) -> None:
        """Leave of ``folder`` what was flushed: entries that were not are gone, such files are empty."""
        kept = self._entries.get(folder.stat().st_ino, set())
        for path in folder.iterdir():
            if path.is_dir():
                self.cut(path)
                if path.name not in kept and not any(path.iterdir()):
                    path.rmdir()
            elif path.name not in kept:
                path.unlink()
            elif path.stat().st_ino not in self._files:
                path.chmod(0o640)
                path.write_bytes(b"")
