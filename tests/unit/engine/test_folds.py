"""Folds: each training of a cross-validation scores as scikit-learn's own does on the same folds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import datasets
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold, cross_val_score

import learning

ALL = {"validation": 0.0, "test": 0.0, "seed": 3}
SHUFFLED: dict[str, Any] = {"shuffle": True, "random_state": 3}
FOLDS = 4


def _scores(tmp_path: Path, data: learning.Data, metric: str, **fold: Any) -> list[float]:
    found = []
    for number in range(FOLDS):
        asked = {"folds": FOLDS, "number": number, **fold}
        features = [c.name for c in data.columns if c.name not in ("target", "group")]
        ran = learning.train(
            tmp_path / str(number),
            data,
            "random_forest",
            split=ALL,
            fold=asked,
            features=features,
            params={"trees": 10},
        )
        found.append(ran.done.result["metrics"][metric])
    return found


@pytest.mark.parametrize(
    ("stratified", "group", "splitter"),
    [
        (True, None, StratifiedKFold(FOLDS, **SHUFFLED)),
        (False, "group", GroupKFold(FOLDS)),
        (True, "group", StratifiedGroupKFold(FOLDS, **SHUFFLED)),
    ],
)
def test_a_forest_scores_as_scikit_learns_own(
    tmp_path: Path, stratified: bool, group: str | None, splitter: Any
) -> None:
    x, y = datasets.load_wine(return_X_y=True)
    groups = np.arange(len(y)) * 7 % 13
    columns: dict[str, Any] = {f"x{i}": ("number", x[:, i]) for i in range(x.shape[1])}
    columns |= {"group": ("integer", groups), "target": ("category", [f"class {label}" for label in y])}
    data = learning.write(tmp_path / "data", columns)
    scores = _scores(tmp_path, data, "accuracy", stratified=stratified, group=group)
    forest = RandomForestClassifier(10, random_state=0)
    expected = cross_val_score(forest, x, y, cv=splitter, groups=groups if group else None)
    assert scores == pytest.approx(expected.tolist())


def test_numbers_are_divided_without_classes(tmp_path: Path) -> None:
    bunch = datasets.load_diabetes()
    data = learning.table(tmp_path / "data", bunch, "number")
    for number, (others, held_out) in enumerate(KFold(FOLDS, **SHUFFLED).split(bunch.data)):
        fold = {"folds": FOLDS, "number": number, "stratified": False}
        params = {"trees": 1, "max_depth": 1}
        ran = learning.train(
            tmp_path / str(number), data, "random_forest", split=ALL, fold=fold, params=params
        )
        assert ran.done.result["rows"]["test"] == len(held_out)
        # The baseline is the mean of the rows that were learned from.
        assert ran.evaluation["baseline"]["predicts"] == pytest.approx(bunch.target[others].mean())


def test_too_few_groups_are_a_failure_that_says_so(tmp_path: Path) -> None:
    columns: dict[str, Any] = {
        "x": ("number", list(range(20))),
        "group": ("category", ["a", "b"] * 10),
        "target": ("category", ["yes", "no"] * 10),
    }
    data = learning.write(tmp_path / "data", columns)
    fold = {"folds": 3, "number": 0, "stratified": False, "group": "group"}
    ran = learning.train(tmp_path / "job", data, "random_forest", split=ALL, fold=fold, features=["x"])
    assert ran.failed.error == "BadSpec"
    assert "greater than the number of groups: 2" in ran.failed.message


def test_validation_rows_come_from_the_rows_that_are_not_held_out(tmp_path: Path) -> None:
    data = learning.table(tmp_path / "data", datasets.load_iris(), "category", classes=True)
    fold = {"folds": 5, "number": 1, "stratified": True}
    split = {"validation": 0.2, "test": 0.5, "by": "random"}
    ran = learning.train(tmp_path / "job", data, "naive_bayes", split=split, fold=fold)
    rows = ran.done.result["rows"]
    assert rows["test"] == 30
    assert rows["train"] + rows["validation"] == 120
    assert 10 < rows["validation"] < 40
