"""Schedules over the API. When they fire is shown in ``domain/test_schedules.py``."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from werkzeug.test import TestResponse

from contract.api import NOW, TRAIN, Api
from headrace.access.tables import Project
from headrace.jobs.transitions import Backoff
from headrace.scheduler import tick

Problem = Callable[..., dict[str, Any]]

NIGHTLY = {
    "name": "nightly",
    "cron": "0 3 * * *",
    "timezone": "Europe/Berlin",
    "job": {"kind": "train", "spec": TRAIN},
    "catch_up": "latest",
    "overlap": "skip",
    "enabled": True,
}


@pytest.fixture
def iris(api: Api) -> Api:
    """The API with a dataset ``iris`` that is ready."""
    api.ready_dataset()
    return api


def _create(api: Api, **fields: Any) -> TestResponse:
    headers = fields.pop("headers", {})
    return api.post("schedules", json=NIGHTLY | fields, headers=headers)


def _tick(api: Api, after: timedelta) -> None:
    tick(api.parts.database, backoff=Backoff(), now=NOW + after)


def test_a_schedule_is_shown_as_it_was_written(iris: Api, problem: Problem) -> None:
    answer = _create(iris)
    assert answer.status_code == 201, answer.text
    made = answer.json
    assert answer.headers["Location"] == f"/api/v1/schedules/{made['id']}"
    assert made["id"].startswith("sch_")
    assert {name: made[name] for name in NIGHTLY if name != "job"} == {
        name: value for name, value in NIGHTLY.items() if name != "job"
    }
    assert (made["job"]["kind"], made["job"]["spec"]) == ("train", TRAIN)
    assert (made["every_s"], made["project"], made["next_due_at"]) == (
        None,
        "default",
        "2027-01-03T02:00:00Z",
    )
    shown = iris.get(f"schedules/{made['id']}")
    assert (shown.json, shown.headers["ETag"]) == (made, answer.headers["ETag"])
    assert iris.get("schedules").json["items"] == [made]
    problem(iris.get("schedules/sch_0"), 404)


def test_what_may_be_left_out(iris: Api) -> None:
    made = iris.post("schedules", json={"every_s": 900, "job": NIGHTLY["job"]}).json
    assert (made["name"], made["cron"], made["timezone"], made["every_s"]) == ("", None, "UTC", 900)
    assert (made["catch_up"], made["overlap"], made["enabled"]) == ("latest", "skip", True)
    assert made["next_due_at"] == "2027-01-02T03:19:05Z"


@pytest.mark.parametrize(
    ("fields", "loc"),
    [
        ({"cron": None}, ["cron"]),
        ({"every_s": 60}, ["every_s"]),
        ({"cron": None, "every_s": 0}, ["every_s"]),
        ({"cron": None, "every_s": 1.5}, ["every_s"]),
        ({"cron": None, "every_s": 10**12}, ["every_s"]),
        ({"cron": "0 3 * *"}, ["cron"]),
        ({"cron": "@daily"}, ["cron"]),
        ({"cron": "0 0 31 2 *"}, ["cron"]),
        ({"cron": "0 0 */31 2 1#5"}, ["cron"]),
        ({"timezone": "Mars/Olympus"}, ["timezone"]),
        ({"timezone": "../UTC"}, ["timezone"]),
        ({"cron": None, "on": {"dataset": "iris"}}, ["on"]),
        ({"catch_up": "some"}, ["catch_up"]),
        ({"overlap": "kill"}, ["overlap"]),
        ({"enabled": 1}, ["enabled"]),
        ({"colour": "red"}, ["colour"]),
        ({"job": {"kind": "train"}}, ["job", "spec"]),
        ({"job": {"kind": "ingest", "spec": {}}}, ["job", "kind"]),
        ({"job": {"kind": "train", "spec": TRAIN, "priority": 10}}, ["job", "priority"]),
        ({"job": {"kind": "train", "spec": TRAIN, "depends_on": ["job_0"]}}, ["job", "depends_on"]),
        ({"job": {"kind": "train", "spec": TRAIN | {"dataset": "rose"}}}, ["job", "spec", "dataset"]),
        ({"job": {"kind": "train", "spec": TRAIN | {"dataset": "iris@7"}}}, ["job", "spec", "dataset"]),
        ({"job": {"kind": "train", "spec": TRAIN | {"target": "colour"}}}, ["job", "spec", "target"]),
        (
            {"job": {"kind": "train", "spec": TRAIN | {"params": {"epochs": 0}}}},
            ["job", "spec", "params", "epochs"],
        ),
        ({"job": {"kind": "evaluate", "spec": {"model": "m", "dataset": "iris"}}}, ["job", "spec", "model"]),
    ],
)
def test_a_wrong_schedule_is_refused_when_it_is_written(
    shared_api: Api, problem: Problem, fields: dict[str, Any], loc: list[str | int]
) -> None:
    before = shared_api.footprint()
    problem(_create(shared_api, **fields), 422, *loc)
    assert shared_api.footprint() == before


def test_a_wrong_change_is_refused(shared_api: Api, problem: Problem) -> None:
    made = _create(shared_api).json
    path = f"schedules/{made['id']}"
    spec = TRAIN | {"params": {"epochs": 0}}
    for fields, loc in (
        ({"cron": None}, ["cron"]),
        ({"cron": "0 0 * * *", "every_s": 60}, ["every_s"]),
        ({"cron": "0 0 * *"}, ["cron"]),
        ({"timezone": "Mars/Olympus"}, ["timezone"]),
        ({"on": {"dataset": "iris"}}, ["on"]),
        ({"job": None}, ["job"]),
        ({"name": None}, ["name"]),
        ({"job": {"kind": "train", "spec": spec}}, ["job", "spec", "params", "epochs"]),
    ):
        problem(shared_api.call("PATCH", path, json=fields), 422, *loc)
    assert shared_api.get(path).json == made
    shared_api.call("DELETE", path)


def test_a_priority_above_the_cap_is_forbidden(iris: Api, problem: Problem) -> None:
    with iris.parts.database.transaction() as session:
        session.get_one(Project, "default").max_priority = 5
    problem(_create(iris, job=NIGHTLY["job"] | {"priority": 6}), 403)


def test_the_next_due_times(iris: Api, problem: Problem) -> None:
    path = f"schedules/{_create(iris).json['id']}"
    assert iris.get(f"{path}/next").json == {"items": [f"2027-01-0{day}T02:00:00Z" for day in range(3, 8)]}
    assert iris.get(f"{path}/next?count=1").json == {"items": ["2027-01-03T02:00:00Z"]}
    year = iris.get(f"{path}/next?count=365").json["items"]
    assert (year[83], year[84], year[85]) == (
        "2027-03-27T02:00:00Z",
        "2027-03-28T01:00:00Z",
        "2027-03-29T01:00:00Z",
    )
    iris.call("PATCH", path, json={"cron": "0 0 29 2 *"})
    assert len(iris.get(f"{path}/next?count=1000").json["items"]) == 1000
    for wrong in ("0", "1001", "x", "-1"):
        problem(iris.get(f"{path}/next?count={wrong}"), 422, "query", "count")
    assert _create(iris, enabled=False).json["next_due_at"] is None


def test_a_change_keeps_what_it_does_not_name(iris: Api) -> None:
    made = _create(iris).json
    path = f"schedules/{made['id']}"
    changed = iris.call("PATCH", path, json={"name": "daily"})
    assert changed.json == made | {"name": "daily"}
    assert iris.call("PATCH", path, json={}).json == made | {"name": "daily"}
    changed = iris.call("PATCH", path, json={"every_s": 60}).json
    assert (changed["cron"], changed["every_s"], changed["next_due_at"]) == (None, 60, "2027-01-02T03:05:05Z")
    changed = iris.call("PATCH", path, json={"cron": "5 4 * * *", "timezone": "UTC"}).json
    assert (changed["cron"], changed["every_s"], changed["next_due_at"]) == (
        "5 4 * * *",
        None,
        "2027-01-02T04:05:00Z",
    )
    spec = TRAIN | {"model": "other"}
    changed = iris.call("PATCH", path, json={"job": {"kind": "train", "spec": spec}}).json
    assert changed["job"]["spec"] == spec


def test_a_pause(iris: Api) -> None:
    path = f"schedules/{_create(iris, cron=None, every_s=60).json['id']}"
    paused = iris.call("PATCH", path, json={"enabled": False}).json
    assert (paused["enabled"], paused["next_due_at"]) == (False, None)
    _tick(iris, timedelta(hours=1))
    assert iris.get(f"{path}/runs").json["items"] == []
    assert iris.get(f"{path}/next?count=1").json == {"items": ["2027-01-02T03:05:05Z"]}
    on_again = iris.call("PATCH", path, json={"enabled": True}).json
    assert on_again["next_due_at"] == "2027-01-02T03:05:05Z"


def test_if_match_changes_a_schedule_only_as_it_was_read(iris: Api, problem: Problem) -> None:
    answer = _create(iris)
    path, etag = f"schedules/{answer.json['id']}", answer.headers["ETag"]
    changed = iris.call("PATCH", path, json={"name": "a"}, headers={"If-Match": etag})
    assert changed.status_code == 200
    assert changed.headers["ETag"] != etag
    problem(iris.call("PATCH", path, json={"name": "b"}, headers={"If-Match": etag}), 412)
    problem(iris.call("DELETE", path, headers={"If-Match": etag}), 412)
    assert iris.get(path).json["name"] == "a"
    assert iris.call("PATCH", path, json={"name": "c"}, headers={"If-Match": "*"}).status_code == 200
    assert iris.call("DELETE", path).status_code == 204


def test_an_idempotency_key_makes_one_schedule_and_one_run(iris: Api, problem: Problem) -> None:
    headers = {"Idempotency-Key": "once"}
    first, again = _create(iris, headers=headers), _create(iris, headers=headers)
    assert (again.status_code, again.json) == (201, first.json)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["ETag"] == first.headers["ETag"]
    problem(_create(iris, name="another", headers=headers), 422)
    assert len(iris.get("schedules").json["items"]) == 1
    path = f"schedules/{first.json['id']}"
    runs = [iris.post(f"{path}/trigger", headers={"Idempotency-Key": "now"}).json for _ in range(2)]
    assert runs[0] == runs[1]
    assert len(iris.get(f"{path}/runs").json["items"]) == 1


def test_runs_and_their_jobs(iris: Api) -> None:
    path = (
        f"schedules/{_create(iris, cron=None, every_s=60, job=NIGHTLY['job'] | {'priority': 7}).json['id']}"
    )
    _tick(iris, timedelta(seconds=60))
    _tick(iris, timedelta(seconds=120))
    skipped, submitted = iris.get(f"{path}/runs").json["items"]
    assert (submitted["due_at"], submitted["outcome"]) == ("2027-01-02T03:05:05Z", "submitted")
    assert submitted["fired_at"] == "2027-01-02T03:05:05.000Z"
    assert (skipped["due_at"], skipped["outcome"], skipped["job"]) == (
        "2027-01-02T03:06:05Z",
        "skipped",
        None,
    )
    assert submitted["job"] in skipped["reason"]
    job = iris.get(f"jobs/{submitted['job']}").json
    assert (job["name"], job["priority"], job["spec"]["dataset"]) == ("nightly", 7, "iris@1")
    assert job["created_by"] == iris.get(path).json["created_by"]


def test_a_trigger_submits_now_whatever_goes_on(iris: Api, problem: Problem) -> None:
    path = f"schedules/{_create(iris, enabled=False).json['id']}"
    first, second = (iris.post(f"{path}/trigger") for _ in range(2))
    assert (first.status_code, second.status_code) == (202, 202), first.text
    assert first.headers["Location"] == f"/api/v1/jobs/{first.json['job']}"
    assert first.json["job"] != second.json["job"]
    assert first.json["outcome"] == "submitted"
    assert first.json["triggered_by"]
    assert {run["job"] for run in iris.get(f"{path}/runs").json["items"]} == {
        first.json["job"],
        second.json["job"],
    }
    assert iris.call("DELETE", "datasets/iris/versions/1").status_code == 204
    problem(iris.post(f"{path}/trigger"), 422, "job", "spec", "dataset")


def test_a_template_that_has_gone_bad_is_a_failed_run_with_the_reason(iris: Api) -> None:
    path = f"schedules/{_create(iris, cron=None, every_s=60).json['id']}"
    assert iris.call("DELETE", "datasets/iris/versions/1").status_code == 204
    _tick(iris, timedelta(seconds=61))
    (run,) = iris.get(f"{path}/runs").json["items"]
    assert (run["outcome"], run["job"]) == ("failed", None)
    assert "'iris' has no version that is ready" in run["reason"]


def test_deleting_takes_the_runs_and_leaves_the_jobs(iris: Api, problem: Problem) -> None:
    path = f"schedules/{_create(iris).json['id']}"
    job = iris.post(f"{path}/trigger").json["job"]
    assert iris.call("DELETE", path).status_code == 204
    for gone in (path, f"{path}/runs", f"{path}/next"):
        problem(iris.get(gone), 404)
    problem(iris.call("DELETE", path), 404)
    assert iris.get(f"jobs/{job}").status_code == 200


def test_roles(iris: Api, problem: Problem) -> None:
    path = f"schedules/{_create(iris).json['id']}"
    for role in ("viewer", "submitter"):
        other = iris.as_key(role)
        problem(_create(other), 403)
        problem(other.call("PATCH", path, json={}), 403)
        problem(other.call("DELETE", path), 403)
        problem(other.post(f"{path}/trigger"), 403)
        assert other.get(f"{path}/next").status_code == 200


def test_a_model_version_that_a_schedule_names_is_kept(iris: Api, problem: Problem) -> None:
    iris.model_version()
    iris.model_version()
    spec = {"model": "iris@1", "dataset": "iris"}
    made = _create(iris, job={"kind": "predict", "spec": spec}, enabled=False)
    assert made.status_code == 201, made.text
    assert made.json["id"] in problem(iris.call("DELETE", "models/iris/versions/1"), 409)["detail"]
    assert iris.call("DELETE", "models/iris/versions/2").status_code == 204
    iris.call("DELETE", f"schedules/{made.json['id']}")
    assert iris.call("DELETE", "models/iris/versions/1").status_code == 204
