"""What an evaluation is asked of is checked when it is submitted: columns, their types, slices."""

from __future__ import annotations

from typing import Any

import pytest

from domain import LEARNED, TRAIN, Domain, stored
from headrace.errors import Invalid
from headrace.specs.task import Done

TYPES = {
    "x": "number",
    "label": "category",
    "count": "integer",
    "note": "text",
    "flag": "boolean",
    "at": "timestamp",
    "picture": "image",
}


def _dataset(domain: Domain, name: str, **types: str) -> None:
    domain.upload(name, content=name)
    lease = domain.claim(lane="light")
    assert lease is not None
    columns = [{"name": column, "type": type, "nullable": False} for column, type in types.items()]
    files = {"data": stored(name), "profile": stored("{}")}
    domain.commit(lease, Done(result={"rows": 100, "columns": columns}, outputs={}), files)


def _model(domain: Domain, **learned: Any) -> None:
    """Make the version ``iris@1``, which predicts ``label`` from ``x``."""
    lease = domain.running(spec=TRAIN)
    domain.commit(lease, Done(result=LEARNED | learned, outputs={}))


def _refused(domain: Domain, kind: str, **spec: Any) -> list[tuple[tuple[str | int, ...], str]]:
    with pytest.raises(Invalid) as refused:
        domain.submit(kind=kind, spec=spec)
    return [(error.loc, error.msg) for error in refused.value.errors]


def test_slices_are_columns_whose_values_make_groups(domain: Domain) -> None:
    _dataset(domain, "more", **TYPES)
    _model(domain)
    right = ["label", "count", "x", "flag", "at"]
    train = TRAIN | {"dataset": "more"}
    for kind, spec in (("evaluate", {"model": "iris", "dataset": "more"}), ("train", train)):
        job = domain.job(domain.submit(kind=kind, spec=spec | {"slices": right}))
        assert job.spec["slices"] == right
        wrong = ["x", "nothing", "note", "x", "picture"]
        found = _refused(domain, kind, **spec, slices=wrong)
        assert [loc for loc, _ in found] == [("spec", "slices", i) for i in (1, 2, 3, 4)]
        missing, text, twice, image = (msg for _, msg in found)
        assert missing.startswith("there is no column 'nothing'; the columns are x, label, count")
        assert "'note' is of type text" in text
        assert "twice" in twice
        assert "'picture' is of type image" in image


def test_a_type_that_the_spec_overrides_counts(domain: Domain) -> None:
    _dataset(domain, "more", **TYPES)
    spec = TRAIN | {"dataset": "more", "slices": ["note"], "types": {"note": "category"}}
    assert domain.submit(spec=spec)


@pytest.mark.parametrize(
    ("types", "words"),
    [
        ({"x": "category", "label": "category"}, "'x' is category, not number or integer"),
        ({"x": "number", "label": "integer"}, "'label' is integer, not category or text"),
        ({"x": "boolean", "label": "boolean"}, "'x' is boolean, not number or integer, 'label' is boolean"),
        ({"x": "number"}, "lacks what iris@1 needs: 'label'"),
    ],
)
def test_columns_of_another_type_are_refused_by_name(
    domain: Domain, types: dict[str, str], words: str
) -> None:
    _dataset(domain, "other", **types)
    _model(domain)
    ((loc, msg),) = _refused(domain, "evaluate", model="iris", dataset="other")
    assert loc == ("spec", "dataset")
    assert words in msg


def test_columns_that_hold_the_same_fit(domain: Domain) -> None:
    _dataset(domain, "same", x="integer", label="text")
    _model(domain)
    assert domain.submit(kind="evaluate", spec={"model": "iris", "dataset": "same"})
    # Without a target there is nothing but the features to fit.
    _dataset(domain, "features", x="integer")
    assert domain.submit(kind="predict", spec={"model": "iris", "dataset": "features"})


@pytest.mark.parametrize(("learned", "fits"), [("regression", True), ("classification", False)])
def test_integers_as_numbers_fit_a_regression_only(domain: Domain, learned: str, fits: bool) -> None:
    signature = LEARNED["signature"] | {"outputs": [{"name": "prediction", "type": "integer"}]}
    _model(domain, signature=signature, task=learned)
    _dataset(domain, "numbers", x="number", label="number")
    spec = {"model": "iris", "dataset": "numbers"}
    if fits:
        assert domain.submit(kind="evaluate", spec=spec)
    else:
        assert "'label' is number, not integer" in _refused(domain, "evaluate", **spec)[0][1]
