"""What a recommender cannot learn or list is refused when it is submitted, with the field and the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from contract.api import TRAIN, Api
from headrace.datasets import service as datasets
from headrace.datasets.tables import DatasetVersion

Problem = Callable[..., dict[str, Any]]

COLUMNS = {"who": "text", "film": "integer", "stars": "number", "genre": "category", "seen": "timestamp"}
MF = TRAIN | {
    "dataset": "ratings",
    "algorithm": "matrix_factorization",
    "target": "stars",
    "params": {"user": "who", "item": "film"},
}


def _with(**params: Any) -> dict[str, Any]:
    return MF | {"params": {"user": "who", "item": "film"} | params}


@pytest.fixture(scope="module", autouse=True)
def ratings(shared_api: Api) -> None:
    version = shared_api.ready_dataset("ratings")
    with shared_api.parts.database.transaction() as session:
        row: DatasetVersion = datasets.version(session, "default", "ratings", version)
        row.columns = [{"name": name, "type": type, "nullable": True} for name, type in COLUMNS.items()]


@pytest.mark.parametrize(
    ("spec", "loc", "reason"),
    [
        (_with(user="film"), ["params", "user"], "is the same column as item"),
        (_with(user="whom"), ["params", "user"], "there is no column 'whom'"),
        (_with(user="stars"), ["params", "user"], "is the target"),
        (_with(item="seen"), ["params", "item"], "'seen' is a timestamp column"),
        (MF | {"params": {}}, ["params", "user"], "there is no column 'user'"),
        (MF | {"target": "genre"}, ["target"], "'genre' is a category column, which is no target for recomm"),
        (MF | {"target": "genre"}, ["target"], "should be number or integer"),
        (MF | {"target": "seen"}, ["target"], "'seen' is a timestamp column"),
        (MF | {"features": ["genre"]}, ["features", 0], "no features but those that its params name"),
        (MF | {"slices": ["genre"]}, ["slices"], "evaluated by users"),
        (_with(loss="crossentropy"), ["params", "loss"], "mse, mae and huber are for ratings"),
        (_with(loss="mae") | {"target": None}, ["params", "loss"], "is for ratings"),
        (_with(negatives=0), ["params", "negatives"], "greater than or equal to 1"),
        (
            _with(user_features=["when"]) | {"algorithm": "two_tower"},
            ["params", "user_features"],
            "there is no column 'when'",
        ),
        (
            _with(item_features=["film"]) | {"algorithm": "two_tower"},
            ["params", "item_features"],
            "'film' has a part already",
        ),
        (
            _with(user_features=["genre"], item_features=["genre"]) | {"algorithm": "two_tower"},
            ["params", "item_features"],
            "'genre' has a part already",
        ),
    ],
)
def test_what_does_not_fit_is_told(
    untouched: Api, problem: Problem, spec: dict[str, Any], loc: list[str | int], reason: str
) -> None:
    said = problem(untouched.submit(spec), 422, "spec", *loc)
    assert reason in str(said["errors"])


@pytest.mark.parametrize("target", ["stars", None])
def test_ratings_and_clicks_are_taken(shared_api: Api, target: str | None) -> None:
    answer = shared_api.submit(MF | {"target": target})
    assert answer.status_code == 202
    spec = answer.json["spec"]
    assert (spec["task"], spec["target"], spec["features"]) == ("recommendation", target, [])
