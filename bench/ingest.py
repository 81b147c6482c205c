"""Ingest of a large CSV file beside `pyarrow.csv` alone, in processes of their own that take turns.

Usage: `python bench/ingest.py [--rows 10000000] [--rounds 3]`. The file (about 500 MB at 10,000,000 rows) is
made in a temporary folder and removed. PyArrow only parses: with its own inference of types, by the same
number of threads, batch by batch, keeping nothing. The ingest types, profiles, and writes Parquet too. The
time is that of the work, after imports. Memory is flat when a file ten times as large takes at most 64 MiB
more. Exits 1 when the ingest has less than half of PyArrow's speed, or memory is not flat.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

sys.path.pop(0)  # this folder, whose `queue.py` is not the standard library's

import numpy as np
import pyarrow as pa
from pyarrow import csv as arrow_csv
from rich.console import Console
from rich.table import Table

LEAST_RATIO = 0.5
MOST_GROWTH_MB = 64
BLOCK_ROWS = 100_000
CITIES = ("Oslo", "Lima", "Pune", "Cork", "Nice", "Bonn", "Kyiv", "Doha")


class Run(NamedTuple):
    """One reading: seconds, the process's largest resident size in MB, rows."""

    seconds: float
    peak_mb: float
    rows: int


def write_file(path: Path, rows: int) -> None:
    """Write ``rows`` rows: an id, a day and time, two numbers, a category of eight and a short text."""
    random = np.random.default_rng(0)
    with path.open("wb") as file:
        for start in range(0, rows, BLOCK_ROWS):
            count = min(BLOCK_ROWS, rows - start)
            seconds = np.sort(random.integers(0, 86_400, count)) + 1_700_000_000 + start
            batch = pa.record_batch(
                {
                    "id": np.arange(start, start + count),
                    "time": pa.array(seconds, pa.timestamp("s")),
                    "price": random.integers(100, 100_000, count) / 100,
                    "score": random.normal(size=count).round(4),
                    "city": pa.array(CITIES).take(pa.array(random.integers(0, len(CITIES), count))),
                }
            )
            options = arrow_csv.WriteOptions(include_header=start == 0, quoting_style="none")
            arrow_csv.write_csv(batch, file, options)


def read_alone(path: Path) -> int:
    """Parse the file with PyArrow; return its rows."""
    with arrow_csv.open_csv(path) as reader:
        return sum(len(batch) for batch in reader)


def ingest(path: Path) -> int:
    """Run the engine's ingest as a job process does; return the rows."""
    from headrace.specs.task import TASK_FILE, Task
    from headrace_workers.engine.main import run

    spec = {"dataset": "bench", "version": 1, "media_type": "text/csv"}
    task = Task(job="job_1", kind="ingest", attempt=1, spec=spec, inputs={"source": path.name})
    (path.parent / TASK_FILE).write_text(task.model_dump_json())
    messages: list[object] = []
    run(path.parent, lambda message: messages.__setitem__(slice(None), [message]))
    (done,) = messages
    rows: int = done.result["rows"]  # type: ignore[attr-defined]
    return rows


def measure(what: str, path: Path) -> None:
    """Do one reading in this process, and print what it took as JSON."""
    import headrace_workers.engine.kinds.ingest  # noqa: F401  as a fork server has it

    pa.set_cpu_count(2)
    start = time.perf_counter()
    rows = {"alone": read_alone, "ingest": ingest}[what](path)
    seconds = time.perf_counter() - start
    # Not getrusage's figure, which begins with what the parent had.
    (peak,) = (line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
    print(json.dumps([seconds, int(peak.split()[1]) / 1024, rows]))


def run_process(what: str, path: Path) -> Run:
    """Return one reading in a fresh process."""
    command = [sys.executable, __file__, "--measure", what, str(path)]
    return Run(*json.loads(subprocess.check_output(command, text=True)))


def main() -> int:
    """Measure, print, and say whether the claims hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000, help="1000000 for a smaller form")
    parser.add_argument("--rounds", type=int, default=3, help="the best of so many counts")
    parser.add_argument("--measure", nargs=2, metavar=("WHAT", "FILE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        measure(args.measure[0], Path(args.measure[1]))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        large, small = Path(folder) / "large.csv", Path(folder) / "small.csv"
        write_file(large, args.rows)
        write_file(small, args.rows // 10)
        mb = large.stat().st_size / 1e6
        rounds = [(run_process("alone", large), run_process("ingest", large)) for _ in range(args.rounds)]
        alone, ours = (min(runs) for runs in zip(*rounds, strict=True))
        flat_from = run_process("ingest", small)
    table = Table(title=f"{args.rows:,} rows, {mb:,.0f} MB of CSV, best of {args.rounds}")
    for heading in ("", "seconds", "MB/s", "rows/s", "peak MB"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name, run in (("pyarrow.csv alone", alone), ("ingest", ours)):
        figures = (f"{run.seconds:.1f}", f"{mb / run.seconds:.0f}", f"{run.rows / run.seconds:,.0f}")
        table.add_row(name, *figures, f"{run.peak_mb:.0f}")
    Console().print(table)
    ratio, growth = alone.seconds / ours.seconds, ours.peak_mb - flat_from.peak_mb
    print(f"ingest has {ratio:.2f} of the speed of pyarrow.csv alone (at least {LEAST_RATIO})")
    print(f"ten times the rows take {growth:.0f} MB more (at most {MOST_GROWTH_MB})")
    assert ours.rows == alone.rows == args.rows
    return 0 if ratio >= LEAST_RATIO and growth <= MOST_GROWTH_MB else 1


if __name__ == "__main__":
    sys.exit(main())
