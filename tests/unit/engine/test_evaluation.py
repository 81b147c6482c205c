"""Evaluations: metrics as scikit-learn has them, intervals that cover, slices, baselines and verdicts."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from sklearn import datasets, metrics

import learning
from headrace_workers.engine.data.row_sample import RowSample
from headrace_workers.engine.data.target import ClassTarget, NumberTarget
from headrace_workers.engine.evaluation import classification, scores
from headrace_workers.engine.evaluation.classification import Classification
from headrace_workers.engine.evaluation.regression import Regression

Floats = NDArray[np.float64]


def probabilities(
    rows: int, classes: int, *, skill: float, seed: int = 0
) -> tuple[NDArray[np.int64], Floats]:
    rng = np.random.default_rng(seed)
    truth = np.minimum(rng.geometric(0.4, rows) - 1, classes - 1)
    logits = rng.normal(size=(rows, classes))
    logits[np.arange(rows), truth] += skill
    # Rounded, so that there are ties.
    p = np.exp(logits).round(2) + 0.01
    return truth, (p / p.sum(axis=1, keepdims=True)).astype(np.float32)


def target(truth: NDArray[np.int64], classes: int) -> ClassTarget:
    counts = np.bincount(truth, minlength=classes)
    return ClassTarget(column="y", type="integer", classes=list(range(classes)), counts=counts.tolist())


def report(
    truth: NDArray[np.int64], p: Any, described: ClassTarget, *, seed: int = 0, step: int = 700, **slices: Any
) -> dict[str, Any]:
    kept = Classification(described, list(slices), seed)
    rows = pa.record_batch({"x": pa.array(truth * 2.0), **{n: pa.array(v) for n, v in slices.items()}})
    for start in range(0, len(truth), step):
        part = slice(start, start + step)
        numbers = np.arange(len(truth))[part]
        kept.add(p[part], pa.array(truth[part]), numbers, rows.slice(start, step))
    found = kept.report()
    json.dumps(found, allow_nan=False)
    return found


def regress(actual: Floats, predicted: Floats, **slices: Any) -> dict[str, Any]:
    described = NumberTarget(column="y", type="number", mean=float(actual.mean()), scale=1.0)
    kept = Regression(described, list(slices), 0)
    rows = pa.record_batch({"x": pa.array(actual), **{n: pa.array(v) for n, v in slices.items()}})
    kept.add(predicted, pa.array(actual), np.arange(len(actual)), rows)
    found = kept.report()
    json.dumps(found, allow_nan=False)
    return found


@pytest.mark.parametrize("classes", [2, 5])
def test_every_metric_is_that_of_scikit_learn(classes: int) -> None:
    truth, p = probabilities(2000, classes, skill=1.0)
    found = report(truth, p, target(truth, classes))
    exact = p.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    kept = exact.astype(np.float32)
    predicted = p.argmax(axis=1)
    one_hot = np.eye(classes)[truth]
    wanted = {
        "accuracy": metrics.accuracy_score(truth, predicted),
        "balanced_accuracy": metrics.balanced_accuracy_score(truth, predicted),
        "log_loss": metrics.log_loss(truth, exact),
        "brier_score": metrics.brier_score_loss(truth, exact if classes > 2 else exact[:, 1]),
        "roc_auc": metrics.roc_auc_score(one_hot, kept, average="macro"),
        "pr_auc": metrics.average_precision_score(one_hot, kept, average="macro"),
    }
    if classes > 2:
        wanted["brier_score"] = metrics.brier_score_loss(truth, exact, scale_by_half=False)
    for average in ("macro", "weighted"):
        values = metrics.precision_recall_fscore_support(truth, predicted, average=average, zero_division=0.0)
        wanted |= {
            f"{n}_{average}": v for n, v in zip(("precision", "recall", "f1"), values[:3], strict=True)
        }
    assert found["metrics"] == pytest.approx(wanted, abs=1e-6)
    matrix = metrics.confusion_matrix(truth, predicted)
    assert found["confusion_matrix"] == {"labels": list(range(classes)), "counts": matrix.tolist()}
    columns = metrics.precision_recall_fscore_support(truth, predicted, zero_division=0.0)
    for k, entry in enumerate(found["per_class"]):
        assert [entry[n] for n in ("precision", "recall", "f1", "rows")] == pytest.approx(
            [column[k] for column in columns]
        )
        assert entry["roc_auc"] == pytest.approx(metrics.roc_auc_score(truth == k, kept[:, k]))


def test_the_baseline_is_measured_as_a_model_would_be() -> None:
    truth, p = probabilities(600, 3, skill=2.0)
    described = target(truth, 3)
    prior = np.tile(np.array(described.counts) / 600, (600, 1))
    baseline = report(truth, p, described)["baseline"]
    constant = report(truth, prior, described)["metrics"]
    assert baseline["predicts"] == int(np.argmax(described.counts))
    assert baseline["metrics"] == pytest.approx(constant, abs=1e-6)


def test_weighted_areas_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    for _ in range(8):
        rows = int(rng.integers(2, 60))
        ranked = rng.integers(0, 8, rows) / 8
        positive = rng.random(rows) < 0.4
        weights = rng.integers(0, 4, (5, rows)).astype(np.float32)
        roc, pr = scores.areas(ranked, positive, weights)
        for i, weight in enumerate(weights):
            some = weight > 0
            if not some.any() or len(np.unique(positive[some])) < 2:
                assert not np.isfinite(roc[i])
                continue
            wanted = metrics.roc_auc_score(positive[some], ranked[some], sample_weight=weight[some])
            assert roc[i] == pytest.approx(wanted, abs=1e-6)
            wanted = metrics.average_precision_score(positive[some], ranked[some], sample_weight=weight[some])
            assert pr[i] == pytest.approx(wanted, abs=1e-6)


def test_intervals_cover_what_they_should() -> None:
    """Each of 30 evaluations of 300 rows has a 95 % interval; about 28 hold the value of a huge sample."""
    wanted = report(*_drawn(60_000, 999), step=60_000)["metrics"]
    covered = dict.fromkeys(wanted, 0)
    for seed in range(30):
        found = report(*_drawn(300, seed), seed=seed)["intervals"]["metrics"]
        for name, value in wanted.items():
            covered[name] += found[name][0] <= value <= found[name][1]
    # Binomial(30, 0.93) is below 23 once in 500: percentile intervals cover a little less than they say.
    assert {name: count for name, count in covered.items() if count < 23} == {}


def _drawn(rows: int, seed: int) -> tuple[NDArray[np.int64], Any, ClassTarget]:
    truth, p = probabilities(rows, 3, skill=1.5, seed=seed)
    return truth, p, ClassTarget(column="y", type="integer", classes=[0, 1, 2], counts=[40, 24, 36])


def test_intervals_of_many_rows_are_as_narrow_as_those_of_all_resampled(monkeypatch: Any) -> None:
    """Some metrics are resampled on some rows only; the widths are as if all had been."""
    monkeypatch.setattr("headrace_workers.engine.evaluation.intervals.MAX_ROWS", 500)
    truth, p = probabilities(2000, 3, skill=1.5)
    few = report(truth, p, target(truth, 3))["intervals"]["metrics"]
    monkeypatch.setattr("headrace_workers.engine.evaluation.intervals.MAX_ROWS", 2000)
    every = report(truth, p, target(truth, 3))["intervals"]["metrics"]
    for name in ("log_loss", "brier_score", "roc_auc", "pr_auc"):
        assert np.diff(few[name])[0] == pytest.approx(np.diff(every[name])[0], rel=0.3), name
        assert few[name] != every[name]


def test_an_evaluation_is_the_same_each_time_and_for_every_batch_size() -> None:
    truth, p = probabilities(500, 3, skill=1.0)
    described = target(truth, 3)
    first = report(truth, p, described)
    assert report(truth, p, described) == first
    assert report(truth, p, described, step=37) == first
    assert report(truth, p, described, seed=1)["intervals"] != first["intervals"]


def test_a_perfect_model_is_not_said_to_be_certain() -> None:
    truth = np.arange(40) % 2
    p = np.eye(2)[truth]
    found = report(truth, p, target(truth, 2))
    assert found["metrics"]["accuracy"] == 1
    assert found["intervals"]["metrics"]["accuracy"][0] == pytest.approx(0.912, abs=0.001)
    assert "may still be wrong" in found["intervals"]["notes"][0]
    assert found["worst"] == []


@pytest.mark.parametrize("seed", range(5))
def test_a_model_that_guesses_does_not_beat_the_baseline(seed: int) -> None:
    truth, p = probabilities(300, 3, skill=0.0, seed=seed)
    verdict = report(truth, p, target(truth, 3))["verdict"]
    assert verdict["beats_baseline"] is False
    assert "does not beat the baseline" in verdict["text"]
    assert "always predicting " in verdict["text"]
    assert "worse than the plain shares" in verdict["text"]


def test_a_model_that_only_ranks_is_said_to() -> None:
    rng = np.random.default_rng(0)
    truth = (rng.random(2000) < 0.05).astype(np.int64)
    score = np.clip(0.05 + 0.1 * truth + rng.normal(scale=0.05, size=2000), 0.001, 0.4)
    found = report(truth, np.column_stack([1 - score, score]), target(truth, 2))
    assert found["metrics"]["accuracy"] == pytest.approx(found["baseline"]["metrics"]["accuracy"])
    assert found["verdict"]["beats_baseline"] is True
    assert "ranks rows better than chance" in found["verdict"]["text"]


def test_curves_and_calibration_are_of_the_rows() -> None:
    truth, p = probabilities(5000, 2, skill=1.0)
    found = report(truth, p, target(truth, 2))
    for curve in found["roc"]:
        points = np.array(curve["points"])
        assert len(points) <= 100
        assert points[0].tolist() == [0, 0]
        assert points[-1].tolist() == [1, 1]
        area = metrics.auc(points[:, 0], points[:, 1])
        assert area == pytest.approx(found["metrics"]["roc_auc"], abs=0.005)
    calibration = found["calibration"]
    assert calibration["of"] == 1
    assert sum(entry["rows"] for entry in calibration["bins"]) == 5000
    for entry in calibration["bins"]:
        inside = (p[:, 1] >= entry["predicted"] - 0.1) & (p[:, 1] <= entry["predicted"] + 0.1)
        assert abs(entry["observed"] - truth[inside].mean()) < 0.15


def test_slices_are_of_the_rows_they_name() -> None:
    rng = np.random.default_rng(0)
    truth, p = probabilities(1000, 3, skill=3.0)
    place = rng.choice(["north", "south", "west"], 1000, p=[0.6, 0.38, 0.02])
    # In the south it guesses.
    south = place == "south"
    p[south] = rng.permutation(p[south])
    age = rng.uniform(0, 100, 1000)
    flag = [None if i % 4 == 0 else i % 4 == 1 for i in range(1000)]
    ids = [f"id {i % 300}" for i in range(1000)]
    found = report(truth, p, target(truth, 3), place=place, age=age, flag=flag, ids=ids)
    places, ages, flags, many = (entry["groups"] for entry in found["slices"])
    assert [entry["column"] for entry in found["slices"]] == ["place", "age", "flag", "ids"]
    assert [group["value"] for group in places] == ["north", "south", "west"]
    right = p.argmax(axis=1) == truth
    for group in places:
        inside = place == group["value"]
        assert group["rows"] == inside.sum()
        assert group["metrics"]["accuracy"] == pytest.approx(right[inside].mean())
        low, high = group["intervals"]["accuracy"]
        assert low < group["metrics"]["accuracy"] <= high
    assert [group.get("differs") for group in places] == ["better", "worse", None]
    assert [group.get("small") for group in places] == [None, None, True]
    assert [group["rows"] for group in ages] == [200] * 5
    assert [a["to"] == b["from"] for a, b in itertools.pairwise(ages)] == [True] * 4
    assert [(group["value"], group["rows"]) for group in flags] == [(False, 500), (True, 250), (None, 250)]
    assert len(many) == 21
    assert many[-1]["others"] == 280
    assert sum(group["rows"] for group in many) == 1000


def test_the_worst_rows_are_found_wherever_they_are() -> None:
    truth, p = probabilities(3000, 3, skill=3.0)
    for i, row in enumerate((2999, 5, 1500)):
        p[row] = 0.0001 * (i + 1)
        p[row, (truth[row] + 1) % 3] = 1
    worst = report(truth, p, target(truth, 3))["worst"]
    assert len(worst) == 20
    assert [entry["row"] for entry in worst[:3]] == [3000, 6, 1501]
    for entry in worst:
        assert entry["truth"] == truth[entry["row"] - 1] != entry["prediction"]
        assert entry["values"] == {"x": entry["truth"] * 2.0}
        assert 0 <= entry["probability_of_truth"] < entry["probability"] <= 1
    known = [entry["probability_of_truth"] for entry in worst]
    assert known == sorted(known)


def test_worst_rows_are_shown_short(tmp_path: Path, cnn: learning.Ran, digits: learning.Data) -> None:
    rows = digits.table.slice(0, 200)
    columns = {"image": ("image", rows["image"]), "label": ("category", ["7"] * 200)}
    ran = learning.evaluate(tmp_path / "job", learning.write(tmp_path, columns), cnn.package)
    image = ran.evaluation["worst"][0]["values"]["image"]
    assert (image["width"], image["height"]) == (8, 8)
    assert image["thumbnail"].startswith("data:image/png;base64,")
    assert ran.evaluation["verdict"]["beats_baseline"] is True


def test_classes_that_training_never_saw_are_counted_and_named() -> None:
    truth, p = probabilities(500, 3, skill=3.0)
    found = report(np.where(np.arange(500) < 100, 10 + np.arange(500), truth), p, target(truth, 3))
    unseen = found["unseen_classes"]
    assert unseen["rows"] == 100
    assert unseen["labels"] == [*range(10, 60), classification.OTHERS]
    counts = np.array(found["confusion_matrix"]["counts"])
    assert counts.sum() == 500
    assert counts[-1].sum() == 50
    assert counts[:, 3:].sum() == 0
    assert found["metrics"]["accuracy"] < 0.8
    assert all(entry["truth"] < 3 for entry in found["worst"])


def test_rows_of_one_class_leave_out_what_they_do_not_define() -> None:
    truth = np.zeros(30, np.int64)
    p = np.tile([0.4, 0.6], (30, 1))
    found = report(truth, p, target(np.array([0, 1]), 2))
    assert found["metrics"]["accuracy"] == 0
    assert found["metrics"].keys() & {"roc_auc", "pr_auc"} == set()
    assert found["roc"] == []
    one = report(truth[:1], p[:1], target(np.array([0, 1]), 2))
    assert one["intervals"]["metrics"]["accuracy"] == pytest.approx([0, 0.79], abs=0.01)


def test_a_class_that_does_not_occur_is_no_part_of_a_mean() -> None:
    truth, p = probabilities(300, 2, skill=1.0)
    known = np.column_stack([p, np.full(300, 1e-6)])
    found = report(truth, known, target(np.append(truth, 2), 3))["metrics"]
    wanted = metrics.f1_score(truth, p.argmax(axis=1), average="macro")
    assert found["f1_macro"] == pytest.approx(wanted)
    assert found["recall_macro"] == pytest.approx(found["balanced_accuracy"])


def test_of_more_rows_than_are_kept_counts_are_exact(monkeypatch: Any) -> None:
    monkeypatch.setattr(classification, "MAX_ROWS", 400)
    truth, p = probabilities(5000, 3, skill=1.5)
    found = report(truth, p, target(truth, 3))
    assert (found["sample"]["rows"], found["sample"]["of"]) == (400, 5000)
    assert found["metrics"]["accuracy"] == (p.argmax(axis=1) == truth).mean()
    exact = metrics.log_loss(truth, p.astype(np.float64) / p.sum(axis=1, keepdims=True, dtype=np.float64))
    low, high = found["intervals"]["metrics"]["log_loss"]
    assert low < exact < high


def test_a_sample_of_rows_is_uniform_and_keeps_their_order() -> None:
    numbers = pa.record_batch({"x": pa.array(range(20_000))})
    sample, pieces = RowSample(1000, seed=4), RowSample(1000, seed=4)
    sample.update(numbers)
    for start in range(0, 20_000, 333):
        pieces.update(numbers.slice(start, 333))
    found = sample.rows()
    assert found is not None
    assert found.equals(pieces.rows())
    values = found["x"].to_numpy()
    assert len(values) == 1000
    assert (np.diff(values) > 0).all()
    assert abs(values.mean() - 10_000) < 4 * 20_000 / math.sqrt(12 * 1000)
    assert RowSample(5).rows() is None


def test_a_regression_is_measured_as_scikit_learn_does() -> None:
    rng = np.random.default_rng(0)
    actual = rng.normal(50, 10, 1500)
    predicted = actual + rng.standard_t(4, 1500) * 4
    place = np.where(np.arange(1500) % 3 == 0, "a", "b")
    predicted[place == "a"] += 8
    found = regress(actual, predicted, place=place)
    wanted = {
        "mae": metrics.mean_absolute_error(actual, predicted),
        "rmse": metrics.root_mean_squared_error(actual, predicted),
        "median_absolute_error": metrics.median_absolute_error(actual, predicted),
        "r2": metrics.r2_score(actual, predicted),
    }
    assert found["metrics"] == pytest.approx(wanted)
    for name, (low, high) in found["intervals"]["metrics"].items():
        assert low < wanted[name] < high
    spread = np.abs(actual - predicted).std() / math.sqrt(1500)
    assert np.diff(found["intervals"]["metrics"]["mae"])[0] == pytest.approx(3.92 * spread, rel=0.15)
    assert found["verdict"]["beats_baseline"] is True
    assert found["residuals"]["quantiles"]["0.5"] == pytest.approx(np.median(actual - predicted))
    assert sum(found["residuals"]["histogram"]["counts"]) == 1500
    assert len(found["predictions"]["points"]) == 500
    groups = found["slices"][0]["groups"]
    assert [(group["value"], group["rows"], group["differs"]) for group in groups] == [
        ("b", 1000, "better"),
        ("a", 500, "worse"),
    ]
    row = found["worst"][0]
    assert abs(row["truth"] - row["prediction"]) == pytest.approx(np.abs(actual - predicted).max())
    assert row["values"]["x"] == row["truth"]


def test_a_regression_that_knows_nothing_does_not_beat_the_mean() -> None:
    rng = np.random.default_rng(1)
    actual = rng.normal(size=200)
    for predicted in (rng.normal(size=200), np.full(200, actual.mean())):
        verdict = regress(actual, predicted)["verdict"]
        assert verdict["beats_baseline"] is False
        assert "does not beat the baseline" in verdict["text"]


def test_numbers_too_large_to_square_leave_finite_json(tmp_path: Path) -> None:
    data = learning.table(tmp_path / "data", datasets.load_diabetes(), "number")
    ran = learning.train(tmp_path / "train", data, "random_forest", params={"trees": 2})
    columns = {c.name: (c.type, data.table[c.name].to_pylist()) for c in data.columns}
    columns["target"] = ("number", [1e200] * 3 + columns["target"][1][3:])
    huge = learning.write(tmp_path / "huge", columns)
    found = learning.evaluate(tmp_path / "evaluate", huge, ran.package).evaluation
    assert found["metrics"]["mae"] > 1e197
    assert "rmse" not in found["metrics"]


def test_the_fit_of_one_feature_is_drawn(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 10, 400)
    y = 3 * x + rng.normal(size=400)
    columns: dict[str, Any] = {"x": ("number", x), "target": ("number", y)}
    data = learning.write(tmp_path / "one", columns)
    fit = learning.train(tmp_path / "job", data, "linear_regression").evaluation["fit"]
    assert fit["feature"] == "x"
    assert fit["averaged_rows"] is None
    assert _slope(fit["line"]) == pytest.approx(3, abs=0.3)
    assert len(fit["points"]) > 20
    columns |= {"noise": ("number", rng.normal(size=400)), "c": ("category", ["a", "b"] * 200)}
    more = learning.write(tmp_path / "more", columns)
    fit = learning.train(tmp_path / "job2", more, "random_forest", params={"trees": 20}).evaluation["fit"]
    assert (fit["feature"], fit["averaged_rows"] > 10) == ("x", True)
    assert _slope(fit["line"]) == pytest.approx(3, abs=0.5)


def _slope(line: list[list[float]]) -> float:
    (x0, y0), (x1, y1) = line[5], line[-6]
    return (y1 - y0) / (x1 - x0)


def test_a_train_job_slices_by_columns_that_are_no_features(tmp_path: Path, iris: learning.Data) -> None:
    columns = {c.name: (c.type, iris.table[c.name].to_pylist()) for c in iris.columns}
    columns["site"] = ("category", ["a", "b", "b"] * 50)
    data = learning.write(tmp_path / "data", columns)
    features = [c.name for c in iris.columns if c.name != "target"]
    split = {"test": 0.4, "by": "random"}
    ran = learning.train(
        tmp_path / "job",
        data,
        "random_forest",
        features=features,
        slices=["site", features[0]],
        split=split,
        params={"trees": 5},
    )
    sites, lengths = ran.evaluation["slices"]
    assert [group["value"] for group in sites["groups"]] == ["b", "a"]
    assert sum(group["rows"] for group in sites["groups"]) == ran.evaluation["rows"] == 60
    assert len(lengths["groups"]) == 5
    spec = {"model": "m@1", "dataset": "d@1", "slices": ["site"]}
    again = learning.run(tmp_path / "evaluate", "evaluate", spec, data, package=ran.package)
    groups = again.evaluation["slices"][0]["groups"]
    assert [(group["value"], group["rows"]) for group in groups] == [("b", 100), ("a", 50)]
