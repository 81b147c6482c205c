"""Values that a spec takes from the results of other jobs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.errors import Invalid
from headrace.specs.results import fill, places

TRAINED = {"model": "digits", "version": 3, "metrics": {"accuracy": 0.9}, "curve": [{"x": 1}, {"x": 2}]}
INGESTED = {"dataset": "iris", "version": 2, "rows": 150}
RESULTS = {"job_a": TRAINED, "job_b": INGESTED}


def take(job: str, path: str | None = None) -> dict[str, Any]:
    return {"$result": job} | ({} if path is None else {"path": path})


@pytest.mark.parametrize(
    ("spec", "filled"),
    [
        ({"model": take("job_a", "version")}, {"model": "digits@3"}),
        ({"model": take("job_a")}, {"model": "digits@3"}),
        ({"base": take("job_a")}, {"base": "digits@3"}),
        ({"dataset": take("job_b", "version")}, {"dataset": "iris@2"}),
        ({"train": {"dataset": take("job_b")}}, {"train": {"dataset": "iris@2"}}),
        ({"model": take("job_a", "model")}, {"model": "digits"}),
        ({"seed": take("job_a", "version")}, {"seed": 3}),
        ({"params": {"l2": take("job_a", "metrics.accuracy")}}, {"params": {"l2": 0.9}}),
        ({"keep": ["id", take("job_b", "dataset")]}, {"keep": ["id", "iris"]}),
        ({"seed": take("job_a", "curve.1.x")}, {"seed": 2}),
        ({"params": take("job_a", "metrics")}, {"params": {"accuracy": 0.9}}),
    ],
)
def test_values_are_put_where_they_are_asked_for(spec: dict[str, Any], filled: dict[str, Any]) -> None:
    before = json.dumps(spec)
    assert fill(spec, RESULTS) == filled
    assert json.dumps(spec) == before


@pytest.mark.parametrize(
    ("spec", "loc", "says"),
    [
        ({"seed": take("job_a", "metrics.f1")}, ("spec", "seed"), "job_a has no 'metrics.f1'; it has model"),
        ({"seed": take("job_a", "curve.2.x")}, ("spec", "seed"), "no 'curve.2.x'"),
        ({"seed": take("job_a", "curve.x")}, ("spec", "seed"), "no 'curve.x'"),
        ({"seed": take("job_a", "version.x")}, ("spec", "seed"), "no 'version.x'"),
        ({"model": take("job_b")}, ("spec", "model"), "job_b has made no version of a model"),
        ({"keep": [1, take("job_a", "x")]}, ("spec", "keep", 1), "no 'x'"),
    ],
)
def test_what_is_not_in_the_result_is_refused(spec: dict[str, Any], loc: Any, says: str) -> None:
    with pytest.raises(Invalid, match=says) as refusal:
        fill(spec, RESULTS)
    assert [error.loc for error in refusal.value.errors] == [loc]


@pytest.mark.parametrize(
    ("bad", "loc"),
    [
        ({"$result": 3}, ("$result",)),
        ({"$result": "job_a", "path": ""}, ("path",)),
        ({"$result": "job_a", "path": None, "else": 1}, ("else",)),
    ],
)
def test_what_is_malformed_is_refused(bad: dict[str, Any], loc: Any) -> None:
    with pytest.raises(Invalid) as refusal:
        places({"params": {"x": [bad]}})
    assert [error.loc for error in refusal.value.errors] == [("spec", "params", "x", 0, *loc)]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=10,
    )
)
def test_a_spec_that_takes_nothing_is_left_as_it_is(value: Any) -> None:
    assert places({"params": value}) == []
    assert fill({"params": value}, {}) == {"params": value}
