"""Naive Bayes for tables: as scikit-learn's where nothing is missing; what it makes of missing numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.naive_bayes import CategoricalNB, GaussianNB

from headrace_workers.engine.algorithms.base import Problem, TensorSpec
from headrace_workers.engine.algorithms.naive_bayes import NaiveBayes, NaiveBayesParams
from headrace_workers.engine.training.rows import Rows


class _Silent:
    def progress(self, fraction: float, message: str = "") -> None: ...

    def metric(self, name: str, step: int, value: float) -> None: ...

    def cut(self, learner: Any, position: str) -> None: ...


def _fitted(
    folder: Path, table: Any, targets: Any, levels: tuple[int, ...] = (), **params: Any
) -> NaiveBayes:
    table = np.asarray(table, np.float32)
    inputs = {"table": TensorSpec(table.shape[1:], "float32", levels)}
    rows = Rows.allocate(len(table), inputs, "int32", folder / "rows")
    rows.append({"table": table}, np.asarray(targets, np.int32))
    outputs = int(np.max(targets)) + 1
    learner = NaiveBayes(NaiveBayesParams(**params), Problem("classification", inputs, outputs))
    learner.fit(rows, None, _Silent())
    return learner


def _predict(learner: NaiveBayes, *rows: list[float]) -> Any:
    return learner.predict({"table": np.array(rows, np.float32)})


def test_complete_numbers_are_as_scikit_learn_has_them(tmp_path: Path) -> None:
    x, y = load_iris(return_X_y=True)
    x = ((x - x.mean(axis=0)) / x.std(axis=0)).astype(np.float32)
    learner = _fitted(tmp_path, x, y, smoothing=1e-9)
    expected = GaussianNB().fit(x.astype(np.float64), y).predict_proba(x.astype(np.float64))
    assert np.allclose(learner.predict({"table": x}), expected, atol=1e-5)


def test_levels_are_as_scikit_learn_has_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 3, (200, 2)), rng.integers(0, 2, 200)
    learner = _fitted(tmp_path, x, y, (3, 3), prior="uniform")
    expected = CategoricalNB(fit_prior=False).fit(x, y).predict_proba(x)
    assert np.allclose(learner.predict({"table": x.astype(np.float32)}), expected)


def test_a_missing_number_tells_as_much_as_that_it_is_missing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 500)
    x = rng.normal(size=(1000, 2))
    x[:, 0] += 2 * y
    # The first is missing in three of five rows of class 1, in one of five of class 0; the second at random.
    x[np.arange(1000) % 5 < np.where(y, 3, 1), 0] = np.nan
    x[::10, 1] = np.nan
    learner = _fitted(tmp_path, x, y, smoothing=1e-9)
    assert _predict(learner, [np.nan, np.nan])[0] == pytest.approx([1 / 4, 3 / 4], abs=0.02)
    known = np.array([-1.0, 0.0, 3.0])
    found = learner.predict({"table": np.column_stack([known, np.zeros(3)]).astype(np.float32)})
    # P(class 1 | x) where both classes are normal, with means 0 and 2, and 2 to 4 of them have the number.
    expected = 1 / (1 + 2 * np.exp(2 - 2 * known))
    assert np.allclose(found[:, 1], expected, atol=0.06)


def test_a_number_that_a_class_never_has_says_nothing_else_of_it(tmp_path: Path) -> None:
    x = [[0.0, np.nan], [0.1, np.nan], [0.0, 1.0], [0.2, -1.0], [0.1, 0.3]]
    learner = _fitted(tmp_path, x, [0, 0, 1, 1, 1])
    found = _predict(learner, [0.1, 5.0], [0.1, np.nan])
    assert np.isfinite(found).all()
    assert found[0, 1] > found[1, 1]


def test_a_column_without_any_number_changes_nothing(tmp_path: Path) -> None:
    with_it = _fitted(tmp_path, [[0.0, np.nan], [1.0, np.nan], [0.5, np.nan]], [0, 1, 1])
    found = _predict(with_it, [0.7, np.nan], [0.7, 2.0])
    assert np.allclose(found[0], found[1])
