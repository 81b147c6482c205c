"""Networks brought as data train, and say what does not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

import learning
from headrace.errors import BadSpec
from headrace.specs.algorithms import algorithm
from headrace.specs.base import Column
from headrace_workers.engine.algorithms.base import Problem, TensorSpec
from headrace_workers.engine.algorithms.keras import Keras, KerasParams
from headrace_workers.engine.architecture.inputs import shape_of
from headrace_workers.engine.architecture.shapes import infer
from headrace_workers.engine.package import Package


def _sequential(*stack: tuple[str, dict[str, Any]], shape: list[int | None] | None = None) -> dict[str, Any]:
    layers = [{"class_name": name, "config": config} for name, config in stack]
    first = [{"class_name": "InputLayer", "config": {"batch_shape": [None, *shape]}}] if shape else []
    return {"class_name": "Sequential", "config": {"layers": first + layers}}


def _conv(filters: int) -> tuple[str, dict[str, Any]]:
    return "Conv2D", {"filters": filters, "kernel_size": [3, 3], "activation": "relu"}


def _dense(units: int, activation: str = "softmax") -> tuple[str, dict[str, Any]]:
    return "Dense", {"units": units, "activation": activation}


POOL: tuple[str, dict[str, Any]] = ("MaxPooling2D", {})
FLATTEN: tuple[str, dict[str, Any]] = ("Flatten", {})
IMAGE: list[int | None] = [28, 28, 1]
REFERENCE = _sequential(_conv(32), POOL, _conv(64), POOL, FLATTEN, _dense(10), shape=IMAGE)
TEXT = _sequential(
    ("Embedding", {"input_dim": 10_000, "output_dim": 16}), ("LSTM", {"units": 32}), _dense(2), shape=[20]
)


TWO_DENSE = [_dense(64, "relu"), _dense(10)]
MUST = [
    (REFERENCE, 34_826),
    (_sequential(_conv(32), FLATTEN, _dense(10), shape=IMAGE), 216_650),
    (_sequential(_conv(32), POOL, _conv(64), POOL, FLATTEN, *TWO_DENSE, shape=IMAGE), 121_930),
    (TEXT, 166_338),
]


@pytest.mark.parametrize(("architecture", "parameters"), MUST)
def test_the_networks_that_must_train_are_taken(architecture: Any, parameters: int) -> None:
    parsed = KerasParams(architecture=architecture).parsed()
    assert infer(parsed, shape_of(parsed)).parameters == parameters


def test_images_with_the_reference_network(tmp_path: Path, digits: learning.Data) -> None:
    params = {"architecture": REFERENCE, "epochs": 2, "early_stopping": None}
    run = learning.train(tmp_path / "a", digits, "keras", "label", params=params, features=["image"])
    assert run.done.result["metrics"]["accuracy"] > 0.9
    learner = Package.load(run.package).predictor.learner
    assert isinstance(learner, Keras)
    layers = learner.model.layers
    assert [layer.name for layer in layers][:4] == ["image", "rescaling", "conv2d_1", "max_pooling2d_2"]


def test_text_in_label_out(tmp_path: Path) -> None:
    texts = ["a fine film", "what a bore", "fine, fine", "a bore"] * 60
    data = learning.write(
        tmp_path / "data",
        {"text": ("text", texts), "label": ("boolean", ["fine" in each for each in texts])},
    )
    architecture = _sequential(
        ("Embedding", {"input_dim": 50, "output_dim": 4}), ("GRU", {"units": 4}), _dense(1, "sigmoid")
    )
    params = {"architecture": architecture, "epochs": 6, "learning_rate": 0.05}
    run = learning.train(
        tmp_path / "a", data, "keras", "label", params=params, features=["text"], split={"by": "random"}
    )
    found = Package.load(run.package).predict(pa.table({"text": ["really fine", "really a bore"]}))
    assert found["prediction"].to_pylist() == [True, False]


def _problem(**change: Any) -> Problem:
    inputs = {"table": TensorSpec((4,), "float32")}
    return Problem(**{"task": "classification", "inputs": inputs, "outputs": 3, **change})


def _keras(*stack: tuple[str, dict[str, Any]], **problem: Any) -> Keras:
    return Keras(KerasParams(architecture=_sequential(*stack)), _problem(**problem))


def test_logits_become_probabilities_and_one_sigmoid_two_classes() -> None:
    rows = {"table": np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)}
    for units, activation, outputs in [
        (3, "linear", 3),
        (1, "sigmoid", 2),
        (1, "linear", 2),
        (2, "softmax", 2),
    ]:
        found = _keras(_dense(units, activation), outputs=outputs).predict(rows)
        assert found.shape == (5, outputs)
        assert found.sum(axis=1) == pytest.approx(1)
    one = _keras(_dense(1, "sigmoid"), outputs=2)
    kernel, bias = (weight.numpy() for weight in one.model.weights)
    assert one.predict(rows)[:, 1] == pytest.approx(1 / (1 + np.exp(-rows["table"] @ kernel - bias))[:, 0])


def test_seeds_come_from_the_spec_and_nowhere_else() -> None:
    def kernel(config_seed: int | None, seed: int) -> Any:
        start = {"class_name": "HeNormal", "config": {"seed": config_seed}}
        learner = _keras(("Dense", {"units": 3, "kernel_initializer": start}), seed=seed)
        return learner.learned()["dense_1/kernel"].tolist()

    assert kernel(None, 1) == kernel(7, 1)
    assert kernel(None, 1) != kernel(None, 2)


def test_penalties_are_of_kernels_without_one_of_their_own() -> None:
    own = {"class_name": "L1", "config": {"l1": 0.5}}
    architecture = _sequential(("Dense", {"units": 3, "kernel_regularizer": own}), _dense(3))
    learner = Keras(KerasParams(architecture=architecture, l2=0.25), _problem())
    first, second = learner.model.layers[1:3]
    assert (float(first.kernel_regularizer.l1), float(second.kernel_regularizer.l2)) == (0.5, 0.25)


@pytest.mark.parametrize(
    ("stack", "task", "said"),
    [
        ([_dense(3)], "regression", "a number needs one unit and linear"),
        ([_dense(1)], "classification", "always 1"),
        ([_dense(3, "sigmoid")], "classification", "need softmax"),
        ([_dense(3, "relu")], "classification", "softmax or linear"),
    ],
)
def test_an_output_that_is_none_of_the_task(stack: Any, task: Any, said: str) -> None:
    assert said in KerasParams(architecture=_sequential(*stack)).misfits(task)["architecture"]


SHAPED = [("Reshape", {"target_shape": [2, -1]}), FLATTEN, ("Reshape", {"target_shape": [7]}), _dense(3)]
NEGATIVE = {"class_name": "VarianceScaling", "config": {"scale": -1}}


@pytest.mark.parametrize(
    ("stack", "shape", "said"),
    [
        ([_dense(10)], [4], "3 classes"),
        ([_dense(3)], [5], "rows of (5), the features become (4)"),
        (SHAPED, None, "cannot make"),
        ([("Dense", {"units": 3, "kernel_initializer": NEGATIVE})], None, "Keras refuses it"),
    ],
)
def test_what_only_the_data_shows(stack: Any, shape: Any, said: str) -> None:
    with pytest.raises(BadSpec) as caught:
        Keras(KerasParams(architecture=_sequential(*stack, shape=shape)), _problem())
    assert said in str(caught.value)


def test_features_are_those_that_the_network_reads() -> None:
    described = algorithm("keras")
    assert described.narrowed({"architecture": REFERENCE}).features == ("image",)
    assert described.narrowed({"architecture": TEXT}).single_feature
    table = {"architecture": _sequential(_dense(2), shape=[2])}
    assert "number" in described.narrowed(table).features
    one, two = (Column(name=name, type="number", nullable=False) for name in "ab")
    params = KerasParams.model_validate(table)
    assert params.misfit_columns([one, two]) == {}
    assert "2 values a row, the features become 1" in params.misfit_columns([one])["architecture"]
    maybe = Column(name="a", type="number", nullable=True)
    assert params.misfit_columns([maybe]) == {}


def test_the_config_stands_in_the_spec_as_it_was_given() -> None:
    assert KerasParams(architecture=TEXT).model_dump(mode="json")["architecture"] == json.loads(
        json.dumps(TEXT)
    )
    with pytest.raises(ValidationError, match="dictionary"):
        KerasParams(architecture=json.dumps(TEXT))  # type: ignore[arg-type]


def test_an_embedding_must_know_every_token_of_the_base(tmp_path: Path) -> None:
    texts = ["a fine film", "what a bore"] * 40
    columns: dict[str, tuple[Any, Any]] = {"text": ("text", texts), "label": ("category", ["x", "y"] * 40)}
    data = learning.write(tmp_path / "data", columns)
    pool: tuple[str, dict[str, Any]] = ("GlobalAveragePooling1D", {})
    wide, narrow = (
        {"architecture": _sequential(("Embedding", {"input_dim": n, "output_dim": 4}), pool, _dense(2))}
        for n in (20, 5)
    )
    given: dict[str, Any] = {"split": {"by": "random"}}
    base = learning.train(tmp_path / "a", data, "keras", "label", params=wide | {"epochs": 1}, **given)
    tuned = learning.train(tmp_path / "b", data, "keras", "label", base=base.package, params=narrow, **given)
    assert "the Embedding knows 5 token numbers, the base's vocabulary has 7" in tuned.failed.message
