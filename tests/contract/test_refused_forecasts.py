"""What cannot be forecast is refused when it is submitted, with the field and the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from contract.api import TRAIN, Api
from headrace.datasets import service as datasets
from headrace.datasets.tables import DatasetVersion

Problem = Callable[..., dict[str, Any]]

COLUMNS = {"month": "timestamp", "shop": "category", "price": "number", "sold": "integer", "note": "text"}
PARAMS = {"time": "month", "series": ["shop"], "horizon": 12}
SALES = TRAIN | {"dataset": "sales", "algorithm": "forecast", "target": "sold", "params": PARAMS}
ROWS, TIMES = 100, 60


@pytest.fixture(scope="module", autouse=True)
def sales(shared_api: Api) -> None:
    version = shared_api.ready_dataset("sales")
    with shared_api.parts.database.transaction() as session:
        row: DatasetVersion = datasets.version(session, "default", "sales", version)
        row.columns = [{"name": name, "type": type, "nullable": True} for name, type in COLUMNS.items()]
        row.rows = ROWS
        row.distinct_times = {"month": TIMES}


@pytest.mark.parametrize(
    ("spec", "loc", "reason"),
    [
        (
            {"params": {}},
            ["params", "time"],
            "should name the column of times; the timestamp columns are month",
        ),
        ({"params": PARAMS | {"time": "price"}}, ["params", "time"], "'price' is a number column"),
        ({"params": PARAMS | {"time": "when"}}, ["params", "time"], "there is no column 'when'"),
        (
            {"params": PARAMS | {"horizon": TIMES}},
            ["params", "horizon"],
            "60 steps are more than a series can have here: there are 60 different times in month",
        ),
        ({"params": PARAMS | {"series": ["price"]}}, ["params", "series"], "categories tell series"),
        ({"params": PARAMS | {"series": ["month"]}}, ["params", "series"], "is the same column as time"),
        ({"params": PARAMS | {"series": ["sold"]}}, ["params", "series"], "is the target"),
        ({"params": PARAMS | {"known": ["note"]}}, ["params", "known"], "'note' is none of the features"),
        ({"params": PARAMS | {"loss": "mse"}}, ["params", "loss"], "should be null"),
        ({"target": "note"}, ["target"], "'note' is a text column, which is no target for forecast"),
        ({"target": None}, ["target"], "a forecast needs one"),
        ({"split": {"by": "random"}}, ["split", "by"], "should be time:month or column:COLUMN"),
        ({"slices": ["shop"]}, ["slices"], "should be empty"),
        ({"features": ["shop"]}, ["features", 0], "'shop' is named in params"),
    ],
)
def test_what_cannot_be_forecast(
    shared_api: Api, problem: Problem, spec: dict[str, Any], loc: list[str | int], reason: str
) -> None:
    found = problem(shared_api.submit(SALES | spec), 422, "spec", *loc)
    assert reason in found["detail"]


def test_rows_are_divided_by_time_and_other_numbers_are_features(shared_api: Api) -> None:
    answer = shared_api.submit(SALES | {"split": {"test": 0.3}})
    assert answer.status_code == 202, answer.text
    spec = answer.json["spec"]
    assert (spec["task"], spec["features"]) == ("forecast", ["price"])
    assert (spec["split"]["by"], spec["split"]["test"]) == ("time:month", 0.3)
    assert shared_api.submit(spec).status_code == 202
