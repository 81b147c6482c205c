"""Train jobs: what they learn, say and write, and what they refuse."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import datasets

import learning
from headrace_workers.engine.package import Package

WITHOUT = {"validation": 0.2, "test": 0.2, "by": "random"}


def test_a_cnn_learns_digits(cnn: learning.Ran) -> None:
    result = cnn.done.result
    assert result["metrics"]["accuracy"] > 0.93
    assert result["metrics"] == cnn.evaluation["metrics"]
    assert result["task"] == "classification"
    assert result["signature"]["inputs"] == [{"name": "image", "type": "image"}]
    assert [o["name"] for o in result["signature"]["outputs"]][:3] == [
        "prediction",
        "probability",
        "probability_0",
    ]
    rows = result["rows"]
    assert rows["train"] + rows["validation"] + rows["test"] == 1797
    assert (rows["left_out"], rows["bad"]) == (0, 0)
    assert result["environment"]["threads"] == 1
    assert result["environment"]["packages"].keys() >= {"keras", "numpy"}


def test_its_curves_and_its_progress_are_told(cnn: learning.Ran) -> None:
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert len(cnn.curve(name)) == 6
    assert cnn.curve("loss")[-1] < cnn.curve("loss")[0] / 2
    assert cnn.fractions() == sorted(cnn.fractions())
    assert cnn.fractions()[-1] == 1


def test_its_evaluation_says_what_a_reader_needs(cnn: learning.Ran) -> None:
    evaluation = cnn.evaluation
    counts = np.array(evaluation["confusion_matrix"]["counts"])
    assert evaluation["confusion_matrix"]["labels"] == [str(i) for i in range(10)]
    assert counts.sum() == evaluation["rows"] == cnn.done.result["rows"]["test"]
    assert counts.trace() / counts.sum() == pytest.approx(evaluation["metrics"]["accuracy"])
    assert evaluation["baseline"]["metrics"]["accuracy"] < 0.2
    assert [entry["rows"] for entry in evaluation["per_class"]] == counts.sum(axis=1).tolist()


@pytest.mark.parametrize(
    ("name", "bunch", "target", "metric", "least"),
    [
        ("mlp", datasets.load_breast_cancer, "category", "accuracy", 0.93),
        ("logistic_regression", datasets.load_breast_cancer, "category", "accuracy", 0.93),
        ("random_forest", datasets.load_wine, "category", "accuracy", 0.9),
        ("linear_regression", datasets.load_diabetes, "number", "r2", 0.35),
        ("mlp", datasets.load_diabetes, "number", "r2", 0.3),
        ("random_forest", datasets.load_diabetes, "number", "r2", 0.3),
    ],
)
def test_tables_are_learned(
    tmp_path: Path, name: str, bunch: Any, target: Any, metric: str, least: float
) -> None:
    data = learning.table(tmp_path / "data", bunch(), target, classes=target == "category")
    ran = learning.train(tmp_path / "job", data, name, split=WITHOUT)
    assert ran.done.result["metrics"][metric] > least
    if target == "number":
        # In the target's own units: from 25 to 346.
        assert 30 < ran.done.result["metrics"]["mae"] < 60
        assert ran.evaluation["baseline"]["metrics"]["r2"] < 0.05
        assert ran.evaluation["residuals"]["quantiles"].keys() >= {"0.05", "0.5", "0.95"}


def test_every_type_of_column_with_gaps(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    n = 600
    x, level, flag = rng.normal(size=n), rng.integers(0, 3, n), rng.integers(0, 2, n)
    hours = rng.integers(0, 24 * 365, n)
    y = x + (level == 1) + flag + (hours % 24 > 12) > 1.5

    def gaps(values: Any) -> list[Any]:
        return [None if i % 17 == 0 else value for i, value in enumerate(values)]

    data = learning.write(
        tmp_path / "data",
        {
            "number": ("number", gaps(x.tolist())),
            "integer": ("integer", gaps(rng.integers(0, 9, n).tolist())),
            "boolean": ("boolean", gaps([bool(f) for f in flag])),
            "category": ("category", gaps([f"level {v}" for v in level])),
            "timestamp": ("timestamp", gaps([int(h) * 3_600_000_000 for h in hours])),
            "constant": ("number", [3.3] * n),
            "empty": ("number", [None] * n),
            "target": ("boolean", [bool(v) for v in y]),
        },
    )
    for name in ("mlp", "logistic_regression", "random_forest"):
        ran = learning.train(tmp_path / name, data, name)
        assert ran.done.result["metrics"]["accuracy"] > 0.7
        assert ran.done.result["metrics"]["accuracy"] > ran.evaluation["baseline"]["metrics"]["accuracy"]


def test_without_a_test_there_are_no_metrics(tmp_path: Path, iris: learning.Data) -> None:
    split = {"validation": 0.0, "test": 0.0}
    ran = learning.train(tmp_path, iris, "random_forest", params={"trees": 2}, split=split)
    assert ran.done.result["metrics"] == {}
    assert "no test rows" in ran.evaluation["note"]
    assert ran.done.result["rows"]["train"] == 150


def test_rows_without_a_target_are_left_out_and_counted(tmp_path: Path) -> None:
    values = [None if i % 10 == 0 else "yes" if i % 2 else "no" for i in range(200)]
    data = learning.write(tmp_path, {"x": ("number", list(range(200))), "target": ("category", values)})
    ran = learning.train(tmp_path / "job", data, "random_forest", params={"trees": 2})
    rows = ran.done.result["rows"]
    assert rows["left_out"] == 20
    assert rows["train"] + rows["validation"] + rows["test"] == 180


def test_a_target_of_one_class_is_refused(tmp_path: Path) -> None:
    data = learning.write(tmp_path, {"x": ("number", list(range(50))), "target": ("category", ["same"] * 50)})
    failed = learning.train(tmp_path / "job", data, "random_forest").failed
    assert failed.error == "BadSpec"
    assert "'same'" in failed.message


def test_a_loss_that_is_not_finite_ends_the_job(tmp_path: Path) -> None:
    data = learning.table(tmp_path / "data", datasets.load_diabetes(), "number")
    params = {"learning_rate": 10.0, "optimizer": "sgd", "epochs": 50}
    failed = learning.train(tmp_path / "job", data, "linear_regression", params=params).failed
    assert failed.error == "BadSpec"
    assert "learning_rate" in failed.message


def test_images_that_cannot_be_read_are_counted_up_to_a_tenth(tmp_path: Path) -> None:
    images, labels = learning.digits(tmp_path / "all", 300).table.to_pydict().values()
    for i in (5, 50, 100):
        images[i] = b"no image"
    data = learning.write(tmp_path / "some", {"image": ("image", images), "label": ("category", labels)})
    params = {"epochs": 1, "filters": [4]}
    ran = learning.train(tmp_path / "job", data, "cnn", "label", params=params)
    assert ran.done.result["rows"]["bad"] + ran.evaluation["bad_rows"] == 3
    for i in range(100):
        images[i] = None
    data = learning.write(tmp_path / "many", {"image": ("image", images), "label": ("category", labels)})
    failed = learning.train(tmp_path / "job2", data, "cnn", "label", params=params).failed
    assert failed.error == "BadData"
    assert "there is no image" in failed.message


def test_columns_and_target_are_fitted_on_training_rows_only(tmp_path: Path) -> None:
    part = ["train", "validation", "test"] * 100
    data = learning.write(
        tmp_path / "data",
        {
            "x": ("number", [1000.0 if p != "train" else float(i % 7) for i, p in enumerate(part)]),
            "c": ("category", [f"{p} {i % 2}" for i, p in enumerate(part)]),
            "part": ("category", part),
            "target": ("category", [f"{'b' if p == 'train' else 'c'}{i % 2}" for i, p in enumerate(part)]),
        },
    )
    ran = learning.train(
        tmp_path / "job",
        data,
        "random_forest",
        features=["x", "c"],
        split={"by": "column:part"},
        params={"trees": 2},
    )
    predictor = Package.load(ran.package).predictor
    x, c = (encoder.model_dump() for encoder in predictor.preprocessing.encoders)
    assert x["mean"] < 7
    assert c["levels"] == ["train 0", "train 1"]
    assert predictor.target.model_dump()["classes"] == ["b0", "b1"]
    # No test row has a class that training saw.
    assert ran.done.result["metrics"]["accuracy"] == 0
    assert ran.evaluation["rows"] == 100


def test_too_many_columns_are_refused_before_the_fit(tmp_path: Path) -> None:
    values = [float(i) for i in range(50)]
    columns: dict[str, Any] = {"x" * 1000 + str(i): ("number", values) for i in range(250)}
    target = ["a" if v % 2 else "b" for v in values]
    data = learning.write(tmp_path / "data", columns | {"target": ("category", target)})
    ran = learning.train(tmp_path / "job", data, "random_forest")
    assert ran.failed.error == "BadSpec"
    assert "signature" in ran.failed.message


def test_early_stopping_keeps_the_best_weights(tmp_path: Path, iris: learning.Data) -> None:
    params = {"epochs": 200, "early_stopping": 3, "learning_rate": 0.05}
    split = {"validation": 0.3, "test": 0.0, "by": "random"}
    ran = learning.train(tmp_path / "job", iris, "mlp", params=params, split=split)
    losses = ran.curve("val_loss")
    best = int(np.argmin(losses))
    assert len(losses) == best + 4 < 200
    shorter = params | {"epochs": best + 1, "early_stopping": None}
    again = learning.train(tmp_path / "again", iris, "mlp", params=shorter, split=split)
    assert again.done.result["weights_digest"] == ran.done.result["weights_digest"]


def test_the_evaluation_is_finite_json(forest: learning.Ran) -> None:
    text = json.dumps(forest.evaluation, allow_nan=False)
    assert all(math.isfinite(v) for v in json.loads(text)["metrics"].values())
