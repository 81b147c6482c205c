"""Anomalies planted in a real table: breast cancer (from scikit-learn), 569 rows of 30 numbers.

One row in twenty holds, in each column, what another row holds there: every value is usual, the row is not.
The detectors are not told which; PR AUC of their scores on rows that they did not learn from is compared.
"""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from bench.deployment import succeed, upload
from bench.quality_row import Params, Result, Row, Score
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA
from sklearn.metrics import average_precision_score
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler

from headrace.client import Client

NAME = "planted-anomalies"
SHARE, TESTED = 0.05, 0.3
RESAMPLES = 1000

Peer = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
"""Gives the score of each test row, having learned from training rows; both standardised."""


class Planted(NamedTuple):
    """The table, shape (n, 30), which rows are anomalies, and which are for the test."""

    table: NDArray[np.float64]
    anomalies: NDArray[np.bool_]
    test: NDArray[np.bool_]


def rows() -> list[Row]:
    """Return the rows of this data set."""
    peers: dict[str, tuple[str, Peer, list[Params]]] = {
        "pca": (
            "scikit-learn's PCA, 95 % of the variance",
            _pca,
            [{"components": 2}, {"components": 5}, {"components": 20}],
        ),
        "autoencoder": (
            "scikit-learn's MLPRegressor 64-10-64 of the rows themselves",
            _mlp,
            [{"components": 5}, {"components": 20}, {"hidden": [64, 32]}, {"epochs": 100}],
        ),
    }
    return [
        Row(name, partial(_compare, name, *peer[:2]), partial(_score, name), peer[2])
        for name, peer in peers.items()
    ]


def _compare(algorithm: str, peer_is: str, peer: Peer, client: Client) -> Result:
    planted = _planted()
    scores = _ours(client, algorithm, {})[planted.test]
    scale = StandardScaler().fit(planted.table[~planted.test])
    table = scale.transform(planted.table)
    theirs = peer(table[~planted.test], table[planted.test])
    truth = planted.anomalies[planted.test]
    rng = np.random.default_rng(0)
    drawn = [rng.integers(0, len(truth), len(truth)) for _ in range(RESAMPLES)]
    differences = [_area(truth[i], scores[i]) - _area(truth[i], theirs[i]) for i in drawn if truth[i].any()]
    return Result(
        metric="PR AUC",
        ours=_area(truth, scores),
        peer=_area(truth, theirs),
        error=float(np.std(differences, ddof=1)),
        peer_is=peer_is,
    )


def _score(algorithm: str, client: Client, params: Params) -> Score:
    planted = _planted()
    scores = _ours(client, algorithm, params)
    return Score("PR AUC", _area(planted.anomalies[planted.test], scores[planted.test]))


def _area(truth: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    return float(average_precision_score(truth, scores))


@cache
def _planted() -> Planted:
    table = load_breast_cancer().data.copy()
    rng = np.random.default_rng(0)
    anomalies = rng.random(len(table)) < SHARE
    others = rng.integers(0, len(table), (int(anomalies.sum()), table.shape[1]))
    table[anomalies] = load_breast_cancer().data[others, np.arange(table.shape[1])]
    return Planted(table, anomalies, rng.random(len(table)) < TESTED)


def _ours(client: Client, algorithm: str, params: Params) -> NDArray[np.float64]:
    """Return the score of every row, from a training on those that are not for the test."""
    planted = _planted()
    features = [f"x{i}" for i in range(planted.table.shape[1])]
    text = io.StringIO()
    write = csv.writer(text)
    write.writerow([*features, "planted", "part"])
    for row, planted_here, tested in zip(*planted, strict=True):
        write.writerow([*map(repr, row.tolist()), str(planted_here).lower(), "test" if tested else "train"])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "table.csv")
        file.write_text(text.getvalue())
        upload(client, NAME, file)
        spec: dict[str, Any] = {
            "model": f"{NAME}-{algorithm}",
            "dataset": NAME,
            "algorithm": algorithm,
            "params": dict(params),
            "task": "anomaly",
            "target": "planted",
            "features": features,
            "split": {"by": "column:part", "validation": 0.0},
        }
        made = succeed(client, client.submit("train", spec)["id"])["result"]
        wanted = {"model": f"{made['model']}@{made['version']}", "dataset": NAME, "format": "ndjson"}
        job = client.submit("predict", wanted)["id"]
        succeed(client, job)
        output = Path(folder, "output.ndjson")
        client.output(job, output)
        lines = output.read_text().splitlines()
    return np.array([json.loads(line)["anomaly_score"] for line in lines])


def _pca(training: NDArray[np.float64], test: NDArray[np.float64]) -> NDArray[np.float64]:
    model = PCA(0.95, svd_solver="full").fit(training)
    left = test - model.inverse_transform(model.transform(test))
    return np.asarray(np.square(left).mean(axis=1))


def _mlp(training: NDArray[np.float64], test: NDArray[np.float64]) -> NDArray[np.float64]:
    model = MLPRegressor(hidden_layer_sizes=(64, 10, 64), batch_size=32, max_iter=500, random_state=0)
    left = test - model.fit(training, training).predict(test)
    return np.asarray(np.square(left).mean(axis=1))
