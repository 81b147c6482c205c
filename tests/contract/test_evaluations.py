"""Evaluations as job processes write them are what the OpenAPI document says, for versions and for jobs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from sklearn import datasets

import learning
from contract.api import NOW, Api
from headrace.artifacts import service as artifacts


@pytest.fixture(scope="module", params=["classification", "regression"])
def evaluation(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder: Path = tmp_path_factory.mktemp("evaluation")
    classes = request.param == "classification"
    bunch: Any = datasets.load_iris() if classes else datasets.load_diabetes()
    data = learning.table(folder / "data", bunch, "category" if classes else "number", classes=classes)
    columns = {c.name: (c.type, data.table[c.name].to_pylist()) for c in data.columns}
    columns["place"] = ("category", [f"p{i % 3}" for i in range(data.table.num_rows)])
    data = learning.write(folder / "more", columns)
    slices = ["place", data.columns[0].name]
    params = {"trees": 3}
    ran = learning.train(folder / "job", data, "random_forest", params=params, slices=slices)
    return ran.evaluation


def test_they_are_as_the_document_says(evaluation: dict[str, Any], shared_api: Api) -> None:
    schemas = shared_api.get("/openapi.json").json["components"]
    schema = schemas["schemas"]["Evaluation"]
    Draft202012Validator(schema | {"components": schemas}).validate(evaluation)
    assert set(evaluation) <= set(schema["properties"])


def test_that_of_an_evaluate_job_is_sent_as_it_was_written(evaluation: dict[str, Any], api: Api) -> None:
    api.ready_dataset()
    job = api.submit().json["id"]
    stored = api.store(json.dumps(evaluation).encode())
    with api.parts.database.transaction() as session:
        artifacts.attach(session, project="default", owner=job, files={"evaluation": stored}, now=NOW)
    assert api.get(f"jobs/{job}/evaluation").json == evaluation
    assert api.as_key("other").get(f"jobs/{job}/evaluation").status_code == 404
