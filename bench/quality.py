"""How good our models are beside what a careful practitioner gets from the libraries directly.

Usage: `python bench/quality.py [NAME …]`. Each module of `bench/quality_rows` is one data set, and yields
rows of the report: our job and its peer, on the same rows, in the same run. Writes `bench/quality.md`, the
rows named anew, the others as they were. Exits 1 when a row of ours is worse than its peer by more than two
standard errors, or worse by more than 2 % than ours under the best params found by hand.

To add a data set, write one file there whose ``run(client)`` yields `bench.tables.Result`.

The params found by hand: one at a time, in steps of two to ten around the default, kept where the test rows
got better. That flatters them, so the defaults are nearer to the best than the report says.
"""

from __future__ import annotations

import argparse
import json
import math
import pkgutil
import platform
import sys
from collections.abc import Iterator
from importlib import import_module, metadata
from pathlib import Path

sys.path.pop(0)  # this folder, whose `queue.py` is not the standard library's
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.deployment import headrace_up, warm_up
from bench.tables import Result

HERE = Path(__file__).resolve().parent
HEADINGS = (
    "data",
    "algorithm",
    "metric",
    "ours",
    "library",
    "difference ± error",
    "within",
    "tuned",
    "also, ours / library",
)
REPORT, KEPT = HERE / "quality.md", HERE / ".data" / "quality.json"
ERRORS = 2
LARGEST_LOSS = 0.02
"""By this share may the default params be worse than the tuned ones: of accuracy, or of the error."""


def main() -> None:
    """Run the rows of the data sets named, or of all, and write the report."""
    known = [module.name for module in pkgutil.iter_modules([str(HERE / "quality_rows")])]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(known)}; all without any")
    parser.add_argument("--slots", type=int, default=2)
    options = parser.parse_args()
    unknown = sorted({*options.names} - {*known})
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(known)}")
    failed = []
    with headrace_up(slots=options.slots) as (client, _):
        warm_up(client)
        for name in options.names or known:
            rows = []
            for row in import_module(f"bench.quality_rows.{name}").run(client):
                rows.append(row)
                print(_line(row), flush=True)
            _keep(name, rows)
            failed += [
                f"{row.data}, {row.algorithm}" for row in rows if not (_near(row) and _well_tuned(row))
            ]
    if failed:
        raise SystemExit(f"not met: {'; '.join(failed)}")


def _keep(name: str, rows: list[Result]) -> None:
    kept = _kept() | {name: rows}
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_text(json.dumps({name: [row._asdict() for row in rows] for name, rows in kept.items()}))
    shown = [row for name in sorted(kept) for row in kept[name]]
    REPORT.write_text("\n".join(_report(shown)) + "\n")


def _kept() -> dict[str, list[Result]]:
    if not KEPT.exists():
        return {}
    return {name: [Result(**row) for row in rows] for name, rows in json.loads(KEPT.read_text()).items()}


def _near(row: Result) -> bool:
    return row.ours >= row.peer - ERRORS * row.error


def _well_tuned(row: Result) -> bool:
    if row.tuned is None:
        return True
    if row.metric == "R²":
        # By the root of the mean squared error: a share of R² means little where R² is small.
        return math.sqrt(1 - row.ours) <= (1 + LARGEST_LOSS) * math.sqrt(1 - row.tuned)
    return row.ours >= row.tuned * (1 - LARGEST_LOSS)


def _report(rows: list[Result]) -> Iterator[str]:
    yield "# How good the models are"
    yield ""
    yield (
        "Written by `make bench-quality`. Each row is our job with its default params beside the library "
        "used directly, on the same training and test rows in the same run. The difference must not be below "
        f"minus {ERRORS} standard errors; defaults must come within {LARGEST_LOSS:.0%} of the best params "
        "found by hand (one param at a time, in steps of two to ten, kept where test rows got better)."
    )
    yield ""
    versions = (f"{name} {metadata.version(name)}" for name in ("scikit-learn", "keras", "numpy"))
    yield f"Python {platform.python_version()}, {', '.join(versions)}, {platform.machine()}."
    yield ""
    yield f"| {' | '.join(HEADINGS)} |"
    yield "| --- " * len(HEADINGS) + "|"
    yield from map(_line, rows)


def _line(row: Result) -> str:
    tuned = "" if row.tuned is None else f"{row.tuned:.4f}" + ("" if _well_tuned(row) else " **far**")
    also = ", ".join(f"{name} {ours:.3f} / {peer:.3f}" for name, (ours, peer) in row.also.items())
    cells = (
        row.data,
        f"`{row.algorithm}`",
        row.metric,
        f"{row.ours:.4f}",
        f"{row.peer:.4f} ({row.peer_is})",
        f"{row.ours - row.peer:+.4f} ± {row.error:.4f}",
        "yes" if _near(row) else "**no**",
        tuned,
        also,
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
