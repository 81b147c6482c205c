"""Metrics have a direction, and are told of validation rows where somebody compares trainings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sklearn import datasets

import learning
from headrace.specs.algorithms import algorithm
from headrace.specs.metrics import METRICS, on_validation_rows

HALF = {"validation": 0.3, "test": 0.2, "by": "random"}


@pytest.mark.parametrize(
    ("name", "bunch", "target"),
    [
        ("naive_bayes", datasets.load_iris, "category"),
        ("random_forest", datasets.load_diabetes, "number"),
    ],
)
def test_every_metric_of_an_evaluation_has_a_direction(
    tmp_path: Path, name: str, bunch: Any, target: Any
) -> None:
    data = learning.table(tmp_path / "data", bunch(), target, classes=target == "category")
    params = {"trees": 2} if name == "random_forest" else {}
    spec = learning.train_spec(data, name, split=HALF, params=params)
    ran = learning.run(tmp_path / "job", "train", spec, data, code=algorithm(name).code, validation=True)
    result = ran.done.result
    assert result["metrics"].keys() == result["validation"].keys() == METRICS[result["task"]].keys()
    assert result["metrics"] != result["validation"]


def test_a_network_tells_curves_of_validation_rows_too() -> None:
    known = on_validation_rows("classification")
    assert known["val_accuracy"]
    assert known["accuracy"]
    assert not known["val_loss"]
    assert not known["log_loss"]
    assert "loss" not in known
