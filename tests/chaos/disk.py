"""The disk of the deployment: a tmpfs of its own, where we may mount one, that can be full for a while."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SIZE_MB = 256
_CHUNK = b"\0" * 2**20


class Disk:
    """A new folder for data; ``mounted`` says whether it is a file system of its own."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="chaos-data-"))
        command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m,mode=700", "tmpfs", str(self.path)]
        self.mounted = os.getuid() == 0 and subprocess.run(command, capture_output=True).returncode == 0

    @contextmanager
    def full(self) -> Iterator[None]:
        """Have no byte left on it."""
        ballast = self.path / "ballast"
        try:
            with suppress(OSError), ballast.open("wb", buffering=0) as file:
                while True:
                    file.write(_CHUNK)
            yield
        finally:
            ballast.unlink()

    def close(self) -> None:
        if self.mounted:
            subprocess.run(["umount", "--lazy", str(self.path)], check=True)
            self.path.rmdir()
