"""Writes `bench/quality.md` from what is kept."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

from bench.quality_kept import Kept, Stamp
from bench.quality_row import ERRORS, LARGEST_LOSS, Params, Result, Row, Score, ratio, well_chosen

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

Coverage of forecasts: where intervals of 90 % are right, all of 24 steps lie within theirs with a chance of
0.08 (0.9 to the power of 24) if their errors are independent, and with a larger one since neighbours' are
not. So a coverage of 1 on a test part of two horizons of twelve says nothing against them.
"""
DEFAULTS = f"""
## How good the default params are

Written by `make bench-quality ARGS=--defaults`. For each row, params that might do better were chosen by
hand, one or two at a time, in steps of two to ten around the default (`svm`, `perceptron` and
`random_forest`: after a grid in scikit-learn on the small tables), and tried as jobs. Tables, texts and
images were judged on the test rows, so that the best of them is flattered by chance, and the defaults are
nearer to it than the ratio says. Forecasts and recommendations were judged without the test rows: a series
as it was before the test part, and one and two seasons earlier, each time by its last fifth, with three
seeds; of ratings and clicks, a fifth of the rows that are no test rows. *Ratio*: default ÷ tuned (of R², of
the root mean squared errors, tuned ÷ default); it must not be below {1 - LARGEST_LOSS:.2f}. Where it is
above 1, nothing better was found.
"""


def write(modules: Sequence[tuple[str, Sequence[Row]]]) -> None:
    """Write the report of the rows of these data sets."""
    versions = (f"{name} {metadata.version(name)}" for name in ("scikit-learn", "keras", "numpy"))
    lines = [HEAD, f"Python {platform.python_version()}, {', '.join(versions)}, {platform.machine()}.", ""]
    lines += _table(COMPARED, list(_compared(modules)))
    if missing := [f"{name}/{row.algorithm}" for name, rows in modules for row in _not_run(name, rows)]:
        lines += ["", f"Not run yet: {', '.join(missing)}."]
    lines += [DEFAULTS, *_table(TRIED, list(_tried(modules)))]
    REPORT.write_text("\n".join(lines) + "\n")


def compared_line(data: str, algorithm: str, result: Result, stamp: Stamp) -> str:
    """Return a row of the first table."""
    also = ", ".join(f"{name} {ours:.3f} / {peer:.3f}" for name, (ours, peer) in result.also.items())
    asked = "" if result.least is None else f" (asked: {result.least:.4g})"
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


def tried_line(
    data: str, algorithm: str, default: Score, found: Sequence[tuple[Params, Score, Stamp]]
) -> str:
    """Return a row of the second table."""
    others = [row for row in found if row[0]]
    params, best, stamp = min(others, key=lambda row: ratio(default, row[1]))
    return _line(
        data,
        f"`{algorithm}`",
        best.metric,
        f"{default.value:.4f}",
        f"{best.value:.4f}",
        f"{ratio(default, best):.3f}",
        _met(well_chosen(default, best)),
        f"`{json.dumps(params)}`",
        str(len(others)),
        f"{stamp.commit}, {stamp.date}",
    )


def _compared(modules: Sequence[tuple[str, Sequence[Row]]]) -> Iterator[str]:
    for name, rows in modules:
        found = Kept(name).results()
        for row in rows:
            if row.algorithm in found:
                yield compared_line(name, row.algorithm, *found[row.algorithm])


def _not_run(name: str, rows: Sequence[Row]) -> list[Row]:
    found = Kept(name).results()
    return [row for row in rows if row.algorithm not in found]


def _tried(modules: Sequence[tuple[str, Sequence[Row]]]) -> Iterator[str]:
    for name, rows in modules:
        kept = Kept(name)
        for row in rows:
            scores, default = kept.scores(row.algorithm), kept.default(row.algorithm)
            if default is not None and any(params for params, _, _ in scores):
                yield tried_line(name, row.algorithm, default, scores)


def _met(is_met: bool) -> str:
    return "yes" if is_met else "**no**"


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _table(headings: Sequence[str], lines: Sequence[str]) -> list[str]:
    return [_line(*headings), "| --- " * len(headings) + "|", *lines]
