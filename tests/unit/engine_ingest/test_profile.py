import json
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace_workers.engine.data.histogram import FINE_BINS, SHOWN_BINS, Histogram
from headrace_workers.engine.data.profile import MAX_DISTINCT, MAX_SAMPLED_ROWS, Profile

# Beyond these, a value so small beside the others that it underflows may count as zero.
FLOATS = st.floats(-1e200, 1e200).map(lambda x: x if abs(x) > 1e-100 else 0.0)


@settings(deadline=None)
@given(st.lists(st.lists(FLOATS, min_size=1, max_size=20), min_size=1, max_size=6))
def test_histogram_counts_every_value_in_its_bin(blocks: list[list[float]]) -> None:
    histogram = Histogram()
    for block in blocks:
        histogram.update(np.array(block))
    found = histogram.as_json()
    assert found is not None
    json.dumps(found, allow_nan=False)
    edges, counts = found["edges"], found["counts"]
    assert len(edges) == len(counts) + 1 <= SHOWN_BINS + 1
    values = np.concatenate(blocks)
    below = [int((values < edge).sum()) for edge in edges[:-1]]
    assert below == [0, *np.cumsum(counts)[:-1].tolist()]
    assert sum(counts) == len(values)


def test_histogram_of_integers_has_whole_bins() -> None:
    histogram = Histogram(integers=True)
    histogram.update(np.arange(10.0))
    assert histogram.as_json() == {"edges": [float(i) for i in range(11)], "counts": [1] * 10}


def test_histogram_grows_both_ways() -> None:
    histogram = Histogram()
    values = np.random.default_rng(0).normal(size=5000)
    for value in values * np.linspace(0.001, 10 * FINE_BINS, 5000):
        histogram.update(np.array([value]))
    found = histogram.as_json()
    assert found is not None
    assert sum(found["counts"]) == 5000
    assert len(found["counts"]) > SHOWN_BINS // 2


def test_histogram_leaps_over_any_distance_in_one_step(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []
    double = Histogram._double
    monkeypatch.setattr(Histogram, "_double", lambda self, times: (steps.append(times), double(self, times)))
    histogram = Histogram()
    for value in (5e-324, 1e-200, 3.0, -1e300, 1.7e308):
        histogram.update(np.array([value]))
    assert len(steps) <= 4
    assert sum(steps) > 1900
    found = histogram.as_json()
    assert found is not None
    assert sum(found["counts"]) == 5


def profiled(values: pa.Array, type_: Any, block: int = 700) -> Any:
    table = pa.record_batch([values], names=["x"])
    profile = Profile(table.schema)
    for start in range(0, len(values), block):
        profile.update(table.slice(start, block))
    columns = profile.columns({"x": None if type_ == "string" else type_})
    return profile.as_json(columns)["columns"]["x"]


def test_numbers_agree_with_numpy() -> None:
    values = np.random.default_rng(1).gamma(2, 3, 5000)
    found = profiled(pa.array([*values, None]), "number")
    assert (found["count"], found["missing"], found["distinct"]) == (5000, 1, 5000)
    assert (found["min"], found["max"]) == (values.min(), values.max())
    assert found["mean"] == pytest.approx(values.mean())
    assert found["std"] == pytest.approx(values.std(ddof=1))
    for q, value in found["quantiles"].items():
        assert value == pytest.approx(np.quantile(values, float(q)))


def test_quantiles_of_many_rows_are_close_and_the_same_each_time() -> None:
    values = np.random.default_rng(2).normal(size=20 * MAX_SAMPLED_ROWS)
    found = profiled(pa.array(values), "number", block=9999)
    assert found == profiled(pa.array(values), "number", block=9999)
    for q, value in found["quantiles"].items():
        assert (values < value).mean() == pytest.approx(float(q), abs=0.02)
    assert found["distinct"] is None
    assert found["distinct_at_least"] > MAX_DISTINCT


def test_integers_at_the_ends_of_their_range_are_exact() -> None:
    found = profiled(pa.array([-(2**63), 2**63 - 1]), "integer")
    assert (found["min"], found["max"]) == (-(2**63), 2**63 - 1)


def test_huge_numbers_leave_no_infinity() -> None:
    found = profiled(pa.array([-1.7e308, 1.7e308, 1.6e308] * 5), "number")
    json.dumps(found, allow_nan=False)
    assert found["std"] is None or math.isfinite(found["std"])


def test_timestamps_are_shown_in_utc() -> None:
    found = profiled(pa.array([0, 10_000_000, 20_000_000], pa.timestamp("us", "UTC")), "timestamp")
    assert found["min"] == "1970-01-01T00:00:00Z"
    assert found["mean"] == found["quantiles"]["0.5"] == "1970-01-01T00:00:10Z"
    assert found["max"] == "1970-01-01T00:00:20Z"


def test_booleans() -> None:
    found = profiled(pa.array([True, False, True, None]), "boolean")
    assert found["top"] == [{"value": True, "count": 2}, {"value": False, "count": 1}]
    assert found["mean"] == pytest.approx(2 / 3)


def test_many_distinct_strings_are_counted_no_further() -> None:
    found = profiled(pa.array([f"v{i}" for i in range(3 * MAX_DISTINCT)]), "string", block=5000)
    assert (found["type"], found["distinct"]) == ("text", None)
    assert found["distinct_at_least"] > MAX_DISTINCT
    assert found["top_rows"] == 25_000
    assert found["length"] == {"min": 2, "max": 6, "mean": pytest.approx(5.8, abs=0.1)}


@pytest.mark.parametrize(
    ("values", "type_", "warning"),
    [
        ([1.0] * 5, "number", "constant: all values are the same"),
        ([None, None], "string", "all values are missing"),
        ([1.0, 2.0, None, None, None], "number", "60% of the values are missing"),
        (list(range(30)), "integer", "looks like an identifier: no value occurs twice"),
        ([f"id{i}" for i in range(30)], "string", "looks like an identifier: no value occurs twice"),
    ],
)
def test_warnings(values: list[Any], type_: str, warning: str) -> None:
    array = pa.array(values, pa.string()) if type_ == "string" else pa.array(values)
    assert profiled(array, type_)["warnings"] == [warning]


def test_texts_that_all_differ_are_no_identifiers() -> None:
    assert profiled(pa.array([f"the film number {i}" for i in range(30)]), "string")["warnings"] == []
