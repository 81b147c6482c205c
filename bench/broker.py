"""What a broker that is frozen, or gone, costs: requests to the API, and jobs.

Usage: `python bench/broker.py [--requests 2000] [--jobs 10]`. A broker of its own is frozen (SIGSTOP) for
every second block of requests, half of which submit jobs, so that blocks with it healthy lie between. Then it
is killed, and jobs are submitted all the same. Exits 1 when a claim fails.
"""

from __future__ import annotations

import argparse
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import httpx

sys.path.pop(0)  # this folder: queue.py is not the standard library's
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.deployment import EXAMPLES, headrace_up, upload
from rich.console import Console
from rich.table import Table

from headrace import broker
from headrace.client import Client
from headrace.config import Settings

BLOCK = 100
LARGEST_S = 1.0
LARGEST_RATIO = 1.1
LATEST_START_S = 2.5
"""An idle slot looks for itself every second; the rest is for a machine that has other things to do."""
JOB = {
    "kind": "train",
    "spec": {"model": "m", "dataset": "iris", "algorithm": "mlp", "target": "species"},
    "queue": "nobody",
}


@contextmanager
def running_broker() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Start a broker on a socket; yield its URL and its process."""
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder:
        path = Path(folder, "s.sock")
        options = ["--port", "0", "--unixsocket", path, "--dir", folder, "--save", ""]
        process = subprocess.Popen([broker.executable(), *options], stdout=subprocess.DEVNULL)
        while not _listens(path):
            time.sleep(0.02)
        try:
            yield f"redis+socket://{path}", process
        finally:
            process.kill()
            process.wait()


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def requests(environment: dict[str, str], process: subprocess.Popen[bytes], count: int) -> list[list[float]]:
    """Return the seconds of ``count`` requests with the broker healthy, and of as many with it frozen."""
    settings = Settings.load(environment)
    headers = {"Authorization": f"Bearer {settings.admin_key_file.read_text().strip()}"}
    seconds: list[list[float]] = [[], []]
    base = f"http://127.0.0.1:{settings.port}/api/v1/"
    with httpx.Client(base_url=base, headers=headers, timeout=60) as http:
        for number in range(-2, 2 * count // BLOCK):
            frozen = number % 2
            process.send_signal(signal.SIGSTOP if frozen else signal.SIGCONT)
            for request in range(BLOCK):
                began = time.perf_counter()
                answer = http.get("jobs?limit=10") if request % 2 else http.post("jobs", json=JOB)
                if number >= 0:  # the first two blocks warm up
                    seconds[frozen].append(time.perf_counter() - began)
                answer.raise_for_status()
    process.send_signal(signal.SIGCONT)
    return seconds


def starts(client: Client, name: str, jobs: int) -> list[float]:
    """Ingest so many small files, one after another; return the seconds from submission to start of each."""
    waited = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(jobs):
            path = Path(folder, f"{number}.csv")
            path.write_text(f"a,b\n{number},1\n")
            version = client.upload_dataset(f"{name}-{number}", path)
            job = client.wait(version["job"], timeout_s=60)
            if job["state"] != "succeeded":
                raise SystemExit(f"{job['id']} has {job['state']}: {job['error']}")
            created, started = (datetime.fromisoformat(job[key]) for key in ("created_at", "started_at"))
            waited.append((started - created).total_seconds())
    return waited


def main() -> int:
    """Run the bench and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=2_000, help="requests with the broker frozen")
    parser.add_argument("--jobs", type=int, default=10, help="jobs run with the broker, and without")
    arguments = parser.parse_args()
    with running_broker() as (url, process), headrace_up(slots=1, broker_url=url) as (client, environment):
        upload(client, "iris", EXAMPLES / "iris.csv")
        healthy, frozen = requests(environment, process, arguments.requests)
        before = starts(client, "before", arguments.jobs)
        process.kill()
        process.wait()
        after = starts(client, "after", arguments.jobs)
    return report(healthy, frozen, before, after)


def report(healthy: list[float], frozen: list[float], before: list[float], after: list[float]) -> int:
    """Print the tables and return 1 when a claim does not hold, else 0."""
    missed = []
    table = Table(title="Requests to the API, milliseconds")
    for column in ("broker", "requests", "median", "99 %", "largest"):
        table.add_column(column, justify="right")
    for name, values in (("healthy", healthy), ("frozen", frozen)):
        at_99 = statistics.quantiles(values, n=100)[-1]
        figures = (f"{1000 * value:.1f}" for value in (statistics.median(values), at_99, max(values)))
        table.add_row(name, str(len(values)), *figures)
    Console().print(table)
    ratio = statistics.median(frozen) / statistics.median(healthy)
    print(f"median with the broker frozen ÷ healthy: {ratio:.3f}, claim ≤ {LARGEST_RATIO}")
    if ratio > LARGEST_RATIO:
        missed.append(f"the median with the broker frozen is {ratio:.2f} times that with it healthy")
    if max(frozen) > LARGEST_S:
        missed.append(f"a request took {max(frozen):.2f} s with the broker frozen")
    table = Table(title="Jobs, from submission to start, milliseconds")
    for column in ("broker", "jobs", "median", "largest"):
        table.add_column(column, justify="right")
    for name, values in (("healthy", before), ("gone", after)):
        figures = (f"{1000 * value:.0f}" for value in (statistics.median(values), max(values)))
        table.add_row(name, str(len(values)), *figures)
    Console().print(table)
    if max(after) > LATEST_START_S:
        missed.append(f"without the broker a job started after {max(after):.1f} s, not {LATEST_START_S}")
    for claim in missed:
        print(f"not met: {claim}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
