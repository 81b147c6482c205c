"""What a million finished jobs cost those that run: pages read and time of each call, beside a thousand.

Usage: `python bench/scale.py [--jobs 1000000] [--databases sqlite,postgresql]`. Rows are made by bulk SQL;
the calls are the product's own. Pages of PostgreSQL are buffers, by EXPLAIN of every statement; of SQLite,
those that a connection with an empty cache reads, as the kernel counts them (so on Linux only). SQLite has no
statistics, as in production; PostgreSQL's are made by ANALYZE. Exits 1 where a call reads more than 1.5
times the pages at the larger size, or where a plan walks all jobs. Lists with filters that no one index
answers look at a thousand jobs at most, and are held to that instead.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

sys.path.pop(0)  # this folder: queue.py is not the standard library's
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from bench.scale_calls import SIEVED, Calls
from bench.scale_meter import meter
from bench.scale_rows import fill
from rich.console import Console
from rich.table import Table

from headrace import db
from headrace.db import Database
from headrace.paging import LOOKED_AT
from services import new_database, postgresql

SMALL = 1_000
MOST = 1.5
MOST_LOOKED_AT = 5 * LOOKED_AT
"""Pages of a list with filters that no one index answers: a thousand jobs are looked at, however many fit."""
ROUNDS = 15


class Cost(NamedTuple):
    """What one call took: statements, pages read, seconds, and the plans that walk all jobs."""

    statements: int
    pages: int
    seconds: float
    walks: list[str]


@contextmanager
def filled(kind: str, server: str | None, jobs: int) -> Iterator[Database]:
    """Yield a database of ``kind`` with ``jobs`` finished jobs."""
    with tempfile.TemporaryDirectory(prefix="headrace-scale-") as folder:
        if server is None:
            url = f"sqlite:///{folder}/headrace.db"
            yield from _filled(url, jobs)
        else:
            with new_database(server) as url:
                yield from _filled(url, jobs)


def _filled(url: str, jobs: int) -> Iterator[Database]:
    db.upgrade(url)
    database = Database(url)
    began = time.monotonic()
    fill(database, jobs)
    print(f"{jobs:,} jobs in {time.monotonic() - began:.0f} s", file=sys.stderr)
    yield database
    database.close()


def measure(database: Database, jobs: int) -> dict[str, Cost]:
    """Return what each call costs: the median of some rounds, warm; pages and plans of one more round."""
    costs = {}
    calls = Calls(database, jobs)
    for name, call in calls.all():
        seconds = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            call(database)
            seconds.append(time.perf_counter() - began)
        metered = meter(database, call)
        costs[name] = Cost(metered.statements, metered.pages, statistics.median(seconds), metered.walks)
    return costs


def report(kind: str, small: dict[str, Cost], large: dict[str, Cost], jobs: int) -> list[str]:
    """Print the table of one database and return the claims that do not hold."""
    table = Table(title=f"{kind}: {SMALL:,} and {jobs:,} finished jobs")
    for column in ("call", "statements", "pages", f"at {jobs:,}", "ratio", "ms", f"at {jobs:,}"):
        table.add_column(column, justify="left" if column == "call" else "right")
    missed = []
    for name, cost in large.items():
        before = small[name]
        ratio = cost.pages / max(1, before.pages)
        times = (f"{1000 * each.seconds:.1f}" for each in (before, cost))
        table.add_row(name, str(cost.statements), str(before.pages), str(cost.pages), f"{ratio:.2f}", *times)
        if ratio > MOST and not (name in SIEVED and cost.pages <= MOST_LOOKED_AT):
            missed.append(f"{kind}, {name}: {ratio:.2f} times the pages, not {MOST}")
        missed += [f"{kind}, {name} walks all jobs: {walk}" for walk in cost.walks]
    Console().print(table)
    return missed


def main() -> int:
    """Run the bench and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=1_000_000, help="finished jobs of the larger database")
    parser.add_argument("--databases", default="sqlite,postgresql", help="which, comma-separated")
    arguments = parser.parse_args()
    missed = []
    for kind in arguments.databases.split(","):
        with postgresql() if kind == "postgresql" else _nothing() as server:
            with filled(kind, server, SMALL) as database:
                small = measure(database, SMALL)
            with filled(kind, server, arguments.jobs) as database:
                large = measure(database, arguments.jobs)
        missed += report(kind, small, large, arguments.jobs)
    for claim in missed:
        print(f"not met: {claim}", file=sys.stderr)
    return 1 if missed else 0


@contextmanager
def _nothing() -> Iterator[None]:
    yield None


if __name__ == "__main__":
    sys.exit(main())
