"""Explanations as job processes write them are as the OpenAPI document says, and found from versions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from sklearn import datasets

import learning
from contract.api import NOW, Api
from headrace.artifacts import service as artifacts
from headrace.jobs.tables import Job
from headrace.registry import service as registry


def test_they_are_as_the_document_says(tmp_path: Path, shared_api: Api) -> None:
    data = learning.table(tmp_path / "data", datasets.load_iris(), "category", classes=True)
    package = learning.train(tmp_path / "job", data, "random_forest", params={"trees": 3}).package
    found = learning.explain(tmp_path / "explain", data, package, repeats=2, ice=3).explanation
    schemas = shared_api.get("/openapi.json").json["components"]
    schema = schemas["schemas"]["Explanation"]
    Draft202012Validator(schema | {"components": schemas}).validate(found)
    assert set(found) <= set(schema["properties"])


def test_a_version_has_them_newest_first(api: Api) -> None:
    api.ready_dataset()
    version = api.model_version()
    with api.parts.database.transaction() as session:
        row = registry.version(session, "default", "iris", version)
        row.signature = {"inputs": [{"name": "x", "type": "number"}], "outputs": []}
    spec = {"model": "iris", "dataset": "iris", "method": "integrated_gradients"}
    job = api.submit(spec, kind="explain").json
    assert job["spec"]["model"] == f"iris@{version}"
    stored = api.store(json.dumps({"method": "integrated_gradients"}).encode())
    with api.parts.database.transaction() as session:
        row = registry.version(session, "default", "iris", version)
        registry.add_explanation(session, row, job=session.get_one(Job, job["id"]), now=NOW)
        artifacts.attach(session, project="default", owner=job["id"], files={"explanation": stored}, now=NOW)
    path = f"models/iris/versions/{version}/explanations"
    assert api.get(path).json == {
        "items": [
            {
                "job": job["id"],
                "method": "integrated_gradients",
                "dataset": "iris@1",
                "created_at": "2027-01-02T03:04:05.000Z",
            }
        ],
        "next_cursor": None,
    }
    assert api.get(f"jobs/{job['id']}/explanation").json == {"method": "integrated_gradients"}
    assert api.as_key("other").get(path).status_code == 404
    assert api.as_key("other").get(f"jobs/{job['id']}/explanation").status_code == 404


def test_what_does_not_fit_is_refused_at_its_field(shared_api: Api, problem: Callable[..., Any]) -> None:
    shared_api.model_version("net")
    spec = {"model": "net", "dataset": "iris", "method": "shap"}
    problem(shared_api.submit(spec, kind="explain"), 422, "spec", "method")
    price = spec | {"method": "integrated_gradients", "partial_dependence": ["price"]}
    problem(shared_api.submit(price, kind="explain"), 422, "spec", "partial_dependence", 0)
