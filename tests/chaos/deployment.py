"""The deployment under test: its parts as processes of their own, started again whenever they die, as a
service manager would."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from headrace.cli.guard import signal_group
from headrace.config import Settings

TESTS = Path(__file__).resolve().parents[1]
WORKERS = ("worker-1", "worker-2")
SCHEDULERS = ("scheduler-1", "scheduler-2")
WEB = "web"
RESTART_S = 0.3
STOP_S = 10.0
_LIGHT = (sys.executable, str(TESTS / "integration" / "workers" / "light_worker.py"))
_HEADRACE = (sys.executable, "-m", "headrace", "--debug")


@dataclass(eq=False)
class Part:
    """One process to keep. ``held``: a fault is at work on it, so others leave it alone."""

    name: str
    command: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    ended_at: float = 0.0
    starts: int = 0
    held: bool = False
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def pid(self) -> int | None:
        process = self.process
        return process.pid if process is not None and process.poll() is None else None


class Deployment:
    """Web, two schedulers and two workers on ``settings``; what they log goes to ``logs``."""

    def __init__(self, settings: Settings, logs: Path, *, light: bool) -> None:
        self.settings = settings
        self.logs = logs
        worker = _LIGHT if light else (*_HEADRACE, "worker")
        self.parts = {
            WEB: Part(WEB, (*_HEADRACE, "web")),
            **{name: Part(name, (*_HEADRACE, "scheduler")) for name in SCHEDULERS},
            **{name: Part(name, worker) for name in WORKERS},
        }
        self._stopping = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="keeper")

    @property
    def mark(self) -> str:
        """What every process of this deployment bears in its environment."""
        return str(self.settings.data)

    def start(self) -> None:
        """Start everything; return when jobs can be accepted and run."""
        self._keeper.start()
        self.until_ready()

    def until_ready(self, within_s: float = 90.0) -> None:
        deadline = time.monotonic() + within_s
        while True:
            with suppress(httpx.TransportError):
                if httpx.get(f"{self.settings.local_url}/readyz", timeout=5).status_code == 200:
                    return
            assert time.monotonic() < deadline, f"the deployment is not ready; see {self.logs}"
            time.sleep(0.1)

    def kill(self, name: str) -> None:
        """SIGKILL one part; the keeper starts it again."""
        pid = self.parts[name].pid
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def restart(self, name: str, extra: Mapping[str, str]) -> None:
        """Kill one part and have it started with ``extra`` in its environment; return when it runs."""
        part = self.parts[name]
        before, part.extra = part.starts, dict(extra)
        self.kill(name)
        deadline = time.monotonic() + STOP_S
        while part.starts == before and time.monotonic() < deadline:
            time.sleep(0.02)

    def children(self, name: str) -> list[psutil.Process]:
        """Return the direct children of a part."""
        pid = self.parts[name].pid
        with suppress(psutil.Error):
            return psutil.Process(pid).children() if pid else []
        return []

    def stop(self) -> list[str]:
        """End every part by SIGTERM; return what did not end in time, and was killed."""
        self._stopping.set()
        self._keeper.join()
        alive = {name: part.process for name, part in self.parts.items() if part.process is not None}
        for process in alive.values():
            process.terminate()
        deadline = time.monotonic() + STOP_S
        late = []
        for name, process in alive.items():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                late.append(f"{name} did not end within {STOP_S:g} s of SIGTERM")
                process.kill()
                process.wait()
            signal_group(process.pid, signal.SIGKILL)
        return late

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run ``headrace`` with these words, on the settings of the deployment."""
        return subprocess.run(
            [*_HEADRACE, *words], env=self._environment({}), capture_output=True, text=True, timeout=120
        )

    def log(self, name: str) -> str:
        return (self.logs / f"{name}.log").read_text(errors="replace")

    def _keep(self) -> None:
        while not self._stopping.wait(0.05):
            for part in self.parts.values():
                self._keep_one(part)

    def _keep_one(self, part: Part) -> None:
        if part.process is not None:
            if part.process.poll() is None:
                return
            # What a service manager does too: whatever is left of the part's own group goes with it.
            signal_group(part.process.pid, signal.SIGKILL)
            part.process, part.ended_at = None, time.monotonic()
        if time.monotonic() - part.ended_at < RESTART_S:
            return
        with (self.logs / f"{part.name}.log").open("ab") as log:
            part.process = subprocess.Popen(
                part.command,
                env=self._environment(part.extra),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        part.starts += 1

    def _environment(self, extra: Mapping[str, str]) -> dict[str, str]:
        paths = [extra.get("PYTHONPATH"), str(TESTS / "plugins"), os.environ.get("PYTHONPATH")]
        return {
            "PATH": os.environ["PATH"],
            **self.settings.environ(),
            **extra,
            "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        }
