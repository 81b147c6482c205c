"""How alike groups are treated: fairlearn's figures, with counts and intervals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from fairlearn import metrics

import learning
from headrace_workers.engine.evaluation import fairness, slices


def _measured(
    group: list[str | None], truth: list[int], predicted: list[int], labels: list[str]
) -> list[dict]:
    groups = list(slices.groups(pa.array(group, pa.string())))
    rng = np.random.default_rng(0)
    return fairness.measure(groups, np.array(truth), np.array(predicted), labels, rng)


def test_figures_are_those_of_fairlearn_and_of_a_count_by_hand() -> None:
    # Group a: of 40 rows 20 are of the class, 15 of them found, 5 others taken for it. Group b: 10, 4, 6.
    group = ["a"] * 40 + ["b"] * 40
    truth = [1] * 20 + [0] * 20 + [1] * 10 + [0] * 30
    predicted = [1] * 15 + [0] * 5 + [1] * 5 + [0] * 15 + [1] * 4 + [0] * 6 + [1] * 6 + [0] * 24
    (found,) = _measured(group, truth, predicted, ["no", "yes"])
    assert found["label"] == "yes"
    assert [(each["rows"], each["of_class"]) for each in found["groups"]] == [(40, 20), (40, 10)]
    assert found["groups"][0]["rates"] == {
        "selection_rate": 0.5,
        "true_positive_rate": 0.75,
        "false_positive_rate": 0.25,
    }
    assert found["metrics"] == pytest.approx(
        {
            "demographic_parity_difference": 0.25,
            "demographic_parity_ratio": 0.5,
            "equal_opportunity_difference": 0.35,
            "equalized_odds_difference": 0.35,
        }
    )
    for name, value in found["metrics"].items():
        direct = getattr(metrics, name)(truth, predicted, sensitive_features=group)
        assert value == pytest.approx(direct)
        low, high = found["intervals"][name]
        assert low <= value <= high
        assert high - low > 0.05
    for each in found["groups"]:
        for rate, value in each["rates"].items():
            low, high = each["intervals"][rate]
            # Near the normal approximation of a share.
            count = {"selection_rate": 40, "true_positive_rate": each["of_class"]}.get(
                rate, 40 - each["of_class"]
            )
            width = 2 * 1.96 * np.sqrt(value * (1 - value) / count)
            assert high - low == pytest.approx(width, rel=0.35)


def test_small_groups_are_told_and_not_compared_and_what_is_not_defined_is_left_out() -> None:
    group = ["a"] * 40 + ["b"] * 40 + ["c"] * 5 + [None] * 3
    truth = [1] * 20 + [0] * 20 + [0] * 40 + [1] * 5 + [0] * 3
    (found,) = _measured(group, truth, [0] * 40 + [1] * 40 + [0] * 8, ["no", "yes"])
    assert [each["rows"] for each in found["groups"]] == [40, 40, 5, 3]
    assert found["compared"] == 2
    # No row of b is of the class, so whether its rows are found is not known.
    assert set(found["metrics"]) == {"demographic_parity_difference", "demographic_parity_ratio"}
    assert "true_positive_rate" not in found["groups"][1]["rates"]
    assert "false_positive_rate" not in found["groups"][2]["rates"]
    (alone,) = _measured(["a"] * 40 + ["c"] * 5, [0, 1, 1] * 15, [0, 1, 0] * 15, ["no", "yes"])
    assert (alone["metrics"], alone["compared"], len(alone["groups"])) == ({}, 1, 2)


def test_of_more_classes_each_is_told_against_the_rest() -> None:
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 3, (2, 200)).tolist()
    group = ["a", "b"] * 100
    found = _measured(group, truth, predicted, ["x", "y", "z"])
    assert [each["label"] for each in found] == ["x", "y", "z"]
    for k, each in enumerate(found):
        direct = metrics.equalized_odds_difference(
            np.array(truth) == k, np.array(predicted) == k, sensitive_features=group
        )
        assert each["metrics"]["equalized_odds_difference"] == pytest.approx(direct)


def test_evaluations_of_train_jobs_and_of_evaluate_jobs_have_them(
    tmp_path: Path, iris: learning.Data
) -> None:
    columns = {c.name: (c.type, iris.table[c.name].to_pylist()) for c in iris.columns}
    columns["place"] = ("category", ["here", "there"] * 75)
    data = learning.write(tmp_path / "data", columns)
    split = {"test": 0.6, "validation": 0.0}
    ran = learning.train(
        tmp_path / "job", data, "random_forest", params={"trees": 3}, slices=["place"], split=split
    )
    spec = {"model": "m@1", "dataset": "d@1", "slices": ["place"]}
    again = learning.run(tmp_path / "again", "evaluate", spec, data, package=ran.package)
    for evaluation in (ran.evaluation, again.evaluation):
        (part,) = evaluation["slices"]
        assert [each["label"] for each in part["fairness"]] == ["setosa", "versicolor", "virginica"]
        for each in part["fairness"]:
            assert [g["rows"] for g in each["groups"]] == [g["rows"] for g in part["groups"]]
            assert set(each["metrics"]) == set(each["intervals"]) != set()
