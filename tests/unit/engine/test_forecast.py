"""The task of forecasts, from a dataset to predictions. The conformance suite checks the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import learning
from headrace_workers.engine import online
from headrace_workers.engine.package import Package

MONTHS = 72
PARAMS = {"time": "month", "series": ["shop"], "horizon": 4, "season": 6, "epochs": 2, "known": ["holidays"]}
SPLIT = {"by": "time:month", "test": 0.2, "validation": 0.15}


def _columns(months: int = MONTHS, shops: tuple[str, ...] = ("a", "b")) -> dict[str, Any]:
    """Sales that rise by the season; beside them the holidays that they depend on."""
    draw = np.random.default_rng(0)
    number = np.arange(months)
    times = (np.datetime64("2015-01") + number).astype("datetime64[us]").astype(np.int64).tolist()
    holidays = draw.integers(0, 3, (len(shops), months))
    sales = (
        50 + 0.4 * number + 5 * np.sin(number * np.pi / 3) + holidays + draw.normal(0, 0.3, holidays.shape)
    )
    return {
        "month": ("timestamp", times * len(shops)),
        "shop": ("category", [shop for shop in shops for _ in number]),
        "holidays": ("integer", holidays.ravel().tolist()),
        "sales": ("number", (sales * (1 + np.arange(len(shops)))[:, None]).ravel().tolist()),
    }


@pytest.fixture(scope="module")
def sales(tmp_path_factory: pytest.TempPathFactory) -> learning.Data:
    return learning.write(tmp_path_factory.mktemp("sales"), _columns())


def _train(folder: Path, data: learning.Data, **change: Any) -> learning.Ran:
    spec = {"task": "forecast", "params": PARAMS, "split": SPLIT, "features": ["holidays"]} | change
    return learning.train(folder, data, "forecast", "sales", **spec)


@pytest.fixture(scope="module")
def trained(sales: learning.Data, tmp_path_factory: pytest.TempPathFactory) -> learning.Ran:
    return _train(tmp_path_factory.mktemp("trained"), sales)


def test_it_beats_the_seasonal_naive_forecast_and_says_by_how_much(trained: learning.Ran) -> None:
    found = trained.evaluation
    assert found["verdict"]["beats_baseline"]
    assert found["metrics"]["mase"] < 0.7 < found["baseline"]["metrics"]["mase"]
    assert found["metrics"].keys() == {"mae", "rmse", "mase", "smape", "coverage", "width"}
    assert found["metrics"].keys() == found["intervals"]["metrics"].keys()
    assert [entry["step"] for entry in found["by_step"]] == [1, 2, 3, 4]
    # 14 test months of two shops have 11 origins each.
    assert found["rows"] == sum(entry["rows"] for entry in found["by_step"]) == 2 * 11 * 4
    assert np.mean([e["mae"] for e in found["by_step"]]) == pytest.approx(found["metrics"]["mae"])
    assert {entry["series"]["shop"] for entry in found["worst_series"]} == {"a", "b"}
    drawn = found["forecast"]["series"][0]
    assert drawn["history"][-1][0] < drawn["points"][0]["time"] == "2019-11-01T00:00:00Z"
    assert len(drawn["points"]) == 12
    assert all(p["lower"] <= p["prediction"] <= p["upper"] for p in drawn["points"])
    assert trained.done.result["rows"]["test"] == 28


def test_a_predict_job_gives_a_horizon_for_each_series(
    tmp_path: Path, trained: learning.Ran, sales: learning.Data
) -> None:
    run = learning.predict(tmp_path / "p", sales, trained.package)
    table = pq.read_table(run.output)
    assert table.column_names == ["shop", "month", "prediction", "lower", "upper"]
    assert table["shop"].to_pylist() == ["a"] * 4 + ["b"] * 4
    assert [f"{time:%Y-%m}" for time in table["month"].to_pylist()[:4]] == [
        f"2021-0{month}" for month in (1, 2, 3, 4)
    ]
    number = MONTHS + np.arange(4)
    expected = 51 + 0.4 * number + 5 * np.sin(number * np.pi / 3)
    assert table["prediction"].to_numpy()[:4] == pytest.approx(expected, abs=4)


def test_online_says_the_same_and_what_is_known_ahead_counts(
    tmp_path: Path, trained: learning.Ran, sales: learning.Data
) -> None:
    package = Package.load(trained.package)
    rows = [row for row in sales.table.to_pylist() if row["shop"] == "b"]
    rows = [{**row, "month": row["month"].isoformat()} for row in rows]
    future = {"shop": "b", "sales": None, "month": "2021-01-01T00:00:00Z"}
    none, many = ([{"history": [*rows, {**future, "holidays": n}]}] for n in (0, 2))
    job = pq.read_table(learning.predict(tmp_path / "p", sales, trained.package).output)
    answer = online.answer(package.predictor, [{"history": rows}, *none, *many])["predictions"]
    assert answer[0]["series"] == {"shop": "b"}
    assert [step["prediction"] for step in answer[0]["forecast"]] == job["prediction"].to_pylist()[4:]
    assert answer[0]["forecast"][0]["time"] == "2021-01-01T00:00:00Z"
    few, more = (each["forecast"][0]["prediction"] for each in answer[1:])
    assert few != more


@pytest.mark.parametrize(
    ("change", "loc", "said"),
    [
        ({"history": []}, ["history"], "a list of rows"),
        ({"past": []}, ["past"], "is unknown"),
        ({"history": [{"shop": "a"}]}, ["history", 0, "month"], "is missing"),
        (
            {"history": [{"shop": "a", "month": "2021-01-01", "holidays": 0, "sales": "no"}]},
            ["history", 0, "sales"],
            "a number",
        ),
        (
            {"history": [{"shop": "a", "month": "2021-01-01", "holidays": 0, "sales": 1.0}]},
            ["history"],
            "has 1 steps",
        ),
        (
            {"history": [{"shop": s, "month": "2021-01-01", "holidays": 0, "sales": 1.0} for s in "ab"]},
            ["history"],
            "of one series",
        ),
    ],
)
def test_online_refuses_what_is_no_history(
    trained: learning.Ran, change: dict[str, Any], loc: list[Any], said: str
) -> None:
    [error] = online.answer(Package.load(trained.package).predictor, [change])["errors"][:1]
    assert error["loc"] == ["instances", 0, *loc]
    assert said in error["msg"]


def test_an_evaluate_job_forecasts_from_every_origin(
    tmp_path: Path, trained: learning.Ran, sales: learning.Data
) -> None:
    found = learning.evaluate(tmp_path / "e", sales, trained.package).evaluation
    window = 18
    assert found["rows"] == 2 * (MONTHS - window - 3) * 4


def test_a_series_that_is_too_short_is_null_or_ends_the_job(tmp_path: Path, trained: learning.Ran) -> None:
    short = learning.write(tmp_path, _columns(10, ("a",)))
    said = learning.predict(tmp_path / "p", short, trained.package).failed.message
    assert "the series shop 'a' has 10 steps up to its last value, the model reads 18" in said
    run = learning.predict(tmp_path / "q", short, trained.package, max_bad=1.0)
    assert pq.read_table(run.output)["prediction"].to_pylist() == [None] * 4


@pytest.mark.parametrize(
    ("columns", "change", "said"),
    [
        (_columns(11, ("a",)), {}, "horizon: 4 steps, and as many at least"),
        (_columns(), {"params": PARAMS | {"series": []}}, "has two rows or more at 2015-01-01T00:00:00Z"),
        (_columns(), {"params": PARAMS | {"window": 60}}, "horizon: a window of 60 steps"),
    ],
)
def test_what_only_rows_can_tell_is_refused(
    tmp_path: Path, columns: dict[str, Any], change: dict[str, Any], said: str
) -> None:
    run = _train(tmp_path / "t", learning.write(tmp_path, columns), **change)
    assert said in run.failed.message
