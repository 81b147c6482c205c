"""Runs the ingest of each upload in a process of its own, forked from this one, which has what it needs.

Reads the scratch folders, one a line, from standard input; answers each with a line of JSON: how the process
ended, what it took, its last message, and what it opened for writing outside of its folder.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from headrace_workers.engine import preload
from headrace_workers.engine.main import main

KILLED_AFTER_S = 60
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHANGES = ("os.mkdir", "os.rename", "os.symlink", "os.link", "os.remove", "os.chmod", "shutil.move")
FORBIDDEN = (
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "socket.connect",
    "pickle.find_class",
)


def watch(scratch: Path, report: int) -> None:
    """Write a line to ``report`` for whatever this process does that an ingest has no business to do."""

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event == "open" and (not isinstance(args[2], int) or not args[2] & WRITES):
            return
        if event in ("open", *CHANGES):
            if isinstance(args[0], str) and not Path(args[0]).resolve().is_relative_to(scratch):
                os.write(report, f"{event} {args[0]}\n".encode())
        elif event in FORBIDDEN:
            os.write(report, f"{event} {args}\n".encode())

    sys.addaudithook(hook)


def run(scratch: Path) -> dict[str, Any]:
    """Return how the ingest of the upload in ``scratch`` went."""
    messages, misdeeds = scratch / "messages", scratch / "misdeeds"
    start = time.monotonic()
    child = os.fork()
    if not child:
        status = 1
        try:
            os.setsid()
            os.chdir(scratch)
            report = os.open(misdeeds, os.O_WRONLY | os.O_CREAT)
            out = os.open(messages, os.O_WRONLY | os.O_CREAT)
            log = os.open(scratch / "log", os.O_WRONLY | os.O_CREAT)
            os.dup2(log, 1)
            os.dup2(log, 2)
            signal.alarm(KILLED_AFTER_S)
            watch(scratch, report)
            main(out)
            status = 0
        finally:
            os._exit(status)
    _, status, usage = os.wait4(child, 0)
    lines = messages.read_text().splitlines() if messages.exists() else []
    return {
        "status": os.waitstatus_to_exitcode(status),
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "wall_s": time.monotonic() - start,
        "peak_mb": usage.ru_maxrss / 1024,
        "last": json.loads(lines[-1]) if lines else None,
        "misdeeds": misdeeds.read_text(),
        "log": (scratch / "log").read_text()[-2000:],
    }


if __name__ == "__main__":
    for name in preload.LIGHT:
        import_module(name)
    for name in ("h5py", "headrace_workers.engine.kinds.ingest", "headrace_workers.engine.kinds.upload"):
        import_module(name)
    for line in sys.stdin:
        print(json.dumps(run(Path(line.strip()))), flush=True)
