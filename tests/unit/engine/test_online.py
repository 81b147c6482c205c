"""Instances of a request to predictions: what fits, and what is said of what does not."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from sklearn import datasets

import learning
from headrace_workers.engine import online
from headrace_workers.engine.package import Package
from headrace_workers.engine.predictor import Predictor

SPLIT = {"validation": 0.0, "test": 0.2, "by": "random"}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """A classifier of one column of each type that tables have."""
    folder = tmp_path_factory.mktemp("mixed")
    n = 120
    columns: dict[str, tuple[Any, Any]] = {
        "number": ("number", [i / 2 for i in range(n)]),
        "integer": ("integer", list(range(n))),
        "boolean": ("boolean", [i % 2 == 0 for i in range(n)]),
        "category": ("category", ["ab"[i % 2] for i in range(n)]),
        "target": ("boolean", [i % 2 == 0 for i in range(n)]),
    }
    data = learning.write(folder, columns)
    ran = learning.train(folder, data, "random_forest", params={"trees": 10}, split=SPLIT)
    return Package.load(ran.package).predictor


GOOD: dict[str, Any] = {"number": 1.5, "integer": 3, "boolean": True, "category": "a"}


def test_instances_become_labels_with_probabilities(mixed: Predictor) -> None:
    rows = [GOOD, GOOD | {"boolean": False, "category": "b"}, dict.fromkeys(GOOD)]
    predictions = online.answer(mixed, rows)["predictions"]
    assert [p["label"] for p in predictions[:2]] == [True, False]
    for prediction in predictions:
        assert prediction["probabilities"].keys() == {"true", "false"}
        assert sum(prediction["probabilities"].values()) == pytest.approx(1)
    assert online.answer(mixed, [rows[1]])["predictions"] == [predictions[1]]


@pytest.mark.parametrize(
    ("change", "loc", "says"),
    [
        ({"number": "1.5"}, "number", "should be a number"),
        ({"number": True}, "number", "should be a number"),
        ({"number": 10**400}, "number", "should be a number"),
        ({"integer": 1.5}, "integer", "should be a whole number"),
        ({"integer": 2**64}, "integer", "should be a whole number"),
        ({"boolean": 1}, "boolean", "should be true or false"),
        ({"category": 1}, "category", "should be a string"),
        ({"category": ["a"]}, "category", "should be a string"),
        ({"category": "\ud800"}, "category", "should be a string"),
        ({"other": 1}, "other", "is no input of this model, which takes number, integer, boolean, category"),
    ],
)
def test_a_value_that_does_not_fit_is_named(
    mixed: Predictor, change: dict[str, Any], loc: str, says: str
) -> None:
    (error,) = online.answer(mixed, [GOOD, GOOD | change])["errors"]
    assert error["loc"] == ["instances", 1, loc]
    assert says in error["msg"]


def test_a_missing_column_is_named_and_long_lists_are_cut(mixed: Predictor) -> None:
    errors = online.answer(mixed, [{}] * 100)["errors"]
    assert len(errors) == online.MAX_ERRORS
    assert errors[0] == {
        "loc": ["instances", 0, "number"],
        "msg": "is missing; null says that the value is unknown",
    }


def test_images_are_files_in_base64(cnn: learning.Ran, tmp_path: Path) -> None:
    predictor = Package.load(cnn.package).predictor
    table = learning.digits(tmp_path).table.slice(0, 20).to_pydict()
    images = [{"image": base64.b64encode(image).decode()} for image in table["image"]]
    labels = [p["label"] for p in online.answer(predictor, images)["predictions"]]
    assert labels == predictor.predict(learning.digits(tmp_path).table.slice(0, 20))["prediction"].to_pylist()
    assert sum(a == b for a, b in zip(labels, table["label"], strict=True)) >= 16
    (error,) = online.answer(predictor, [images[0], {"image": "no base64!"}])["errors"]
    assert error == {
        "loc": ["instances", 1, "image"],
        "msg": "should be the bytes of an image file in base64",
    }
    (error,) = online.answer(predictor, [{"image": base64.b64encode(b"no image").decode()}])["errors"]
    assert error["loc"] == ["instances", 0]


def test_a_regression_gives_values(tmp_path: Path) -> None:
    bunch = datasets.load_diabetes()
    data = learning.table(tmp_path, bunch, "number")
    ran = learning.train(tmp_path, data, "random_forest", params={"trees": 5}, split=SPLIT)
    predictor = Package.load(ran.package).predictor
    rows = [dict(zip(bunch.feature_names, map(float, row), strict=True)) for row in bunch.data[:3]]
    values = [p["value"] for p in online.answer(predictor, rows)["predictions"]]
    assert all(25 <= value <= 346 for value in values)
