"""From tables of times and values to series and windows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from headrace.errors import BadData, BadSpec
from headrace_workers.engine.algorithms.forecast import ForecastParams
from headrace_workers.engine.forecasting import series, sizes, steps, windows
from headrace_workers.engine.forecasting.series import Columns
from headrace_workers.engine.forecasting.steps import DAY, HOUR, Step
from headrace_workers.engine.forecasting.windows import BASE, CHANGES, FUTURE, HISTORY, Windowing

ROLES = Columns("time", ("name",), "value")


def _micros(*times: str) -> np.ndarray[Any, Any]:
    return np.array(times, "datetime64[us]").astype(np.int64)


def _months(start: str, count: int, every: int = 1) -> np.ndarray[Any, Any]:
    first = np.datetime64(start, "M")
    return (first + np.arange(count) * every).astype("datetime64[us]").astype(np.int64)


def _table(times: Any, values: Any, names: Any = None) -> pa.Table:
    count = len(values)
    return pa.table(
        {
            "time": pa.array(times, pa.timestamp("us", "UTC")),
            "name": pa.array(names or ["a"] * count),
            "value": pa.array(values, pa.float64()),
        }
    )


def _windowing(**change: Any) -> Windowing:
    whole = {
        "encoders": [],
        "time": "time",
        "series": {"name": "category"},
        "target": "value",
        "target_type": "number",
        "known": [],
        "step": Step(unit="month", count=1),
        "season": 2,
        "window": 4,
        "horizon": 3,
        "calendar": True,
    }
    return Windowing.model_validate(whole | change)


@pytest.mark.parametrize(
    ("times", "said", "season"),
    [
        (_months("2020-01", 9), "a month", 12),
        (_months("2020-01", 9, 3), "3 months", 4),
        (_months("2020-01", 9, 12), "12 months", 1),
        (_months("2020-01", 9) - DAY, "a month", 12),
        (_months("2020-01", 9) + 14 * DAY + HOUR, "a month", 12),
        (np.arange(9) * DAY, "a day", 7),
        (np.arange(9) * 7 * DAY, "a week", 52),
        (np.arange(9) * HOUR, "an hour", 24),
        (np.arange(9) * HOUR // 4, "15 minutes", 96),
        (np.arange(9) * HOUR // 60, "a minute", 60),
        (np.delete(np.arange(9) * DAY, [2, 5, 6]), "a day", 7),
        (np.delete(_months("2019-11", 9), 4), "a month", 12),
    ],
)
def test_the_step_is_found_and_times_come_back(times: Any, said: str, season: int) -> None:
    step = steps.infer([times[:5], times])
    assert (str(step), step.season) == (said, season)
    numbers = step.numbers(times, int(times[0]))
    assert (np.diff(numbers) >= 1).all()
    assert step.times(int(times[0]), numbers).tolist() == times.tolist()


def test_irregular_times_are_refused_with_an_example() -> None:
    with pytest.raises(BadData, match=r"irregular: most are a day apart, but 1970-01-03T00:00:00Z and"):
        steps.infer([np.array([0, 2, 4, 5, 8, 10]) * (DAY // 2)])
    with pytest.raises(BadData, match="No series has two rows"):
        steps.infer([np.array([5])])


def test_the_calendar_has_what_is_longer_than_a_step() -> None:
    assert [
        Step(unit=unit, count=count).calendar(np.zeros(2, np.int64)).shape[1]  # type: ignore[arg-type]
        for unit, count in (("microsecond", HOUR), ("microsecond", DAY), ("month", 1), ("month", 12))
    ] == [6, 4, 2, 0]
    monday, sunday = Step(unit="microsecond", count=DAY).calendar(_micros("2024-01-01", "2024-01-07"))
    assert monday[:2] == pytest.approx([0, 1], abs=1e-6)
    assert sunday[1] < 1


def test_series_come_sorted_with_gaps() -> None:
    times = [3 * DAY, 0, DAY, 0, DAY, None]
    table = _table(times, [4.0, 1.0, None, 7.0, 8.0, 9.0], ["b", "b", "b", "a", "a", "a"])
    a, b = series.read(table, ROLES, Step(unit="microsecond", count=DAY))
    assert (a.key, b.key) == (("a",), ("b",))
    assert b.values[[0, 3]].tolist() == [1, 4]
    assert np.isnan(b.values[1:3]).all()
    assert b.rows.tolist() == [1, 2, -1, 0]
    assert (b.known, b.gaps, a.gaps) == (4, 2, 0)


@pytest.mark.parametrize(
    ("times", "said"),
    [
        ([0, DAY, DAY], "the series name 'a' has two rows or more at 1970-01-02T00:00:00Z"),
        ([0, DAY, DAY + 5], "no whole number of steps"),
        ([0, DAY, 5000 * DAY], "3 rows in 5001 steps"),
    ],
)
def test_times_that_make_no_series_are_refused(times: list[int], said: str) -> None:
    with pytest.raises(BadData, match=said):
        series.read(_table(times, [1.0, 2.0, 3.0]), ROLES, Step(unit="microsecond", count=DAY))


def test_a_window_is_in_its_own_unit_and_the_base_repeats_the_season() -> None:
    columns = _windowing()
    [found] = columns.read(_table(_months("2020-01", 9), [1.0, 5, 2, 7, 3, 9, 4, 11, 5]))
    made = columns.windows(found, np.array([4, 6]))
    assert made.level.ravel().tolist() == [4.5, 6.0]
    assert made.spread.ravel().tolist() == [2.5, 3.0]
    assert columns.restored(made.inputs[HISTORY], made)[0].tolist() == pytest.approx([1, 5, 2, 7])
    assert columns.restored(made.inputs[BASE], made).tolist() == [[2, 7, 2], [3, 9, 3]]
    assert columns.restored(made.wanted, made).round(5).tolist() == [[3, 9, 4], [4, 11, 5]]
    assert made.inputs[CHANGES][0] * 2.5 == pytest.approx([1, 2])
    assert {name: array.shape[1:] for name, array in made.inputs.items()} == {
        name: spec.shape for name, spec in columns.inputs.items()
    }


def test_nothing_of_the_future_is_in_a_window() -> None:
    columns = _windowing()
    values = [1.0, None, 2, 7, None, 9, 4, 11, 5]
    changed = [*values[:6], -50, None, 99]
    times = _months("2020-01", 9)
    one, other = (
        columns.windows(columns.read(_table(times, v))[0], np.array([6])) for v in (values, changed)
    )
    for name in (HISTORY, CHANGES, BASE, FUTURE):
        assert (one.inputs[name] == other.inputs[name]).all()
    assert one.wanted.tolist() != other.wanted.tolist()
    # A gap counts as what was one season before.
    assert columns.restored(one.inputs[HISTORY], one)[0].tolist() == pytest.approx([2, 7, 2, 9])


def test_origins_are_those_whose_horizon_is_wanted_or_a_gap() -> None:
    columns = _windowing()
    [found] = columns.read(_table(_months("2020-01", 12), [1.0, 2, 3, 4, 5, 6, None, 8, 9, 10, 11, 12]))
    wanted = np.arange(12) >= 7
    assert windows.origins(found, wanted, 4, 3).tolist() == [6, 7, 8, 9]
    assert windows.origins(found, np.ones(12, np.bool_), 4, 3).tolist() == [4, 5, 6, 7, 8, 9]
    assert windows.thinned(np.arange(10), 0.3).tolist() == [0, 4, 8]


@pytest.mark.parametrize(
    ("params", "longest", "found"),
    [
        ({}, 108, (12, 36)),
        ({}, 62, (12, 24)),
        ({}, 30, (1, 9)),
        ({"season": 1}, 100, (1, 12)),
        ({"window": 40, "season": 6}, 60, (6, 40)),
    ],
)
def test_sizes_that_fit_the_series(params: dict[str, Any], longest: int, found: tuple[int, int]) -> None:
    assert sizes.choose(ForecastParams(**params), Step(unit="month", count=1), longest) == found


@pytest.mark.parametrize(
    ("params", "said"), [({"window": 50}, "horizon"), ({"window": 6, "season": 12}, "fewer than a season")]
)
def test_sizes_that_do_not_fit_are_refused(params: dict[str, Any], said: str) -> None:
    with pytest.raises(BadSpec, match=said):
        sizes.choose(ForecastParams(**params), Step(unit="month", count=1), 60)
