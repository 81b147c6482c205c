"""Permutation importance of what has no class and no number to predict: by what its evaluation measures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import learning

ROWS = 240


def importance(found: learning.Ran) -> dict[str, float]:
    """Return by feature what shuffling it costs, in the metric that features are ordered by."""
    told = found.explanation["importance"]
    first = next(iter(told["metrics"]))
    return {entry["feature"]: entry["metrics"][first]["mean"] for entry in told["features"]}


@pytest.fixture(scope="module")
def tied() -> dict[str, Any]:
    """``left`` and ``right`` go together, but in the few rows that are ``odd``; ``alone`` with nothing."""
    rng = np.random.default_rng(0)
    left = rng.normal(size=ROWS)
    odd = np.arange(ROWS) % 20 == 0
    right = np.where(odd, -left + np.sign(left), left)
    return {
        "left": ("number", left),
        "right": ("number", right),
        "alone": ("number", rng.normal(size=ROWS) / 10),
        "odd": ("boolean", odd),
    }


def test_anomalies_are_measured_by_labels_else_by_what_is_made_again(
    tmp_path: Path, tied: dict[str, Any]
) -> None:
    data = learning.write(tmp_path / "data", tied)
    features = ["left", "right", "alone"]
    spec = {"task": "anomaly", "features": features, "params": {"components": 2}}
    ran = learning.train(tmp_path / "pca", data, "pca", "odd", **spec)
    explained = learning.explain(
        tmp_path / "labelled", data, ran.package, repeats=3, partial_dependence=["left"]
    )
    assert list(explained.explanation["importance"]["metrics"])[:2] == ["pr_auc", "roc_auc"]
    found = importance(explained)
    assert min(found["left"], found["right"]) > 0.1 > abs(found["alone"])
    (curve,) = explained.explanation["partial_dependence"][0]["curves"]
    assert curve["mean"][0] > min(curve["mean"]) < curve["mean"][-1], "the ends are far from the others"

    without = learning.write(tmp_path / "bare", {name: tied[name] for name in features})
    bare = learning.explain(tmp_path / "unlabelled", without, ran.package, repeats=3)
    assert list(bare.explanation["importance"]["metrics"]) == ["explained_variance", "reconstruction_error"]
    assert importance(bare)["left"] > 0.1

    # Labels that are there for some rows are used, and the other rows as well.
    some = [bool(odd) if row % 2 == 0 else None for row, odd in enumerate(tied["odd"][1])]
    partly = learning.write(tmp_path / "half", {**tied, "odd": ("boolean", some)})
    half = learning.explain(tmp_path / "partly", partly, ran.package, repeats=3)
    assert next(iter(half.explanation["importance"]["metrics"])) == "pr_auc"
    assert half.explanation["rows"]["of"] == ROWS
    none = learning.write(tmp_path / "none", {**tied, "odd": ("boolean", [None] * ROWS)})
    alone = learning.explain(tmp_path / "nobody", none, ran.package, repeats=3)
    assert importance(alone) == importance(bare)


def test_clusters_are_measured_by_their_labels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    group = np.arange(ROWS) % 3
    data = learning.write(
        tmp_path / "data",
        {
            "place": ("number", group + rng.normal(size=ROWS) / 20),
            "noise": ("number", rng.normal(size=ROWS) / 50),
            "group": ("category", [f"g{each}" for each in group]),
        },
    )
    spec = {"task": "clustering", "features": ["place", "noise"], "params": {"clusters": 3}}
    ran = learning.train(tmp_path / "kmeans", data, "kmeans", "group", **spec)
    explained = learning.explain(tmp_path / "explained", data, ran.package, repeats=3)
    assert explained.explanation["partial_dependence"] == []
    found = importance(explained)
    assert found["place"] > found["noise"]


def test_ratings_rest_on_who_and_on_what(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    user, item = rng.integers(0, 12, ROWS), rng.integers(0, 8, ROWS)
    kind = np.where(item % 2 == 0, "drama", "action")
    data = learning.write(
        tmp_path / "data",
        {
            "user": ("category", [f"u{each}" for each in user]),
            "item": ("category", [f"i{each}" for each in item]),
            "kind": ("category", kind.tolist()),
            "noise": ("number", rng.normal(size=ROWS)),
            "rating": ("number", np.where(item % 2 == 0, 5.0, 1.0) + rng.normal(size=ROWS) / 10),
        },
    )
    params = {"user_features": ["noise"], "item_features": ["kind"], "epochs": 12, "factors": 4}
    spec = {"task": "recommendation", "features": [], "params": params}
    ran = learning.train(tmp_path / "towers", data, "two_tower", "rating", **spec)
    explained = learning.explain(tmp_path / "explained", data, ran.package, part="test", repeats=3)
    used = explained.explanation["rows"]["used"]
    assert 0 < used < ROWS / 3, "the rows of the test"
    found = importance(explained)
    assert set(found) == {"user", "item", "kind", "noise"}
    assert max(found["item"], found["kind"]) > 0.5 > max(found["user"], found["noise"])
    told = {each["feature"] for each in explained.explanation["partial_dependence"]}
    assert told == {"kind", "noise"}


def test_a_forecast_rests_on_what_it_is_told_of_each_step(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    steps = np.arange(ROWS)
    promo = rng.integers(0, 2, ROWS)
    data = learning.write(
        tmp_path / "data",
        {
            "day": ("timestamp", steps.astype("datetime64[D]").astype("datetime64[us]")),
            "promo": ("integer", promo),
            "noise": ("number", rng.normal(size=ROWS)),
            "sold": ("number", 10 + 5.0 * promo + rng.normal(size=ROWS) / 5),
        },
    )
    params = {"time": "day", "horizon": 2, "window": 4, "season": 1, "epochs": 20}
    params |= {"known": ["promo", "noise"], "calendar": False, "learning_rate": 0.01}
    params |= {"units": 32, "early_stopping": 5}
    spec = {"task": "forecast", "features": ["promo", "noise"], "params": params}
    split = {"by": "time:day", "validation": 0.1, "test": 0.2, "seed": 0}
    ran = learning.train(tmp_path / "forecast", data, "forecast", "sold", split=split, **spec)
    explained = learning.explain(tmp_path / "explained", data, ran.package, part="test", repeats=3)
    assert explained.explanation["rows"]["used"] == round(ROWS * 0.2) - 1
    found = importance(explained)
    assert found["promo"] > 0.3 > 10 * abs(found["noise"])


def test_of_many_series_no_more_windows_are_explained_than_was_asked(tmp_path: Path) -> None:
    count, length = 6, 40
    steps = np.tile(np.arange(length), count)
    data = learning.write(
        tmp_path / "data",
        {
            "day": ("timestamp", steps.astype("datetime64[D]").astype("datetime64[us]")),
            "shop": ("category", np.repeat([f"s{each}" for each in range(count)], length).tolist()),
            "promo": ("integer", steps % 2),
            "sold": ("number", 1.0 + steps % 2),
        },
    )
    params = {"time": "day", "series": ["shop"], "horizon": 2, "window": 4, "season": 1, "epochs": 1}
    spec = {"task": "forecast", "features": ["promo"], "params": params | {"known": ["promo"]}}
    split = {"by": "time:day", "validation": 0.1, "test": 0.2, "seed": 0}
    ran = learning.train(tmp_path / "forecast", data, "forecast", "sold", split=split, **spec)
    explained = learning.explain(tmp_path / "explained", data, ran.package, rows=4, repeats=2)
    assert explained.explanation["rows"]["of"] > 100
    assert 2 <= explained.explanation["rows"]["used"] <= 4
