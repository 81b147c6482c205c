"""Tables for `bench/quality.py`: every row tested once, by jobs and by scikit-learn, on the same folds.

A fold's job gets the fold from a column of the table (``split.by: column:part0``); the peer is fitted on the
same training rows, and predicts the same test rows. Scores are compared row by row, which is what the
standard error of their difference is of.
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq
from bench.deployment import TIMEOUT_S, succeed, upload
from bench.quality_row import R2, Params, Result, Row, Score
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


@dataclass(frozen=True)
class Entry:
    """An algorithm, the estimator that a practitioner would take for a table, and params tried by hand.

    ``stops_early``: the peer keeps rows of its own to stop early by, so it gets our validation rows too.
    """

    algorithm: str
    peer: Callable[[Table], Any]
    candidates: Sequence[Params] = ()
    stops_early: bool = False


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


def scaled(model: Any) -> Callable[[Table], Pipeline]:
    """Return ``model`` behind what a practitioner does for a method that wants numbers of one size."""

    def ready(table: Table) -> Pipeline:
        numbers, coded = table.places()
        encode = ColumnTransformer(
            [
                ("numbers", make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()), numbers),
                ("categories", OneHotEncoder(handle_unknown="ignore"), coded),
            ],
            sparse_threshold=0,
        )
        return make_pipeline(encode, model)

    return ready


def as_is(model: Any) -> Callable[[Table], Any]:
    """Return ``model`` on the columns as they are, categories as level numbers."""
    return lambda table: model


def rows(make: Callable[[], Table], entries: Sequence[Entry]) -> list[Row]:
    """Return a row for each entry on the table that ``make`` returns; it is called once, when needed."""
    table = cache(make)
    return [
        Row(
            entry.algorithm,
            partial(_compare, table, entry),
            partial(_score, table, entry.algorithm),
            entry.candidates,
        )
        for entry in entries
    ]


def _compare(make: Callable[[], Table], entry: Entry, client: Client) -> Result:
    table = make()
    trained = _train(client, table, entry.algorithm, {})
    predicted = _predict(client, table, trained)
    truth, matrix = np.array(table.columns[table.target]), table.matrix()
    classify = table.task == "classification"
    ours, peers, losses = [], [], []
    for fold, part in enumerate(table.parts()):
        test = part == TEST
        training = ~test if entry.stops_early else part == TRAIN
        model = clone(entry.peer(table)).fit(matrix[training], truth[training])
        ours.append(_row_scores(classify, truth, test, predicted[fold][test]))
        peers.append(_row_scores(classify, truth, test, model.predict(matrix[test])))
        if classify and hasattr(model, "predict_proba"):
            guessed = model.predict_proba(matrix[test])
            losses.append(metrics.log_loss(truth[test], guessed, labels=model.classes_))
    difference = np.concatenate(ours) - np.concatenate(peers)
    also = {"log loss": (_mean(trained, "log_loss"), float(np.mean(losses)))} if losses else {}
    return Result(
        metric="accuracy" if classify else R2,
        ours=float(np.concatenate(ours).mean()),
        peer=float(np.concatenate(peers).mean()),
        error=float(difference.std(ddof=1) / np.sqrt(len(difference))),
        peer_is=_name(entry.peer(table)),
        also=also,
    )


def _score(make: Callable[[], Table], algorithm: str, client: Client, params: Params) -> Score:
    table = make()
    trained = _train(client, table, algorithm, params)
    if table.task == "classification":
        return Score("accuracy", _mean(trained, "accuracy"))
    truth = np.array(table.columns[table.target])
    squares = np.square([found["metrics"]["rmse"] for found in trained])
    return Score(R2, float(1 - squares.mean() / np.square(truth - truth.mean()).mean()))


def _mean(trained: list[Any], metric: str) -> float:
    return float(np.mean([found["metrics"][metric] for found in trained]))


def _train(client: Client, table: Table, algorithm: str, params: Params) -> list[Any]:
    """Return the result of one training a fold."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, f"{table.name}.csv")
        _write(file, table)
        upload(client, table.name, file)
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
    jobs = [client.submit("train", spec, timeout_s=TIMEOUT_S)["id"] for spec in specs]
    return [succeed(client, job)["result"] for job in jobs]


def _predict(client: Client, table: Table, trained: list[Any]) -> list[NDArray[Any]]:
    """Return what each of the trained versions says of all rows."""
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
    with tempfile.TemporaryDirectory() as folder:
        for job in jobs:
            succeed(client, job)
            client.output(job, Path(folder, "output"))
            output = pq.read_table(Path(folder, "output"))
            assert output["row"].to_pylist() == list(range(table.rows))
            predicted.append(np.array(output["prediction"].to_pylist()))
    return predicted


def _row_scores(
    classify: bool, truth: NDArray[Any], test: NDArray[Any], predicted: NDArray[Any]
) -> NDArray[np.float64]:
    """Return a score of each test row: whether it is right; or its part of R², so that the mean is R²."""
    if classify:
        right: NDArray[np.float64] = (predicted == truth[test]).astype(np.float64)
        return right
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


def _write(path: Path, table: Table) -> None:
    parts = table.parts()
    names = [*table.columns, "row", *(f"part{fold}" for fold in range(len(parts)))]
    columns = [*table.columns.values(), range(table.rows), *parts]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for row in zip(*columns, strict=True):
            writer.writerow(["" if value is None else value for value in row])
