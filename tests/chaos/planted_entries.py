"""What the fork server and the job process of a planted bug run. Found by PYTHONPATH."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def nothing() -> None:
    """Import nothing."""


def spare_the_group() -> None:
    """Plant the bug: whatever a job has started lives on."""
    import __main__ as server

    server._kill_group = lambda pid: False  # type: ignore[attr-defined]
    server._Server._kill_strays = lambda self: False  # type: ignore[attr-defined]


def leave_a_process(fd: int) -> None:
    """End well, and leave a process behind that could still write to the outputs."""
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", str(Path.cwd())])
