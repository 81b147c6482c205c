"""Training that starts from a version: what the API takes, refuses and keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from contract.api import NOW, TRAIN, Api
from headrace.artifacts import service as artifacts
from headrace.jobs.kinds import reproduce, train
from headrace.jobs.tables import Job
from headrace.registry import service as registry
from headrace.registry.tables import ModelVersion
from headrace.specs.task import Done

Problem = Callable[..., dict[str, Any]]
LEARNED = {
    "metrics": {},
    "signature": {"inputs": [], "outputs": []},
    "task": "classification",
    "weights_digest": "sha256:" + "0" * 64,
    "environment": {},
    "rows": {},
}


@pytest.fixture
def base(api: Api) -> str:
    """A version of ``iris``, trained on all columns with params of its own."""
    api.ready_dataset()
    api.model_version()
    with api.parts.database.transaction() as session:
        version = registry.version(session, "default", "iris", 1)
        version.params = {"epochs": 7, "hidden": [3]}
        inputs = [{"name": "id", "type": "integer"}, {"name": "x", "type": "number"}]
        version.signature = {"inputs": inputs, "outputs": []}
    return "iris@1"


def test_params_and_features_are_those_of_the_base_unless_given(api: Api, base: str) -> None:
    spec = api.submit(TRAIN | {"base": "iris", "params": {"epochs": 2}}).json["spec"]
    assert spec["base"] == base
    assert (spec["params"]["epochs"], spec["params"]["hidden"]) == (2, [3])
    assert spec["features"] == ["id", "x"]


def test_a_version_keeps_the_package_that_it_started_from(api: Api, base: str) -> None:
    made = api.submit(TRAIN | {"base": base, "model": "tuned"}).json["id"]
    with api.parts.database.transaction() as session:
        job = session.get_one(Job, made)
        first = registry.version(session, "default", "iris", 1)
        package = artifacts.artifact(session, first.id, "package")
        preparation = train.prepare(session, job)
        assert preparation.inputs["base"] == package.digest
        assert preparation.lineage["base"] == base
        files = {"package": api.store(b"tuned")}
        train.commit(session, job, Done(result=LEARNED, outputs={}), files, NOW)
        version = registry.version(session, "default", "tuned", 1)
        assert version.lineage["base"] == base
        assert artifacts.attached(session, version.id) == files | {"base": package}
        session.delete(session.get_one(ModelVersion, first.id))
        session.flush()
        again = Job(project="default", spec={"model": "tuned@1"})
        assert reproduce.prepare(session, again).inputs["base"] == package.digest


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        ({"base": "nope"}, "base", "there is no model 'nope'"),
        ({"base": "iris@9"}, "base", "no version 9"),
        ({"base": "iris", "algorithm": "logistic_regression"}, "base", "iris@1 is a mlp; logistic_"),
        (
            {"base": "iris", "algorithm": "random_forest"},
            "base",
            "random_forest always learns from the begin",
        ),
        ({"base": "iris", "features": ["x"]}, "features", "iris@1 was trained on id, x"),
        ({"base": "iris", "types": {"x": "category"}}, "base", "the number column 'x', which is a category"),
    ],
)
@pytest.mark.usefixtures("base")
def test_a_base_that_does_not_fit_is_refused(
    api: Api, problem: Problem, change: dict[str, Any], field: str, says: str
) -> None:
    found = problem(api.submit(TRAIN | change), 422, "spec", field)
    assert says in found["errors"][0]["msg"]


def test_how_columns_are_encoded_is_not_changed(api: Api, problem: Problem, base: str) -> None:
    with api.parts.database.transaction() as session:
        version = registry.version(session, "default", "iris", 1)
        version.algorithm, version.params = "text_cnn", {"vocabulary": 20}
        version.signature = {"inputs": [], "outputs": []}
    spec = TRAIN | {"base": base, "algorithm": "text_cnn", "params": {"vocabulary": 30}}
    found = problem(api.submit(spec), 422, "spec", "params", "vocabulary")
    assert "should be 20" in found["errors"][0]["msg"]
