"""What `bench/quality.py` has measured, kept in one file per data set with the commit and the date of each.

The files are part of the project: the report is written from them, and a run that is cut goes on from them.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from bench.quality_row import Params, Result, Score

FOLDER = Path(__file__).resolve().parent / "quality_results"
UNTOUCHED = ("bench/quality_results", "bench/quality.md")
"""What a run itself writes."""


class Stamp(NamedTuple):
    """Of which commit something was measured, and when. A tree with changes has a ``+`` behind the commit."""

    commit: str
    date: str

    @classmethod
    def now(cls) -> Stamp:
        """Return the stamp of what is measured from now on."""
        commit = _git("rev-parse", "--short=10", "HEAD")
        changed = _git("status", "--porcelain", "--", ".", *(f":!{path}" for path in UNTOUCHED))
        return cls(commit + "+" * bool(changed), datetime.now(UTC).date().isoformat())


class Kept:
    """The results of one data set, by algorithm."""

    def __init__(self, name: str) -> None:
        self._file = FOLDER / f"{name}.json"
        found = json.loads(self._file.read_text()) if self._file.exists() else {}
        self._rows: dict[str, Any] = found.get("rows", {})
        self._scores: dict[str, list[Any]] = found.get("scores", {})

    def results(self) -> Mapping[str, tuple[Result, Stamp]]:
        """Return the comparisons."""
        return {name: (Result(**row["result"]), Stamp(*row["stamp"])) for name, row in self._rows.items()}

    def scores(self, algorithm: str) -> list[tuple[Params, Score, Stamp]]:
        """Return what was measured of ``algorithm`` under which params."""
        found = self._scores.get(algorithm, [])
        return [(row["params"], Score(**row["score"]), Stamp(*row["stamp"])) for row in found]

    def default(self, algorithm: str) -> Score | None:
        """Return what the default params reach, measured as the others were where `{}` is among them."""
        measured = (score for params, score, _ in self.scores(algorithm) if not params)
        compared = (found.score for name, (found, _) in self.results().items() if name == algorithm)
        return next(measured, None) or next(compared, None)

    def add_result(self, algorithm: str, result: Result, stamp: Stamp) -> None:
        """Keep a comparison in place of the one before."""
        self._rows[algorithm] = {"result": result._asdict(), "stamp": stamp}
        self._write()

    def add_score(self, algorithm: str, params: Params, score: Score, stamp: Stamp) -> None:
        """Keep a score in place of the one under the same params."""
        others = [row for row in self._scores.get(algorithm, []) if row["params"] != dict(params)]
        row = {"params": dict(params), "score": score._asdict(), "stamp": stamp}
        self._scores[algorithm] = [*others, row]
        self._write()

    def forget_other_scores(self, algorithm: str, wanted: Sequence[Params]) -> None:
        """Drop what was measured under params that are tried no more."""
        self._scores[algorithm] = [row for row in self._scores.get(algorithm, []) if row["params"] in wanted]
        self._write()

    def _write(self) -> None:
        FOLDER.mkdir(exist_ok=True)
        draft = self._file.with_suffix(".draft")
        draft.write_text(
            json.dumps({"rows": self._rows, "scores": self._scores}, indent=1, sort_keys=True) + "\n"
        )
        draft.replace(self._file)


def _git(*arguments: str) -> str:
    return subprocess.check_output(["git", *arguments], cwd=FOLDER.parents[1], text=True).strip()
