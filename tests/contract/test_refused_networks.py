"""Networks, texts and images that cannot be learned as asked are refused at submission, with the field."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from contract.api import TRAIN, Api

Problem = Callable[..., dict[str, Any]]
ARCHITECTURE = ["spec", "params", "architecture"]


def _network(*layers: dict[str, Any], shape: list[int | None] | None = None) -> dict[str, Any]:
    first = [{"class_name": "InputLayer", "config": {"batch_shape": [None, *shape]}}] if shape else []
    config = {"class_name": "Sequential", "config": {"layers": [*first, *layers]}}
    return {"algorithm": "keras", "features": ["x"], "params": {"architecture": config}}


def _layer(name: str, **config: Any) -> dict[str, Any]:
    return {"class_name": name, "config": config}


LAMBDA = _layer("Lambda", function={"class_name": "__lambda__", "config": {"code": "4wEAAAA="}})
CUSTOM = {"module": "mine", "class_name": "Mine", "config": {}, "registered_name": "mine>Mine"}
EVIL = {"module": "os", "class_name": "system", "config": {"command": "true"}, "registered_name": None}
DENSE = _layer("Dense", units=3, activation="softmax")
EMBEDDING = _layer("Embedding", input_dim=9, output_dim=3)
HUGE = _layer("Embedding", input_dim=10**6, output_dim=10**6)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (_network(LAMBDA, DENSE), ["config", "layers", 0, "class_name"]),
        (_network(CUSTOM, DENSE), ["config", "layers", 0, "class_name"]),
        (_network(DENSE | {"module": "mine"}), ["config", "layers", 0, "module"]),
        (_network(DENSE | {"registered_name": "mine>Dense"}), ["config", "layers", 0, "registered_name"]),
        (_network(_layer("TFSMLayer", filepath="/tmp/x"), DENSE), ["config", "layers", 0, "class_name"]),
        (_network(_layer("Quantum"), DENSE), ["config", "layers", 0, "class_name"]),
        (
            _network(_layer("Dense", units=3, kernel_initializer=EVIL)),
            ["config", "layers", 0, "config", "kernel_initializer"],
        ),
        (
            _network(_layer("Dense", units=3, activation="os.system")),
            ["config", "layers", 0, "config", "activation"],
        ),
        (_network(DENSE, shape=[3, 3]), ["config", "layers"]),
        (_network(DENSE, shape=[3]), []),
        (_network(HUGE, _layer("LSTM", units=3), DENSE, shape=[7]), ["config", "layers", 1]),
        (_network(_layer("Dense", units=10**12)), ["config", "layers", 0, "config", "units"]),
        (_network(*[DENSE] * 501), ["config", "layers"]),
        (_network(_layer("Dense", units=1, activation="softmax")), []),
        (_network(_layer("Conv2D", filters=2, kernel_size=3), shape=[8, 8, 1]), ["config", "layers"]),
    ],
)
def test_a_network_that_is_not_allowed(
    untouched: Api, problem: Problem, change: dict[str, Any], place: list[str | int]
) -> None:
    problem(untouched.submit(TRAIN | change), 422, *ARCHITECTURE, *place)


def test_a_network_deeper_than_any_json(untouched: Api, problem: Problem) -> None:
    deep: Any = DENSE
    for _ in range(70):
        deep = _layer("Bidirectional", layer=deep)
    problem(untouched.submit(TRAIN | _network(deep)), 400)
    problem(untouched.submit(TRAIN | {"algorithm": "keras"}), 422, *ARCHITECTURE)
    problem(
        untouched.submit(TRAIN | {"algorithm": "keras", "params": {"architecture": "{}"}}), 422, *ARCHITECTURE
    )


@pytest.mark.parametrize(
    ("change", "loc", "said"),
    [
        ({"algorithm": "cnn"}, ["algorithm"], "takes image, audio columns"),
        ({"algorithm": "cnn", "features": ["x"]}, ["features", 0], "'x' is a number column"),
        ({"algorithm": "lstm"}, ["algorithm"], "lstm needs a text or a sequence column; iris has none but"),
        ({"algorithm": "lstm", "features": ["x"]}, ["features"], "needs a text or a sequence column among"),
        ({"algorithm": "text_cnn", "target": "x", "task": "regression"}, ["task"], "not regression"),
        ({"algorithm": "text_cnn", "target": "x"}, ["target"], "no target for classification"),
        (
            _network(_layer("Conv2D", filters=2, kernel_size=3), _layer("Flatten"), DENSE, shape=[8, 8, 1]),
            ["features", 0],
            "keras takes image",
        ),
        (_network(EMBEDDING, _layer("LSTM", units=3), DENSE), ["features", 0], "takes text"),
        ({"types": {"x": "text"}}, ["types", "x"], "is number"),
        ({"types": {"id": "image"}}, ["types", "id"], "is integer"),
    ],
)
def test_columns_that_are_not_for_it(
    untouched: Api, problem: Problem, change: dict[str, Any], loc: list[str | int], said: str
) -> None:
    detail = problem(untouched.submit(TRAIN | change), 422, "spec", *loc)["detail"]
    assert said in detail


def test_a_number_from_text(untouched: Api, problem: Problem) -> None:
    text = {"types": {"label": "text"}, "features": ["label"], "target": "x"}
    network = _network(EMBEDDING, _layer("LSTM", units=3), _layer("Dense", units=1))
    said = problem(untouched.submit(TRAIN | network | text), 422, *ARCHITECTURE)
    assert "not for a number" in said["detail"]


def test_what_fits_is_taken_and_kept_as_it_was_given(api: Api) -> None:
    api.ready_dataset()
    change = _network(DENSE, shape=[1])
    answer = api.submit(TRAIN | change)
    assert answer.status_code == 202, answer.text
    assert answer.json["spec"]["params"]["architecture"] == change["params"]["architecture"]
    text = {"algorithm": "lstm", "target": "id", "task": "classification", "types": {"label": "text"}}
    answer = api.submit(TRAIN | text)
    assert answer.status_code == 202, answer.text
    assert answer.json["spec"]["features"] == ["x", "label"]
