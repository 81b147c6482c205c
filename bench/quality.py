"""How good our models are beside what a careful practitioner gets from the libraries directly.

Usage: `python bench/quality.py [--only DATA[/ALGORITHM] …] [--defaults] [--missing] [--report]`.

Each module of `bench/quality_rows` is one data set. Without options, runs every row: our job and its peer,
on the same rows, in the same run. ``--defaults`` runs our jobs under the default params and under those
tried by hand. What is measured is kept in `bench/quality_results` at once, with its commit and date, and
`bench/quality.md` is written from that. A row that is kept from this very commit is not run again, so that
a run that was cut goes on; ``--missing`` leaves alone what is kept from whichever commit. ``--report`` only
writes the report. Exits 1 when a row that was asked for could not be run or is not met.

To add a data set, write one file ``bench/quality_rows/NAME.py`` with a function ``rows()`` that returns a
list of `bench.quality_row.Row`, quickly: whatever takes time (fetching the data, peers) belongs into what
the row's functions do. Each row has

- ``algorithm``: what stands in the table, unique within the file;
- ``compare(client)``: uploads the data, runs our job through the client (`bench.deployment.upload`,
  `succeed`), fits the peer on the same training rows, and returns a `bench.quality_row.Result` of the same
  test rows, with the standard error of the difference (of paired scores, row by row, where there are any);
- ``score(client, params)`` and ``candidates`` for ``--defaults``: our score, by the metric of ``compare``,
  under params that are not the default ones. Where it is judged on other rows than the test rows, `{}` is the
  first of the candidates.

The same bytes uploaded again are the same dataset version, so every row may upload. For tables, texts and
images `bench.tables`, `bench.texts` and `bench.images` make rows of entries. A peer is a practitioner's
honest best, written in the file itself or, when it needs Keras, as a script in `bench/peers` that runs in a
process of its own.
"""

from __future__ import annotations

import argparse
import pkgutil
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path

sys.path.pop(0)  # this folder, whose `queue.py` is not the standard library's
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import quality_report
from bench.deployment import headrace_up, warm_up
from bench.quality_kept import Kept, Stamp
from bench.quality_row import Row, well_chosen

from headrace.client import Client

ROWS = Path(__file__).resolve().parent / "quality_rows"
Modules = Sequence[tuple[str, Sequence[Row]]]
Work = tuple[str, Callable[[Client], bool]]
"""The name of something to run, and what runs it and returns whether it is met."""


def main() -> None:
    """Run what is asked for and not kept, and write the report."""
    options = _options()
    found = sorted(module.name for module in pkgutil.iter_modules([str(ROWS)]))
    modules = [(name, import_module(f"bench.quality_rows.{name}").rows()) for name in found]
    chosen = _chosen(modules, options.only)
    stamp = Stamp.now()
    work = list((_scores if options.defaults else _comparisons)(chosen, stamp, missing=options.missing))
    failed: list[str] = []
    if work and not options.report:
        with headrace_up(slots=options.slots) as (client, _):
            warm_up(client)
            for name, run in work:
                if not _ran(client, name, run):
                    failed.append(name)
                quality_report.write(modules)
    quality_report.write(modules)
    if failed:
        raise SystemExit(f"not met: {'; '.join(failed)}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="DATA[/ALGORITHM]", help="these rows alone")
    parser.add_argument("--defaults", action="store_true", help="the default params beside others")
    parser.add_argument("--missing", action="store_true", help="nothing that is kept, from any commit")
    parser.add_argument("--report", action="store_true", help="only write the report of what is kept")
    parser.add_argument("--slots", type=int, default=2, help="jobs at once")
    return parser.parse_args()


def _chosen(modules: Modules, only: list[str] | None) -> Modules:
    if only is None:
        return modules
    known = {name for name, _ in modules} | {
        f"{name}/{row.algorithm}" for name, rows in modules for row in rows
    }
    if unknown := sorted({*only} - known):
        raise SystemExit(f"there is no {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    return [
        (name, [row for row in rows if name in only or f"{name}/{row.algorithm}" in only])
        for name, rows in modules
    ]


def _comparisons(modules: Modules, stamp: Stamp, *, missing: bool) -> Iterator[Work]:
    for name, rows in modules:
        kept = Kept(name).results()
        for row in rows:
            if row.algorithm not in kept or not _stands(kept[row.algorithm][1], stamp, missing=missing):
                yield f"{name}/{row.algorithm}", _comparison(name, row, stamp)


def _comparison(name: str, row: Row, stamp: Stamp) -> Callable[[Client], bool]:
    def run(client: Client) -> bool:
        result = row.compare(client)
        Kept(name).add_result(row.algorithm, result, stamp)
        print(quality_report.compared_line(name, row.algorithm, result, stamp), flush=True)
        return result.met

    return run


def _scores(modules: Modules, stamp: Stamp, *, missing: bool) -> Iterator[Work]:
    for name, rows in modules:
        for row in rows:
            if row.score is not None and row.candidates:
                yield f"{name}/{row.algorithm}", _search(name, row, stamp, missing=missing)


def _search(name: str, row: Row, stamp: Stamp, *, missing: bool) -> Callable[[Client], bool]:
    def run(client: Client) -> bool:
        assert row.score is not None
        kept = Kept(name)
        result = kept.results().get(row.algorithm)
        if result is None or not _stands(result[1], stamp, missing=missing):
            _comparison(name, row, stamp)(client)
            kept = Kept(name)
        kept.forget_other_scores(row.algorithm, row.candidates)
        standing = [p for p, _, found in kept.scores(row.algorithm) if _stands(found, stamp, missing=missing)]
        for params in row.candidates:
            if params not in standing:
                score = row.score(client, params)
                kept.add_score(row.algorithm, params, score, stamp)
                print(f"{name}/{row.algorithm} {params}: {score.metric} {score.value:.4f}", flush=True)
        default = kept.default(row.algorithm)
        assert default is not None
        print(quality_report.tried_line(name, row.algorithm, default, kept.scores(row.algorithm)), flush=True)
        return all(well_chosen(default, score) for _, score, _ in kept.scores(row.algorithm))

    return run


def _stands(kept: Stamp, stamp: Stamp, *, missing: bool) -> bool:
    """Return whether what is kept need not be measured again; of a tree with changes, nothing is known."""
    return missing or (kept.commit == stamp.commit and not stamp.commit.endswith("+"))


def _ran(client: Client, name: str, run: Callable[[Client], bool]) -> bool:
    """Return whether ``run`` is met. What fails is shown, and the rows after it are run all the same."""
    try:
        return run(client)
    except (Exception, SystemExit):
        print(f"{name} could not be run:", file=sys.stderr)
        traceback.print_exc()
        return False


if __name__ == "__main__":
    main()
