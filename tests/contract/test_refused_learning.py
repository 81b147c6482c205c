"""What an algorithm cannot learn is refused when it is submitted, with the field and the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from contract.api import TRAIN, Api
from headrace.datasets import service as datasets
from headrace.datasets.tables import DatasetVersion

Problem = Callable[..., dict[str, Any]]

COLUMNS = {"words": "text", "picture": "image", "price": "number", "kind": "category", "sold": "timestamp"}
THINGS = TRAIN | {"dataset": "things", "target": "kind"}


@pytest.fixture(scope="module", autouse=True)
def things(shared_api: Api) -> None:
    """A dataset with columns of many types, beside ``iris``, which has a number and a label."""
    version = shared_api.ready_dataset("things")
    with shared_api.parts.database.transaction() as session:
        row: DatasetVersion = datasets.version(session, "default", "things", version)
        row.columns = [{"name": name, "type": type, "nullable": True} for name, type in COLUMNS.items()]


@pytest.mark.parametrize(
    ("spec", "loc", "reason"),
    [
        (THINGS | {"target": "words", "task": "regression"}, ["target"], "'words' is a text column"),
        (THINGS | {"algorithm": "text_naive_bayes", "target": "price"}, ["target"], "no target for class"),
        (
            THINGS | {"algorithm": "text_naive_bayes", "target": "price", "task": "regression"},
            ["task"],
            "text_naive_bayes does classification, not regression",
        ),
        (TRAIN | {"algorithm": "cnn"}, ["algorithm"], "cnn takes image, audio columns; iris has none"),
        (THINGS | {"algorithm": "cnn", "features": ["price"]}, ["features", 0], "cnn takes image"),
        (TRAIN | {"algorithm": "text_naive_bayes"}, ["algorithm"], "takes text columns; iris has none"),
        (THINGS | {"algorithm": "linear_regression"}, ["target"], "'kind' is a category column"),
        (THINGS | {"algorithm": "perceptron", "target": "price"}, ["target"], "'price' is a number column"),
        (THINGS | {"algorithm": "naive_bayes", "task": "regression"}, ["task"], "does classification, not"),
        (THINGS | {"algorithm": "svm", "features": ["sold", "words"]}, ["features", 1], "'words' is a text"),
        (
            THINGS | {"algorithm": "gradient_boosting", "features": ["picture"]},
            ["features", 0],
            "'picture' is a image column; gradient_boosting takes number",
        ),
        *(
            (
                THINGS | {"algorithm": name, "target": "price", "params": {"class_weight": "balanced"}},
                ["params", "class_weight"],
                "a regression has no classes",
            )
            for name in ("svm", "random_forest", "gradient_boosting", "mlp")
        ),
        (THINGS | {"algorithm": "svm", "params": {"kernel": "cubic"}}, ["params", "kernel"], "should be"),
        (THINGS | {"algorithm": "svm", "params": {"cost": 0}}, ["params", "cost"], "greater than 0"),
        (
            THINGS | {"algorithm": "naive_bayes", "params": {"epochs": 5}},
            ["params", "epochs"],
            "not permitted",
        ),
        (
            THINGS | {"algorithm": "gradient_boosting", "params": {"trees": 10**12}},
            ["params", "trees"],
            "less than or equal to",
        ),
    ],
)
def test_what_an_algorithm_cannot_learn(
    untouched: Api, problem: Problem, spec: dict[str, Any], loc: list[str | int], reason: str
) -> None:
    said = problem(untouched.submit(spec), 422, "spec", *loc)
    (error,) = [error for error in said["errors"] if error["loc"] == ["spec", *loc]]
    assert reason in error["msg"]


@pytest.mark.parametrize(
    "name", ["perceptron", "svm", "naive_bayes", "random_forest", "gradient_boosting", "mlp"]
)
def test_a_table_takes_the_columns_that_it_can(shared_api: Api, name: str) -> None:
    answer = shared_api.submit(THINGS | {"algorithm": name, "model": name.replace("_", "-")})
    assert answer.status_code == 202, answer.text
    assert answer.json["spec"]["features"] == ["price", "sold"]
    assert answer.json["spec"]["task"] == "classification"
