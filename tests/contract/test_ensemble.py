"""Training that combines versions: what the API takes, refuses and keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from contract.api import TRAIN, Api
from headrace.artifacts import service as artifacts
from headrace.jobs.kinds import reproduce, train
from headrace.jobs.tables import Job
from headrace.registry import service as registry

Problem = Callable[..., dict[str, Any]]
ENSEMBLE = TRAIN | {"model": "both", "algorithm": "ensemble", "params": {"models": ["one", "two@1"]}}
X = {"name": "x", "type": "number"}
ID = {"name": "id", "type": "integer"}


@pytest.fixture
def members(api: Api) -> None:
    """Versions one@1 and two@1, trained on all columns of ``iris``."""
    api.ready_dataset()
    for name in ("one", "two"):
        api.model_version(name)
        _change(api, name)


def _change(api: Api, name: str, features: Any = (ID, X), algorithm: str = "mlp", **spec: Any) -> None:
    with api.parts.database.transaction() as session:
        version = registry.version(session, "default", name, 1)
        version.algorithm = algorithm
        version.task = spec.pop("task", "classification")
        version.signature = {"inputs": list(features), "outputs": []}
        whole = version.lineage["spec"] | spec
        version.lineage = {
            "spec": whole,
            "split": whole["split"],
            "dataset_digest": spec.get("digest", "sha256:0"),
            "rows": {"train": 8},
        }


@pytest.mark.usefixtures("members")
def test_members_are_pinned_and_their_packages_kept(api: Api) -> None:
    answer = api.submit(ENSEMBLE)
    assert answer.status_code == 202, answer.text
    spec = answer.json["spec"]
    assert spec["params"]["models"] == ["one@1", "two@1"]
    assert spec["features"] == ["id", "x"]
    with api.parts.database.transaction() as session:
        preparation = train.prepare(session, session.get_one(Job, answer.json["id"]))
        for i, name in enumerate(("one", "two")):
            version = registry.version(session, "default", name, 1)
            package = artifacts.artifact(session, version.id, "package")
            assert preparation.inputs[f"member_{i}"] == package.digest
        assert reproduce.member_versions.kept(session, version) == {}


@pytest.mark.parametrize(
    ("params", "field", "says"),
    [
        ({}, ("models",), "two versions or more"),
        ({"models": ["one"]}, ("models",), "two versions or more"),
        ({"models": ["one", "nope"]}, ("models", 1), "there is no model 'nope'"),
        ({"models": ["one", "one@1"]}, ("models", 1), "one@1: stands here twice"),
        ({"models": ["one", "two"], "weights": [1]}, (), "2 numbers"),
        ({"models": ["one", "two"], "weights": [1, 1], "method": "stack"}, (), "finds its weights itself"),
        ({"models": ["one", "two"], "folds": 5}, (), "folds: nothing is fitted for method average"),
        ({"models": ["one", "two"], "method": "stack", "folds": 9}, ("folds",), "there are 8 training rows"),
    ],
)
@pytest.mark.usefixtures("members")
def test_params_that_do_not_fit_are_refused(
    api: Api, problem: Problem, params: dict[str, Any], field: tuple[str | int, ...], says: str
) -> None:
    found = problem(api.submit(ENSEMBLE | {"params": params}), 422, "spec", "params", *field)
    assert says in found["errors"][0]["msg"]


@pytest.mark.usefixtures("members")
@pytest.mark.parametrize(
    ("field", "asked"), [("cross_validation", {"folds": 3}), ("fold", {"folds": 3, "number": 0})]
)
def test_members_that_know_every_fold_are_not_cross_validated(
    api: Api, problem: Problem, field: str, asked: dict[str, Any]
) -> None:
    found = problem(api.submit(ENSEMBLE | {field: asked}), 422, "spec", field)
    assert "learned from rows of every fold" in found["errors"][0]["msg"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"target": "x"}, "has learned 'x', not 'label'"),
        ({"task": "regression"}, "does regression, the first of the list classification"),
        ({"task": "forecast"}, "does forecast, this job classification or regression"),
        ({"fold": {"folds": 2, "number": 0}}, "was trained on all rows but a fold"),
        ({"algorithm": "ensemble"}, "is an ensemble itself"),
        ({"features": [{"name": "z", "type": "number"}]}, "needs the number column 'z', which is missing"),
        ({"features": [X]}, "has other features than the first of the list"),
        (
            {"split": {"validation": 0.2, "test": 0.1, "by": "hash", "seed": 0}},
            "was trained with the split",
        ),
    ],
)
@pytest.mark.usefixtures("members")
def test_members_that_do_not_fit_are_refused(
    api: Api, problem: Problem, change: dict[str, Any], says: str
) -> None:
    _change(api, "two", **change)
    found = problem(api.submit(ENSEMBLE), 422, "spec", "params", "models", 1)
    assert says in found["errors"][0]["msg"]


@pytest.mark.usefixtures("members")
def test_what_was_divided_at_random_must_have_been_on_these_very_rows(api: Api, problem: Problem) -> None:
    split = {"validation": 0.1, "test": 0.1, "by": "random", "seed": 0}
    for name in ("one", "two"):
        _change(api, name, split=split)
    found = problem(api.submit(ENSEMBLE | {"split": split}), 422, "spec", "params", "models", 0)
    assert "divided at random on another dataset" in found["errors"][0]["msg"]
