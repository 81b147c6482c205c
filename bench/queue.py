"""What the platform costs a job that does nothing: how soon it runs, and how many a second get done.

Usage: `python bench/queue.py [--jobs 50] [--drained 100] [--rounds 2]`. The jobs are whole train jobs of an
algorithm that learns nothing, brought as a plug-in (`noop_plugin/`): rows are read, encoded, predicted and
evaluated, and a version is registered. The peer is plain Celery, prefork with a fresh process for each task,
whose tasks only write down the time, on the same broker with as many slots. Exits 1 when a claim fails.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

sys.path.pop(0)  # this folder: this file is not the standard library's queue
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.deployment import COMMAND, EXAMPLES, headrace_up, succeed, upload
from celery import Celery
from rich.console import Console
from rich.table import Table

from headrace.client import Client
from headrace.config import Settings

HERE = Path(__file__).resolve().parent
SLOTS = 2
QUEUE = "bench"
LARGEST_START_S = 0.1
LARGEST_CODE_S = 0.3
SMALLEST_RATIO = 1.0
SETTLE_S = 0.2
"""Between two jobs, so that each finds the slot idle and waiting."""
SPEC = {"model": "noop", "dataset": "iris", "algorithm": "noop", "target": "species"}


class Latency(NamedTuple):
    """Seconds from the call of submit to ``running``, and from there to the algorithm's own code."""

    start: float
    code: float


@contextmanager
def plugin() -> Iterator[None]:
    """Have the no-op algorithm installed, as any plug-in is: as a package beside Headrace."""
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if uv is None:
        raise SystemExit("uv is missing: make setup")
    python = ("--quiet", "--python", sys.executable)
    source = HERE / "noop_plugin"
    subprocess.run(
        [uv, "pip", "install", *python, "--no-deps", "--no-build-isolation", "--reinstall", source],
        check=True,
    )
    try:
        yield
    finally:
        subprocess.run([uv, "pip", "uninstall", *python, "headrace-bench-noop"], check=True)


def latency(client: Client) -> Latency:
    """Run one job on an idle slot. Both processes read the one clock of this machine."""
    time.sleep(SETTLE_S)
    called = time.time()
    job = succeed(client, client.submit("train", SPEC)["id"])
    started = _seconds(job["started_at"])
    ((_, began),) = client.metrics(job["id"])["began_at"]
    return Latency(started - called, began - started)


def drain_headrace(client: Client, environment: Mapping[str, str], jobs: int) -> float:
    """Return jobs per second: fill a queue, start a worker, count from the first start to the last end."""
    ids = [client.submit("train", SPEC, queue=QUEUE)["id"] for _ in range(jobs)]
    with _running([COMMAND, "worker", "--queues", QUEUE, "--slots", str(SLOTS)], environment):
        ended = [succeed(client, id) for id in ids]
    first = min(_seconds(job["started_at"]) for job in ended)
    return jobs / (max(_seconds(job["finished_at"]) for job in ended) - first)


def drain_celery(broker: str, tasks: int) -> float:
    """Return tasks per second: fill a queue, start a worker, count from the first task to the last."""
    app = Celery(broker=broker)
    for _ in range(tasks):
        app.send_task("noop", ignore_result=True)
    app.close()
    with tempfile.TemporaryDirectory() as folder:
        stamps = Path(folder, "stamps")
        environment = {**os.environ, "BROKER": broker, "STAMPS": str(stamps)}
        options = ["--pool", "prefork", "--concurrency", str(SLOTS), "--max-tasks-per-child", "1"]
        command = [sys.executable, "-m", "celery", "-A", "celery_noop", "worker", "-l", "ERROR", *options]
        with _running(command, environment, cwd=HERE / "peers"):
            end = time.monotonic() + 600
            while not stamps.exists() or len(stamps.read_text().split()) < tasks:
                if time.monotonic() > end:
                    raise SystemExit("Celery did not run its tasks")
                time.sleep(0.1)
        times = [float(line) for line in stamps.read_text().split()]
    return (tasks - 1) / (max(times) - min(times))


@contextmanager
def _running(command: list[Any], environment: Mapping[str, str], cwd: Path | None = None) -> Iterator[None]:
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, env=environment, cwd=cwd, stdout=output, stderr=output)
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def main() -> int:
    """Run the bench and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=50, help="jobs of which the latency is measured")
    parser.add_argument("--drained", type=int, default=100, help="jobs drained in each round")
    parser.add_argument("--rounds", type=int, default=2, help="rounds of draining, the two in turn")
    arguments = parser.parse_args()
    with plugin(), headrace_up(slots=SLOTS) as (client, environment):
        upload(client, "iris", EXAMPLES / "iris.csv")
        latency(client)
        latencies = [latency(client) for _ in range(arguments.jobs)]
        # Another database of the same server, so that neither sees what the other left.
        broker = f"{Settings.load(environment).broker_url}?virtual_host=1"
        rates = [
            (drain_headrace(client, environment, arguments.drained), drain_celery(broker, arguments.drained))
            for _ in range(arguments.rounds)
        ]
    return report(latencies, rates)


def report(latencies: list[Latency], rates: list[tuple[float, float]]) -> int:
    """Print the tables and return 1 when a claim does not hold, else 0."""
    table = Table(title=f"{len(latencies)} jobs that do nothing, one at a time on an idle slot, milliseconds")
    for column in ("from, to", "median", "90 %", "largest", "claim"):
        table.add_column(column, justify="right")
    missed = []
    for name, values, limit in (
        ("submit, running", [each.start for each in latencies], LARGEST_START_S),
        ("running, the job's own code", [each.code for each in latencies], LARGEST_CODE_S),
    ):
        median = statistics.median(values)
        at_90 = statistics.quantiles(values, n=10)[-1]
        figures = (f"{value * 1000:.0f}" for value in (median, at_90, max(values)))
        table.add_row(name, *figures, f"median < {limit * 1000:.0f}")
        if median >= limit:
            missed.append(f"{name}: {median * 1000:.0f} ms, not under {limit * 1000:.0f}")
    Console().print(table)

    table = Table(title=f"Jobs that do nothing drained a second by {SLOTS} slots, a fresh process each")
    for column in ("round", "Headrace", "Celery prefork", "Headrace ÷ Celery"):
        table.add_column(column, justify="right")
    for number, (ours, theirs) in enumerate(rates, 1):
        table.add_row(str(number), f"{ours:.1f}", f"{theirs:.1f}", f"{ours / theirs:.2f}")
    ours, theirs = (statistics.median(column) for column in zip(*rates, strict=True))
    ratio = ours / theirs
    table.add_row("median", f"{ours:.1f}", f"{theirs:.1f}", f"{ratio:.2f}, claim ≥ {SMALLEST_RATIO}")
    Console().print(table)
    if ratio < SMALLEST_RATIO:
        missed.append(f"drained {ratio:.2f} times as many a second as Celery, not {SMALLEST_RATIO}")
    for claim in missed:
        print(f"not met: {claim}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
