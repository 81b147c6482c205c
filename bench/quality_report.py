"""Writes `bench/quality.md` from what is kept."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

from bench.quality_kept import Kept, Stamp
from bench.quality_row import ERRORS, LARGEST_LOSS, Params, Result, Row, Score, ratio

REPORT = Path(__file__).resolve().parent / "quality.md"
COMPARED = (
    "data",
    "algorithm",
    "metric",
    "ours",
    "library",
    "lead ± error",
    "met",
    "also: ours / library",
    "of",
)
TRIED = ("data", "algorithm", "metric", "default", "tuned", "ratio", "met", "tuned params", "tried", "of")
HEAD = f"""# How good the models are

Written by `make bench-quality` from `bench/quality_results`. Ours is a job of the product with the
algorithm's default params unless the row names others, submitted to a fresh `headrace up`; beside it
stands what a careful practitioner gets from the library directly, on the same training, validation and
test rows, in the same run. *Lead* is by how much ours is better, and the standard error of that
difference over the test rows. A row is met where the lead is not below minus {ERRORS} standard errors,
and ours reaches the figure that is asked of it, if any. *Of*: the commit and the date that it was
measured at.
"""
DEFAULTS = f"""
## How good the default params are

Written by `make bench-quality ARGS=--defaults`. For each algorithm and data set a few other params were
tried by hand, as jobs: one or two at a time, in steps of two to ten around the default, and the better
ones together. All were judged on the test rows, so that the best of them is flattered by chance, and the
defaults are nearer to the truth than the ratio says. *Ratio*: default ÷ tuned, of a metric of which less
is better tuned ÷ default; it must not be below {1 - LARGEST_LOSS:.2f}.
"""


def write(modules: Sequence[tuple[str, Sequence[Row]]]) -> None:
    """Write the report of the rows of these data sets."""
    versions = (f"{name} {metadata.version(name)}" for name in ("scikit-learn", "keras", "numpy"))
    lines = [HEAD, f"Python {platform.python_version()}, {', '.join(versions)}, {platform.machine()}.", ""]
    lines += _table(COMPARED, list(_compared(modules)))
    lines += [DEFAULTS, *_table(TRIED, list(_tried(modules)))]
    REPORT.write_text("\n".join(lines) + "\n")


def compared_line(data: str, algorithm: str, result: Result, stamp: Stamp) -> str:
    """Return a row of the first table."""
    also = ", ".join(f"{name} {ours:.3f} / {peer:.3f}" for name, (ours, peer) in result.also.items())
    asked = "" if result.least is None else f" (asked: {result.least})"
    return _line(
        data,
        f"`{algorithm}`",
        result.metric,
        f"{result.ours:.4f}{asked}",
        f"{result.peer:.4f} ({result.peer_is})",
        f"{result.lead:+.4f} ± {result.error:.4f}",
        _met(result.met),
        also,
        f"{stamp.commit}, {stamp.date}",
    )


def tried_line(data: str, algorithm: str, found: Sequence[tuple[Params, Score, Stamp]]) -> str | None:
    """Return a row of the second table, or None when the default params are not among those measured."""
    default = next((row for row in found if not row[0]), None)
    if default is None or len(found) < 2:
        return None
    params, best, _ = max(found, key=lambda row: ratio(row[1], default[1]))
    share = ratio(default[1], best)
    return _line(
        data,
        f"`{algorithm}`",
        best.metric,
        f"{default[1].value:.4f}",
        f"{best.value:.4f}",
        f"{share:.3f}",
        _met(share >= 1 - LARGEST_LOSS),
        f"`{json.dumps(params)}`" if params else "the default ones",
        str(len(found) - 1),
        f"{default[2].commit}, {default[2].date}",
    )


def _compared(modules: Sequence[tuple[str, Sequence[Row]]]) -> Iterator[str]:
    for name, rows in modules:
        found = Kept(name).results()
        for row in rows:
            if row.algorithm in found:
                yield compared_line(name, row.algorithm, *found[row.algorithm])


def _tried(modules: Sequence[tuple[str, Sequence[Row]]]) -> Iterator[str]:
    for name, rows in modules:
        kept = Kept(name)
        for row in rows:
            line = tried_line(name, row.algorithm, kept.scores(row.algorithm))
            if line:
                yield line


def _met(is_met: bool) -> str:
    return "yes" if is_met else "**no**"


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _table(headings: Sequence[str], lines: Sequence[str]) -> list[str]:
    return [_line(*headings), "| --- " * len(headings) + "|", *lines]
