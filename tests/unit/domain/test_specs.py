"""Specs: what is wrong is refused by the name of its field; a resolved spec is its own resolution."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from headrace.errors import Invalid
from headrace.specs.algorithms import algorithm, catalogue
from headrace.specs.base import NAME_PATTERN, Ref
from headrace.specs.jobs import (
    MAX_SEED,
    EvaluateSpec,
    ExplainSpec,
    IngestSpec,
    JobRequest,
    PredictSpec,
    Split,
    TrainSpec,
)

OURS = sorted(name for name, found in catalogue().items() if found.code.startswith("headrace_workers."))
REQUIRED: dict[str, dict[str, Any]] = {
    "keras": {
        "architecture": {
            "class_name": "Sequential",
            "config": {"layers": [{"class_name": "Dense", "config": {"units": 2, "activation": "softmax"}}]},
        }
    }
}
"""The params without which an algorithm is not."""
TRAIN = {"model": "m", "dataset": "d@1", "algorithm": "mlp", "target": "y"}
NAMES = st.from_regex(NAME_PATTERN.replace("$", r"\Z"))
TEXTS = st.text(min_size=1, max_size=20)
FRACTIONS = st.one_of(st.integers(0, 1), st.floats(0, 0.9))
TYPES = st.sampled_from(
    ["number", "integer", "boolean", "category", "text", "image", "timestamp", "sequence"]
)
SPLITS = st.fixed_dictionaries(
    {},
    optional={
        "validation": FRACTIONS,
        "test": FRACTIONS,
        "by": st.one_of(st.sampled_from(["hash", "random", "hash\n"]), TEXTS.map("time:{}".format)),
        "seed": st.integers(0, MAX_SEED),
    },
)
TRAINS = st.fixed_dictionaries(
    {"model": NAMES, "dataset": NAMES, "algorithm": TEXTS, "target": TEXTS},
    optional={
        "features": st.none() | st.lists(TEXTS, min_size=1, max_size=3),
        "split": SPLITS,
        "task": st.sampled_from([None, "classification", "regression"]),
        "seed": st.integers(0, MAX_SEED),
        "deterministic": st.booleans(),
        "threads": st.none() | st.integers(1, 256),
        "types": st.dictionaries(TEXTS, TYPES, max_size=2),
    },
)
PREDICTS = st.fixed_dictionaries(
    {"model": NAMES, "dataset": NAMES},
    optional={
        "format": st.sampled_from(["parquet", "csv", "ndjson"]),
        "columns": st.none() | st.lists(TEXTS, max_size=2),
        "keep": st.lists(TEXTS, max_size=2),
        "max_bad": st.floats(0, 1),
    },
)
EVALUATES = st.fixed_dictionaries({"model": NAMES, "dataset": NAMES})
EXPLAINS = st.fixed_dictionaries(
    {"model": NAMES, "dataset": NAMES, "method": st.sampled_from(["permutation", "integrated_gradients"])},
    optional={
        "part": st.sampled_from([None, "test", "all"]),
        "rows": st.none() | st.integers(1, 100_000),
        "features": st.none() | st.lists(TEXTS, max_size=2),
        "label": st.none() | st.booleans() | st.integers() | TEXTS,
        "partial_dependence": st.none() | st.lists(TEXTS, max_size=2),
        "ice": st.integers(0, 200),
    },
)
REQUESTS = st.fixed_dictionaries(
    {"kind": st.sampled_from(["train", "evaluate", "predict", "explain", "reproduce"]), "spec": st.just({})},
    optional={
        "name": st.text(max_size=200),
        "priority": st.integers(0, 9),
        "queue": NAMES,
        "max_attempts": st.integers(1, 100),
        "timeout_s": st.integers(1, 86_400),
        "tags": st.dictionaries(TEXTS.filter(lambda key: ":" not in key), TEXTS, max_size=3),
    },
)


@pytest.mark.parametrize(
    ("model", "bodies"),
    [
        (TrainSpec, TRAINS),
        (PredictSpec, PREDICTS),
        (EvaluateSpec, EVALUATES),
        (ExplainSpec, EXPLAINS),
        (JobRequest, REQUESTS),
        (Split, SPLITS),
    ],
)
def test_a_spec_that_was_accepted_is_accepted_again_as_it_is_shown(model: Any, bodies: Any) -> None:
    """A retry submits it, a prepared job reads it."""

    @given(bodies)
    @settings(max_examples=100, deadline=None)
    def check(body: dict[str, Any]) -> None:
        try:
            spec = model.model_validate(body)
        except ValidationError:
            return
        shown = json.loads(json.dumps(spec.model_dump(mode="json"), allow_nan=False))
        assert model.model_validate(shown) == spec
        assert model.model_validate(shown).model_dump(mode="json") == shown

    check()


@pytest.mark.parametrize("name", OURS)
def test_default_params_are_their_own_resolution(name: str) -> None:
    found = algorithm(name)
    params = found.check_params(REQUIRED.get(name, {}))
    assert found.check_params(json.loads(json.dumps(params, allow_nan=False))) == params
    assert set(params) == set(found.schema_of_params()["properties"])


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize(
    "wrong", ["5", "five", 5.5, 1e30, -1, math.nan, math.inf, True, None, [], {}, 10**30, -(10**30)]
)
def test_no_number_of_an_algorithm_takes_what_is_not_one_of_its_range(name: str, wrong: Any) -> None:
    found = algorithm(name)
    numbers = {}
    for param, shape in found.schema_of_params()["properties"].items():
        one, *others = shape.get("anyOf", [shape])
        if (
            "enum" not in one
            and one.get("type") in ("integer", "number")
            and others in ([], [{"type": "null"}])
        ):
            numbers[param] = one | {"nullable": bool(others)}
    assert numbers
    for param, shape in numbers.items():
        if wrong is None and shape["nullable"]:
            continue
        if wrong == 5.5 and shape["type"] == "number" and shape.get("maximum", 10) > 5.5:
            continue
        with pytest.raises(Invalid) as caught:
            found.check_params({param: wrong}, "spec", "params")
        assert caught.value.errors[0].loc[:3] == ("spec", "params", param)


@pytest.mark.parametrize("name", OURS)
def test_an_unknown_param_is_refused(name: str) -> None:
    with pytest.raises(Invalid) as caught:
        algorithm(name).check_params({**REQUIRED.get(name, {}), "epoch": 1}, "spec", "params")
    assert [error.loc for error in caught.value.errors] == [("spec", "params", "epoch")]


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("seed", "5"),
        ("seed", 5.0),
        ("seed", 1e30),
        ("seed", -1),
        ("seed", MAX_SEED + 1),
        ("seed", True),
        ("threads", 0),
        ("threads", "1"),
        ("deterministic", "yes"),
        ("deterministic", 1),
        ("model", "M"),
        ("model", "m@1"),
        ("model", "m\n"),
        ("model", ""),
        ("model", "a" * 101),
        ("dataset", "d@"),
        ("dataset", "d@1@2"),
        ("dataset", "d@1\n"),
        ("dataset", 1),
        ("target", ""),
        ("features", "x"),
        ("task", "cluster"),
        ("types", {"x": "float"}),
        ("base", "m@1@2"),
        ("promote", {}),
        ("slices", ["x"] * 21),
        ("slices", [""]),
        ("params", []),
        ("unknown", 1),
        ("split", {"by": "time:"}),
        ("split", {"by": "hash\n"}),
        ("split", {"by": "hashed"}),
        ("split", {"test": 0.91}),
        ("split", {"test": -0.1}),
        ("split", {"test": math.nan}),
        ("split", {"test": "0.1"}),
        ("split", {"test": 0.5, "validation": 0.5}),
        ("split", {"validation": 0.9}),
        ("split", {"tests": 0.1}),
    ],
)
def test_a_wrong_field_is_refused_by_its_name(field: str, wrong: Any) -> None:
    TrainSpec.model_validate(TRAIN)
    with pytest.raises(ValidationError) as caught:
        TrainSpec.model_validate(TRAIN | {field: wrong})
    assert {error["loc"][0] for error in caught.value.errors()} == {field}


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("kind", "ingest"),
        ("kind", "distil"),
        ("priority", 10),
        ("priority", "5"),
        ("priority", 5.0),
        ("max_attempts", 0),
        ("timeout_s", 0),
        ("timeout_s", 10**9),
        ("queue", "GPU"),
        ("name", "x" * 201),
        ("tags", {"a:b": "c"}),
        ("tags", {"": "c"}),
        ("tags", {"a": 1}),
        ("tags", {str(n): "" for n in range(51)}),
        ("depends_on", ["job_1"] * 101),
        ("spec", None),
        ("id", "job_1"),
        ("state", "succeeded"),
    ],
)
def test_a_wrong_request_is_refused_by_the_name_of_its_field(field: str, wrong: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        JobRequest.model_validate({"kind": "train", "spec": TRAIN} | {field: wrong})
    assert {error["loc"][0] for error in caught.value.errors()} == {field}


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("iris", ("iris", None)),
        ("iris@3", ("iris", 3)),
        ("iris@03", ("iris", 3)),
        ("iris@champion", ("iris", "champion")),
        ("a.b-c_d@1.5", ("a.b-c_d", "1.5")),
    ],
)
def test_a_ref_is_a_name_with_a_version_or_an_alias(text: str, ref: tuple[str, Any]) -> None:
    assert Ref.parse(text) == ref
    assert Ref.parse(str(Ref.parse(text))) == ref


@pytest.mark.parametrize("text", ["", "@1", "iris@", "Iris", "iris@1\n", "iris\n", "iris@1@2", "a/b", "²"])
def test_what_is_no_ref_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a ref"):
        Ref.parse(text)


def test_an_ingest_cannot_be_asked_for_but_its_spec_reads_back() -> None:
    spec = IngestSpec(dataset="d", version=1, media_type="text/csv")
    assert IngestSpec.model_validate(spec.model_dump(mode="json")) == spec
