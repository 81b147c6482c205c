"""Coordinators as clients see them: their parts in lists, in figures and on the page of the job."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from contract.api import NOW, TRAIN, Api
from headrace.jobs.transitions import Backoff
from headrace.scheduler import tick

Problem = Callable[..., dict[str, Any]]
TUNE = {
    "train": TRAIN,
    "space": {"params.batch_size": {"choices": [8, 16, 32]}},
    "metric": "val_accuracy",
    "sampler": "grid",
}


def test_the_parts_of_a_job_are_listed_by_it(api: Api) -> None:
    api.ready_dataset()
    answer = api.post("jobs", json={"kind": "tune", "spec": TUNE, "name": "sizes", "priority": 7})
    assert answer.status_code == 202, answer.text
    job = answer.json
    assert (job["spec"]["trials"], job["spec"]["train"]["dataset"]) == (3, "iris@1")
    assert job["parent"] is job["part"] is job["figures"] is None
    tick(api.parts.database, backoff=Backoff(), now=NOW)
    assert api.get(f"jobs/{job['id']}").json["state"] == "running"
    found = api.get(f"jobs?parent={job['id']}").json["items"]
    assert [(part["part"], part["name"], part["priority"]) for part in found] == [
        ("trial 1", "sizes: trial 1", 7),
        ("trial 0", "sizes: trial 0", 7),
    ]
    assert found[0]["parent"] == job["id"]
    assert found[0]["figures"] == {"trial": 1, "params": {"params.batch_size": 16}, "state": "running"}
    assert [each["id"] for each in api.get("jobs").json["items"]][-1] != job["id"]
    assert api.get("jobs?parent=job_0&state=queued").json["items"] == []
    assert api.as_key("other").get(f"jobs?parent={job['id']}").json["items"] == []


def test_what_cannot_be_searched_is_refused_at_its_place(api: Api, problem: Problem) -> None:
    api.ready_dataset()
    for changes, loc in (
        ({"space": {}}, ["spec", "space"]),
        (
            {"space": {"params.batch_size": {"low": 0, "high": 8}}},
            ["spec", "space", "params.batch_size", "low"],
        ),
        ({"space": {"model": {"choices": ["m"]}}}, ["spec", "space", "model"]),
        ({"metric": "rmse"}, ["spec", "metric"]),
        ({"trials": 0}, ["spec", "trials"]),
        ({"train": TRAIN | {"params": {"epochs": 0}}}, ["spec", "train", "params", "epochs"]),
    ):
        answer = api.post("jobs", json={"kind": "tune", "spec": TUNE | changes})
        assert [error["loc"] for error in problem(answer, 422)["errors"]] == [loc]
    folds = TRAIN | {"cross_validation": {"folds": 2, "group": "nobody"}}
    errors = problem(api.submit(folds), 422)["errors"]
    assert [error["loc"] for error in errors] == [
        ["spec", "cross_validation", "folds"],
        ["spec", "cross_validation", "group"],
    ]
    assert "iris@1 has 1 rows" in errors[0]["msg"]
