"""``make chaos``: random faults on a whole deployment, and whether anything was lost, doubled or stuck.

Usage: ``python -m chaos [--database sqlite] [--jobs 2000] [--seed N] [--count "zombie=50"]``. Jobs are those
of synthetic learners without TensorFlow, and the lease is short (3 s), so that there can be many of both.
"""

from __future__ import annotations

import argparse
import secrets
import shutil
import signal
import sys
import time
from collections import Counter

from rich.console import Console
from rich.table import Table

from chaos.deck import FAULTS, Fault
from chaos.run import Plan, Report, numbers, run

FULL_JOBS, FULL_FREEZE_S = 2000, 30.0
INVARIANTS = {
    "I1": "every answered submission exists once",
    "I2": "every job has ended, as it had to",
    "I3": "succeeded ⇔ exactly one effect",
    "I4": "legal transitions, rising attempts, nothing of a superseded one",
    "I5": "every artifact hashes to its name",
    "I6": "no process or file left behind",
    "I7": "what was cancelled did not succeed",
    "I8": "one job for each due time",
    "I9": "failures counted, attempts end",
    "digest": "every result is that of an undisturbed run",
    "quota": "no project ran more than its quota",
    "http": "no answer that no server may give",
}


def main() -> int:
    """Run the suite and print its tables; return how many databases failed."""
    names = [fault.name for fault in FAULTS]
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), action="append")
    parser.add_argument("--jobs", type=int, default=FULL_JOBS)
    parser.add_argument("--keras", type=int, metavar="JOBS", help="instead: so many trainings of networks")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--freeze-s", type=float, help="how long the broker is frozen")
    parser.add_argument("--count", action="append", default=[], metavar="FAULT=N", help=", ".join(names))
    asked = parser.parse_args()
    if asked.keras is not None:
        asked.jobs = asked.keras
        # A worker that starts again imports TensorFlow again: kills alone, and not too many.
        kills = {"kill job process": 2, "kill fork server": 6, "kill supervisor": 6, "zombie": 6}
        few = [f"{name}={max(1, asked.jobs // share)}" for name, share in kills.items()]
        asked.count = ["all=0", *few, *asked.count]
    counts = _counts(parser, asked.jobs, asked.count)
    freeze_s = asked.freeze_s or max(4.0, FULL_FREEZE_S * min(1.0, asked.jobs / FULL_JOBS))
    console = Console(width=120)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # so that everything is cleaned up
    failed = 0
    for database in asked.database or ["sqlite", "postgresql"]:
        console.print(f"chaos on {database}: --seed {asked.seed} --jobs {asked.jobs}")
        plan = Plan(
            database=database,
            jobs=asked.jobs,
            seed=asked.seed,
            counts=counts,
            freeze_s=freeze_s,
            networks=asked.keras is not None,
        )
        began = time.monotonic()
        report = run(plan)
        show(console, report, time.monotonic() - began)
        if report.violations or any(lane.undone for lane in report.lanes):
            failed += 1
        else:
            shutil.rmtree(report.logs)
    return failed


def _counts(parser: argparse.ArgumentParser, jobs: int, asked: list[str]) -> dict[Fault, int]:
    """As many as asked for, else as many for these jobs as a full run has for its own."""
    counts = {fault: max(1, round(fault.full * jobs / FULL_JOBS)) for fault in FAULTS}
    named = {fault.name: fault for fault in FAULTS}
    for word in asked:
        name, _, number = word.partition("=")
        if name not in [*named, "all"] or not number.isdecimal():
            parser.error(f"--count {word!r}: should be FAULT=N with one of {', '.join(named)} or all")
        for fault in FAULTS if name == "all" else [named[name]]:
            counts[fault] = int(number)
    return counts


def show(console: Console, report: Report, took_s: float) -> None:
    """Print what happened."""
    faults = Table(title=f"Faults on {report.plan.database}", title_justify="left")
    for column in ("fault", "times", "not possible", "consequences"):
        faults.add_column(column, justify="left" if column in ("fault", "consequences") else "right")
    total = 0
    for name, times, undone, harm in numbers(report):
        faults.add_row(name, str(times), str(undone or ""), harm)
        total += times
    for name, why in report.impossible.items():
        faults.add_row(name, "0", "", f"not here: {why}")
    console.print(faults)
    found = Counter(violation.invariant for violation in report.violations)
    invariants = Table(title="Invariants", title_justify="left")
    for column in ("", "invariant", "violations"):
        invariants.add_column(column)
    for name, text in INVARIANTS.items():
        invariants.add_row(name, text, str(found[name]))
    console.print(invariants)
    for name, count in sorted(report.counts.items()):
        console.print(f"  {count} {name}")
    console.print(
        f"{report.submissions} submissions, {total} faults in {report.faults_s:.0f} s; settled "
        f"{report.settled_s:.1f} s after the last answer (allowed: {report.allowed_s:.1f} s); "
        f"{took_s:.0f} s in all."
    )
    for violation in report.violations[:40]:
        console.print(str(violation), markup=False, style="red")
    for story in report.stories:
        console.print(story, markup=False)
    if report.violations:
        jobs = "--keras" if report.plan.networks else "--jobs"
        again = f"--database {report.plan.database} --seed {report.plan.seed} {jobs} {report.plan.jobs}"
        console.print(f"{len(report.violations)} violations; again: {again}; logs: {report.logs}")
    elif total:
        console.print(
            f"No violation: with 95 % confidence fewer than {3 / total:.2%} of such faults cause one (3/n)."
        )


sys.exit(main())
