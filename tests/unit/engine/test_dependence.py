"""Partial dependence is scikit-learn's, of raw columns, with the curves of single rows where asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.inspection import partial_dependence

import learning
from headrace_workers.engine.package import Package


def test_it_is_that_of_scikit_learn_used_directly(
    tmp_path: Path, forest: learning.Ran, iris: learning.Data
) -> None:
    name = "petal length (cm)"
    ran = learning.explain(
        tmp_path, iris, forest.package, partial_dependence=[name], grid=7, ice=150, repeats=2
    )
    (found,) = ran.explanation["partial_dependence"]
    predictor = Package.load(forest.package).predictor
    columns = predictor.preprocessing
    table = columns.encode(iris.table).inputs["table"].astype(np.float64)
    place = columns.columns.index(name)
    encoder = columns.encoders[place]
    grid = (np.array(found["grid"]) - encoder.mean) / encoder.scale
    direct = partial_dependence(
        predictor.learner.model,
        table,
        [place],
        kind="both",
        method="brute",
        response_method="predict_proba",
        custom_values={place: grid.astype(np.float32)},
    )
    assert len(found["grid"]) == 7
    # scikit-learn's grid: equal steps between the 5th and the 95th percentile.
    values = iris.table[name].to_numpy()
    assert found["grid"] == pytest.approx(np.linspace(*np.quantile(values, [0.05, 0.95]), 7))
    for k, curve in enumerate(found["curves"]):
        assert curve["label"] == predictor.target.classes[k]
        assert curve["mean"] == pytest.approx(direct.average[k], abs=1e-6)
        assert np.array(curve["ice"]) == pytest.approx(direct.individual[k], abs=1e-6)


def test_categories_go_through_their_levels_and_booleans_through_both(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    kind, flag, count = rng.integers(0, 3, 300), rng.random(300) < 0.5, rng.integers(0, 100, 300)
    data = learning.write(
        tmp_path / "data",
        {
            "kind": ("category", [None if i == 7 else f"k{each}" for i, each in enumerate(kind.tolist())]),
            "flag": ("boolean", flag),
            "count": ("integer", count),
            "y": ("number", 10.0 * kind + 5 * flag),
        },
    )
    package = learning.train(tmp_path / "job", data, "random_forest", "y", params={"trees": 20}).package
    ran = learning.explain(
        tmp_path / "explain", data, package, partial_dependence=["kind", "flag", "count"], grid=5, repeats=2
    )
    by_kind, by_flag, by_count = ran.explanation["partial_dependence"]
    assert by_kind["grid"] == ["k0", "k1", "k2"]
    assert by_kind["curves"][0]["label"] is None
    assert np.diff(by_kind["curves"][0]["mean"]) == pytest.approx([10, 10], abs=0.7)
    assert by_flag["grid"] == [False, True]
    assert np.diff(by_flag["curves"][0]["mean"]) == pytest.approx([5], abs=0.5)
    assert all(isinstance(value, int) for value in by_count["grid"])
    assert np.ptp(by_count["curves"][0]["mean"]) < 1.0
    assert by_kind["curves"][0]["ice"] == []


def test_those_of_most_weight_are_told_where_nothing_is_said(
    tmp_path: Path, forest: learning.Ran, iris: learning.Data
) -> None:
    found = learning.explain(tmp_path / "some", iris, forest.package, repeats=2, grid=3).explanation
    strongest = [entry["feature"] for entry in found["importance"]["features"]]
    assert [part["feature"] for part in found["partial_dependence"]] == strongest[:3]
    none = learning.explain(tmp_path / "none", iris, forest.package, partial_dependence=[], repeats=2)
    assert none.explanation["partial_dependence"] == []
