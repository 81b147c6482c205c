from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from headrace_workers.job_pipes import Event, Exited
from headrace_workers.job_process import ForkServer, JobProcess
from headrace_workers.scratch import Scratch

HERE = Path(__file__).parent


class Runner:
    """A fork server with its scratch space, and short ways to run the entries of `job_entries`."""

    def __init__(self, root: Path, preload: str = "job_entries:preload", **options: float) -> None:
        self.root = root
        self.scratch = Scratch(root)
        environment = {"PYTHONPATH": str(HERE)}
        self.server = ForkServer(preload, self.scratch, environment=environment, **options)
        self.server.start()

    def spawn(self, entry: str, **options: int) -> JobProcess:
        return self.server.spawn(self.scratch.new("job"), entry=f"job_entries:{entry}", **options)

    def run(self, entry: str, **options: int) -> list[Event]:
        with self.spawn(entry, **options) as process:
            return read_to_end(process)

    def close(self) -> None:
        self.server.stop()
        self.scratch.close()


def read_to_end(process: JobProcess, timeout: float = 20.0) -> list[Event]:
    """Return all events of ``process``; the last one is its Exited."""
    deadline = time.monotonic() + timeout
    events: list[Event] = []
    while not (events and isinstance(events[-1], Exited)):
        assert time.monotonic() < deadline, f"no end after {timeout} s, but {events[-5:]}"
        events += process.read(1.0)
    return events


def wait_for(condition: object, timeout: float = 10.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    runner = Runner(tmp_path / "scratch")
    assert runner.server.ready(10)
    yield runner
    runner.close()
    assert not list((tmp_path / "scratch").glob("space-*"))
