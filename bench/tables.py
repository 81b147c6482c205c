"""Tables for `bench/quality.py`: every row tested once, by jobs and by scikit-learn, on the same folds.

A fold's job gets the fold from a column of the table (``split.by: column:part0``); the peer is fitted on the
same training rows, and predicts the same test rows. Scores are compared row by row, which is what the
standard error of their difference is of.
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow.parquet as pq
from bench.deployment import succeed, upload
from numpy.typing import NDArray
from sklearn import metrics
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from headrace.client import Client

VALIDATION = 0.1
TRAIN, VALID, TEST = "train", "validation", "test"


class Result(NamedTuple):
    """One row of the report: mean scores of ours and of the peer, and the standard error of their difference.

    Higher is better. ``tuned``: our score under the best params found by hand. ``also``: other figures, by
    name, of ours and of the peer.
    """

    data: str
    algorithm: str
    metric: str
    ours: float
    peer: float
    error: float
    peer_is: str
    tuned: float | None = None
    also: Mapping[str, tuple[float, float]] = {}


@dataclass(frozen=True)
class Entry:
    """An algorithm, the estimator that a practitioner would take, and the best params found by hand."""

    algorithm: str
    peer: Any
    tuned: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """Columns by name, missing values as None; ``folds`` parts are each tested once, or one alone of five."""

    name: str
    task: Literal["classification", "regression"]
    target: str
    columns: Mapping[str, Sequence[Any]]
    categories: tuple[str, ...] = ()
    folds: int = 5

    @property
    def features(self) -> list[str]:
        """All columns but the target."""
        return [name for name in self.columns if name != self.target]

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.columns[self.target])

    def matrix(self) -> NDArray[np.float64]:
        """Return the features as numbers, categories as the number of their level, NaN where missing."""
        found = np.empty((self.rows, len(self.features)))
        for i, name in enumerate(self.features):
            values = self.columns[name]
            if name in self.categories:
                levels = {v: n for n, v in enumerate(sorted({v for v in values if v is not None}))}
                values = [None if v is None else levels[v] for v in values]
            found[:, i] = [np.nan if v is None else v for v in values]
        return found

    def places(self) -> tuple[list[int], list[int]]:
        """Return the positions of numbers and of categories in the matrix."""
        coded = [i for i, name in enumerate(self.features) if name in self.categories]
        return [i for i in range(len(self.features)) if i not in coded], coded

    def parts(self) -> list[NDArray[Any]]:
        """Return, for each fold, what each row is for."""
        order = np.random.default_rng(0).permutation(self.rows)
        fold = np.empty(self.rows, int)
        fold[order] = np.arange(self.rows) % 5
        found = []
        for number in range(self.folds):
            part = np.full(self.rows, TRAIN, object)
            rest = order[fold[order] != number]
            part[rest[: int(self.rows * VALIDATION)]] = VALID
            part[fold == number] = TEST
            found.append(part)
        return found


def scaled(table: Table, model: Any) -> Pipeline:
    """Return ``model`` behind what a practitioner does for a method that wants numbers of one size."""
    numbers, coded = table.places()
    ready = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()), numbers),
            ("categories", OneHotEncoder(handle_unknown="ignore"), coded),
        ],
        sparse_threshold=0,
    )
    return make_pipeline(ready, model)


def compare(client: Client, table: Table, entries: Sequence[Entry]) -> Iterator[Result]:
    """Upload ``table``, and yield how each algorithm compares."""
    parts = table.parts()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, f"{table.name}.csv")
        _write(file, table, parts)
        upload(client, table.name, file)
        for entry in entries:
            ours = _jobs(client, table, entry.algorithm, {}, Path(folder))
            tuned = _jobs(client, table, entry.algorithm, entry.tuned, Path(folder)) if entry.tuned else None
            yield _result(table, entry, parts, ours, tuned)


class _Ours(NamedTuple):
    predicted: list[NDArray[Any]]
    metrics: list[Mapping[str, float]]


def _jobs(client: Client, table: Table, algorithm: str, params: Mapping[str, Any], folder: Path) -> _Ours:
    specs = [
        {
            "model": f"{table.name}-{algorithm}-{fold}".replace("_", "-"),
            "dataset": table.name,
            "algorithm": algorithm,
            "params": dict(params),
            "target": table.target,
            "task": table.task,
            "features": table.features,
            "split": {"by": f"column:part{fold}"},
        }
        for fold in range(table.folds)
    ]
    jobs = [client.submit("train", spec)["id"] for spec in specs]
    trained = [succeed(client, job)["result"] for job in jobs]
    wanted = [
        {
            "model": f"{found['model']}@{found['version']}",
            "dataset": table.name,
            "keep": ["row"],
            "columns": ["prediction"],
        }
        for found in trained
    ]
    jobs = [client.submit("predict", spec)["id"] for spec in wanted]
    predicted = []
    for job in jobs:
        succeed(client, job)
        client.output(job, folder / "output")
        output = pq.read_table(folder / "output")
        assert output["row"].to_pylist() == list(range(table.rows))
        predicted.append(np.array(output["prediction"].to_pylist()))
    return _Ours(predicted, [found["metrics"] for found in trained])


def _result(
    table: Table, entry: Entry, parts: list[NDArray[Any]], ours: _Ours, tuned: _Ours | None
) -> Result:
    truth, matrix = np.array(table.columns[table.target]), table.matrix()
    classify = table.task == "classification"
    scores: dict[str, list[NDArray[np.float64]]] = {"ours": [], "peer": [], "tuned": []}
    losses: list[float] = []
    for fold, part in enumerate(parts):
        training, test = part == TRAIN, part == TEST
        model = clone(entry.peer).fit(matrix[training], truth[training])
        found = {"ours": ours.predicted[fold][test], "peer": model.predict(matrix[test])}
        if tuned is not None:
            found["tuned"] = tuned.predicted[fold][test]
        for name, predicted in found.items():
            scores[name].append(_scores(classify, truth, test, predicted))
        if classify and hasattr(model, "predict_proba"):
            losses.append(
                metrics.log_loss(truth[test], model.predict_proba(matrix[test]), labels=model.classes_)
            )
    joined = {name: np.concatenate(values) for name, values in scores.items() if values}
    difference = joined["ours"] - joined["peer"]
    also = {}
    if losses:
        also["log loss"] = (float(np.mean([m["log_loss"] for m in ours.metrics])), float(np.mean(losses)))
    return Result(
        data=table.name,
        algorithm=entry.algorithm,
        metric="accuracy" if classify else "R²",
        ours=float(joined["ours"].mean()),
        peer=float(joined["peer"].mean()),
        error=float(difference.std(ddof=1) / np.sqrt(len(difference))),
        peer_is=_name(entry.peer),
        tuned=float(joined["tuned"].mean()) if "tuned" in joined else None,
        also=also,
    )


def _scores(
    classify: bool, truth: NDArray[Any], test: NDArray[Any], predicted: NDArray[Any]
) -> NDArray[np.float64]:
    """Return a score of each test row: whether it is right; or its part of R², so that the mean is R²."""
    if classify:
        return (predicted == truth[test]).astype(np.float64)
    spread = np.square(truth - truth.mean()).mean()
    scores: NDArray[np.float64] = 1 - np.square(predicted - truth[test]) / spread
    return scores


def _name(model: Any) -> str:
    last = model.steps[-1][1] if isinstance(model, Pipeline) else model
    if isinstance(last, CalibratedClassifierCV):
        last = last.estimator
    if isinstance(last, TransformedTargetRegressor):
        last = last.regressor
    return type(last).__name__


def _write(path: Path, table: Table, parts: list[NDArray[Any]]) -> None:
    names = [*table.columns, "row", *(f"part{fold}" for fold in range(len(parts)))]
    columns = [*table.columns.values(), range(table.rows), *parts]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for row in zip(*columns, strict=True):
            writer.writerow(["" if value is None else value for value in row])
