"""The reference network on MNIST, as a plain Keras script in a process of its own and as a Headrace job.

Usage: `python bench/train.py [--rows 5000 60000] [--rounds 3] [--no-loops]`. Script and job take turns in one
run.
The script's time is that of its whole process: imports, 5 epochs, evaluation. The job's is what a user waits,
from submission to the final state as the client sees it: training, evaluation, packaging, registration; the
upload is done before, and the fork servers are warm. Then the training loop alone, see `bench.loops`. Exits 1
when a claim does not hold.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

sys.path.pop(0)  # this folder, whose `queue.py` is not the standard library's
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.data import Mnist, mnist
from bench.deployment import headrace_up, succeed, upload, warm_up
from bench.loops import compare_loops
from rich.console import Console
from rich.table import Table

from headrace.client import Client

SCRIPT = Path(__file__).resolve().parent / "peers" / "plain_keras.py"
TEST_ROWS = {5_000: 1_000, 60_000: 10_000}
LARGEST_RATIO = {5_000: 0.5, 60_000: 0.75}
ROUNDS = {5_000: 3, 60_000: 1}
NOISE = 3
"""Accuracies may differ by so many standard errors of their difference."""


class Run(NamedTuple):
    """One training: how long one waited for it, and how good the network is on rows it never saw."""

    seconds: float
    accuracy: float


def run_script(data: Mnist) -> Run:
    """Run the plain script."""
    start = time.perf_counter()
    output = subprocess.check_output([sys.executable, SCRIPT, data.arrays], stderr=subprocess.DEVNULL)
    return Run(time.perf_counter() - start, json.loads(output)["accuracy"])


def run_job(client: Client, data: Mnist) -> Run:
    """Run the job: the same network, optimizer, batches and epochs on as many rows."""
    spec = {
        "model": dataset_name(data),
        "dataset": dataset_name(data),
        "algorithm": "cnn",
        "params": {
            "epochs": 5,
            "batch_size": 32,
            "filters": [32, 64],
            "dense": [],
            "dropout": 0.0,
            "schedule": None,
        },
        "target": "label",
        "split": {
            "by": "random",
            "validation": 0.0,
            "test": data.test_rows / (data.train_rows + data.test_rows),
        },
    }
    start = time.perf_counter()
    job = succeed(client, client.submit("train", spec)["id"])
    return Run(time.perf_counter() - start, job["result"]["metrics"]["accuracy"])


def dataset_name(data: Mnist) -> str:
    """Return the name under which the rows are uploaded."""
    return f"mnist-{data.train_rows}"


def compare(client: Client, data: Mnist, rounds: int, table: Table) -> list[str]:
    """Run both ``rounds`` times in turn, add their rows to ``table``, and return what does not hold."""
    upload(client, dataset_name(data), data.images)
    pairs = []
    for number in range(1, rounds + 1):
        script, job = run_script(data), run_job(client, data)
        pairs.append((script, job))
        table.add_row(
            f"{data.train_rows:,}",
            str(number),
            f"{script.seconds:.1f}",
            f"{job.seconds:.1f}",
            f"{job.seconds / script.seconds:.2f}",
            f"{script.accuracy:.4f}",
            f"{job.accuracy:.4f}",
        )
    script_s, job_s = (statistics.median(run.seconds for run in runs) for runs in zip(*pairs, strict=True))
    script_accuracy, job_accuracy = (
        statistics.mean(run.accuracy for run in runs) for runs in zip(*pairs, strict=True)
    )
    ratio, limit = job_s / script_s, LARGEST_RATIO[data.train_rows]
    noise = NOISE * math.sqrt(2 * script_accuracy * (1 - script_accuracy) / data.test_rows)
    table.add_row(
        f"{data.train_rows:,}",
        "median",
        f"{script_s:.1f}",
        f"{job_s:.1f}",
        f"{ratio:.2f} ≤ {limit:.2f}" if ratio <= limit else f"{ratio:.2f} > {limit:.2f}",
        f"{script_accuracy:.4f}",
        f"{job_accuracy:.4f} ± {noise:.4f}",
        end_section=True,
    )
    missed = []
    if ratio > limit:
        missed.append(f"{data.train_rows:,} rows: the job took {ratio:.2f} of the script's time, not {limit}")
    if abs(script_accuracy - job_accuracy) > noise:
        missed.append(f"{data.train_rows:,} rows: the accuracies differ by more than {noise:.4f}")
    return missed


def main() -> int:
    """Run the bench and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", choices=LARGEST_RATIO, default=list(LARGEST_RATIO))
    parser.add_argument("--rounds", type=int, help="default: 3 of 5,000 rows, 1 of 60,000")
    parser.add_argument("--loops", action=argparse.BooleanOptionalAction, default=True)
    arguments = parser.parse_args()
    table = Table(title="The reference network trained by a plain script and by a job")
    for column in ("rows", "round", "script s", "job s", "job ÷ script", "script accuracy", "job accuracy"):
        table.add_column(column, justify="right")
    missed = []
    with headrace_up(slots=1) as (client, _):
        warm_up(client)
        for rows in arguments.rows:
            data = mnist(rows, TEST_ROWS[rows])
            missed += compare(client, data, arguments.rounds or ROUNDS[rows], table)
    Console().print(table)
    if arguments.loops:
        missed += compare_loops(mnist(60_000, TEST_ROWS[60_000]), arguments.rounds or 3)
    for claim in missed:
        print(f"not met: {claim}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
