"""The same jobs and the same kills for Headrace, plain Celery and procrastinate: what becomes of each job.

Usage: `python bench/faults.py [--jobs 150] [--kills 20] [--flushes 4] [--seed 1] [--only headrace,celery]`.
Short jobs are submitted while workers are killed (SIGKILL, whole process group) at random moments and
started again at once, and the broker is emptied (FLUSHALL) where there is one. Celery: prefork, Redis, late
acks, ``reject_on_worker_lost``, a visibility timeout of 30 s instead of its hour. procrastinate: PostgreSQL,
and the documented retry of jobs of workers without a heartbeat for 30 s, every ten seconds instead of every
ten minutes. Headrace: PostgreSQL, Redis, its own defaults. Exits 1 when Headrace loses a job, has one stuck,
or has an effect twice.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

sys.path.pop(0)  # this folder: queue.py is not the standard library's
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "plugins"))

from bench.faults_systems import PEERS, System, kill, running
from rich.console import Console
from rich.table import Table

from services import postgresql, redis_server

SYSTEMS = ("headrace", "celery", "procrastinate")
WORKERS = 2
KILL_EVERY_S = 2.5
JOB_S = 0.3
PATIENCE_S = 100.0
"""A job with no effect so long after the last fault is stuck."""
CALM_S = 3.0
"""How long nothing must be pending for all to be over."""


class Outcome(NamedTuple):
    """What became of the jobs; ``settled_s`` is the time from the last fault to the last effect."""

    name: str
    submitted: int
    lost: int
    twice: int
    stuck: int
    settled_s: float


def storm(system: System, chance: random.Random, jobs: int, kills: int, flushes: int) -> Outcome:
    """Submit jobs while faults happen, and wait for what becomes of them."""
    workers = [system.start_worker() for _ in range(WORKERS)]
    try:
        system.submit(0)
        _until_done(system, {0})
        length = kills * KILL_EVERY_S
        todo = [(chance.uniform(0, length), "submit") for _ in range(jobs - 1)]
        todo += [(chance.uniform(0, length), "kill") for _ in range(kills)]
        todo += [(chance.uniform(0, length), "flush") for _ in range(flushes)]
        began, number = time.monotonic(), 0
        for at, act in sorted(todo):
            time.sleep(max(0.0, began + at - time.monotonic()))
            if act == "submit":
                number += 1
                system.submit(number)
            elif act == "flush":
                system.flush()
            else:
                index = chance.randrange(WORKERS)
                kill(workers[index])
                workers[index] = system.start_worker()
        return _settle(system, workers, jobs)
    finally:
        for worker in workers:
            kill(worker)


def _until_done(system: System, wanted: set[int]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not wanted <= set(system.effects()):
        if time.monotonic() > end:
            raise SystemExit(f"{system.name} does not run")
        time.sleep(0.1)


def _settle(system: System, workers: list[subprocess.Popen[bytes]], jobs: int) -> Outcome:
    last_fault = calm_since = last_effect = time.monotonic()
    count = 0
    while time.monotonic() < last_fault + PATIENCE_S:
        effects, pending = system.effects(), system.pending()
        now = time.monotonic()
        if effects.total() > count:
            count, last_effect = effects.total(), now
        if pending:
            calm_since = now
        elif now > calm_since + CALM_S:
            break
        for index, worker in enumerate(workers):
            if worker.poll() is not None:
                workers[index] = system.start_worker()
        time.sleep(0.1)
    effects, pending = system.effects(), system.pending()
    without = set(range(jobs)) - set(effects)
    return Outcome(
        system.name,
        submitted=jobs,
        lost=len(without - pending),
        twice=sum(times > 1 for times in effects.values()),
        stuck=len(without & pending),
        settled_s=max(0.0, last_effect - last_fault),
    )


def report(outcomes: list[Outcome], kills: int, flushes: int) -> int:
    """Print the table and return 1 when a claim does not hold, else 0."""
    table = Table(
        title=f"{kills} kills of workers, and {flushes} times the broker emptied where there is one"
    )
    table.add_column("")
    for outcome in outcomes:
        table.add_column(outcome.name, justify="right")
    table.add_row("jobs submitted", *(str(each.submitted) for each in outcomes))
    table.add_row("lost", *(str(each.lost) for each in outcomes))
    table.add_row("effect twice", *(str(each.twice) for each in outcomes))
    table.add_row(f"stuck after {PATIENCE_S:.0f} s", *(str(each.stuck) for each in outcomes))
    table.add_row("last fault to last effect, s", *(f"{each.settled_s:.0f}" for each in outcomes))
    Console().print(table)
    ours = [each for each in outcomes if each.name == "Headrace"]
    missed = [each for each in ours if each.lost or each.twice or each.stuck]
    for outcome in missed:
        print(f"not met: {outcome}", file=sys.stderr)
    return 1 if missed else 0


def main() -> int:
    """Run the bench and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=150, help="jobs submitted to each")
    parser.add_argument("--kills", type=int, default=20, help="workers killed of each")
    parser.add_argument("--flushes", type=int, default=4, help="times the broker is emptied")
    parser.add_argument("--seed", type=int, default=1, help="decides when what happens")
    parser.add_argument("--only", default=",".join(SYSTEMS), help="which systems, comma-separated")
    arguments = parser.parse_args()
    faults = (arguments.jobs, arguments.kills, arguments.flushes)
    outcomes = []
    with postgresql() as server, redis_server() as broker, tempfile.TemporaryDirectory() as folder:
        packages = Path(folder, "packages")
        if "procrastinate" in arguments.only:
            _install(packages)
        for name in arguments.only.split(","):
            own = Path(folder, name)
            own.mkdir()
            with running(name, server, broker, own, JOB_S, packages) as system:
                outcomes.append(storm(system, random.Random(arguments.seed), *faults))
            print(outcomes[-1], file=sys.stderr)
    return report(outcomes, arguments.kills, arguments.flushes)


def _install(packages: Path) -> None:
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
    command = [uv, "pip", "install", "--quiet", "--python", sys.executable, "--target", packages]
    subprocess.run([*command, "-r", PEERS / "requirements.txt"], check=True)


if __name__ == "__main__":
    sys.exit(main())
