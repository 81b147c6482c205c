"""Jobs: submit, cancel, retry, and what they leave behind."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from contract.api import NOW, TRAIN, Api
from headrace.jobs import events, leases, transitions
from headrace.jobs.tables import Job

Problem = Callable[..., dict[str, Any]]


def _start(api: Api, job: str) -> leases.Lease:
    with api.parts.database.transaction() as session:
        return transitions.start(session, session.get_one(Job, job), worker="w-1", now=NOW, lease_s=60)


def test_a_job_shows_what_it_will_do(api: Api) -> None:
    api.ready_dataset()
    body = {"name": "nightly", "priority": 9, "queue": "gpu", "max_attempts": 1, "timeout_s": 60}
    answer = api.submit(TRAIN | {"params": {"epochs": 2}}, tags={"team": "vision"}, **body)
    job = answer.json
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/api/v1/jobs/{job['id']}"
    assert re.fullmatch(r"job_[0-9a-z]+", job["id"])
    assert job == api.get(f"jobs/{job['id']}").json
    assert job.items() >= body.items()
    assert (job["kind"], job["project"], job["state"]) == ("train", "default", "queued")
    assert job["spec"]["dataset"] == "iris@1"
    assert job["spec"]["params"]["epochs"] == 2
    assert job["spec"]["params"]["batch_size"] > 0
    assert job["spec"]["split"] == {"validation": 0.1, "test": 0.1, "by": "hash", "seed": 0}
    assert job["tags"] == {"team": "vision"}
    assert (job["attempt"], job["failures"], job["depends_on"]) == (0, 0, [])
    assert job["created_at"] == "2027-01-02T03:04:05.000Z"
    assert job["started_at"] is job["finished_at"] is job["worker"] is None
    assert job["progress"] == {"fraction": 0.0, "message": ""}
    assert job["cancel_requested"] is False
    assert job["result"] is job["error"] is job["retry_of"] is None
    assert re.fullmatch(r"key_[0-9a-z]+", job["created_by"])


def test_a_queued_job_is_cancelled_at_once(api: Api, problem: Problem) -> None:
    api.ready_dataset()
    job = api.submit().json["id"]
    problem(api.as_key("viewer").post(f"jobs/{job}/cancel"), 403)
    answer = api.as_key("submitter").post(f"jobs/{job}/cancel")
    assert (answer.status_code, answer.json["state"]) == (202, "cancelled")
    assert answer.json["finished_at"]
    problem(api.post(f"jobs/{job}/cancel"), 409)


def test_a_running_job_is_asked_to_end(api: Api) -> None:
    api.ready_dataset()
    job = api.submit().json["id"]
    _start(api, job)
    answer = api.post(f"jobs/{job}/cancel")
    assert (answer.status_code, answer.json["state"]) == (202, "running")
    assert answer.json["cancel_requested"] is True
    assert (answer.json["worker"], answer.json["attempt"]) == ("w-1", 1)
    assert api.post(f"jobs/{job}/cancel").status_code == 202


def test_only_what_did_not_succeed_is_retried(api: Api, problem: Problem) -> None:
    api.ready_dataset()
    job = api.submit(name="again", tags={"a": "b"}).json["id"]
    problem(api.post(f"jobs/{job}/retry"), 409)
    api.post(f"jobs/{job}/cancel")
    answer = api.post(f"jobs/{job}/retry")
    assert answer.status_code == 202
    assert answer.json["id"] != job
    assert answer.headers["Location"].endswith(answer.json["id"])
    assert answer.json["retry_of"] == job
    assert (answer.json["name"], answer.json["tags"], answer.json["state"]) == ("again", {"a": "b"}, "queued")
    assert answer.json["spec"] == api.get(f"jobs/{job}").json["spec"]
    problem(api.post("jobs/job_0/retry"), 404)


def test_a_job_that_depends_on_another_waits(api: Api) -> None:
    api.ready_dataset()
    first = api.submit().json["id"]
    predict = {"kind": "predict", "spec": {"model": "iris", "dataset": "iris"}, "depends_on": [first]}
    answer = api.post("jobs", json=predict)
    assert answer.status_code == 202
    assert (answer.json["state"], answer.json["depends_on"]) == ("waiting", [first])


def test_a_spec_takes_a_value_from_a_job_that_it_depends_on(api: Api, problem: Problem) -> None:
    api.ready_dataset()
    first = api.submit().json["id"]
    taken = {"$result": first, "path": "version"}
    body = {"kind": "evaluate", "spec": {"model": taken, "dataset": "iris"}}
    answer = api.post("jobs", json=body | {"depends_on": [first]})
    assert answer.status_code == 202
    assert (answer.json["state"], answer.json["spec"]["model"]) == ("waiting", taken)
    problem(api.post("jobs", json=body), 422, "spec", "model", "$result")
    body["spec"] |= {"model": {"$result": first, "path": "rows"}}
    problem(api.post("jobs", json=body | {"depends_on": [first]}), 422, "spec", "model")


def test_what_a_running_job_says(api: Api) -> None:
    api.ready_dataset()
    job = api.submit().json["id"]
    _start(api, job)
    said = [
        events.Event("progress", {"fraction": 0.5, "message": "epoch 1 of 2"}),
        events.Event("metric", {"name": "loss", "step": 1, "value": 0.75}),
        events.Event("log", {"text": "<b>one</b>\n"}),
        events.Event("metric", {"name": "loss", "step": 2, "value": 0.5}),
        events.Event("log", {"text": "zwei é\n"}),
    ]
    with api.parts.database.transaction() as session:
        events.append(session, session.get_one(Job, job), said, NOW)
    shown = api.get(f"jobs/{job}/events").json["items"]
    assert [event["seq"] for event in shown] == list(range(1, 8))
    assert shown[2] == {
        "seq": 3,
        "attempt": 1,
        "type": "progress",
        "at": "2027-01-02T03:04:05.000Z",
        "data": {"fraction": 0.5, "message": "epoch 1 of 2"},
    }
    assert api.get(f"jobs/{job}/metrics").json == {"series": {"loss": [[1, 0.75], [2, 0.5]]}}
    log = api.get(f"jobs/{job}/logs")
    assert log.text == "<b>one</b>\nzwei é\n"
    assert log.content_type == "text/plain; charset=utf-8"
    assert api.get(f"jobs/{job}/logs?attempt=1").text == log.text
    assert api.get(f"jobs/{job}/logs?attempt=2").text == ""


def test_a_quota_is_a_429_that_says_when(api: Api, problem: Problem) -> None:
    from headrace.access.tables import Project

    api.ready_dataset()
    with api.parts.database.transaction() as session:
        project = session.get_one(Project, "default")
        project.max_queued, project.max_priority = 2, 7
    problem(api.submit(priority=8), 403)
    answers = [api.submit() for _ in range(3)]
    problem(answers[-1], 429)
    assert int(answers[-1].headers["Retry-After"]) > 0


def test_no_request_waits_for_a_broker_that_is_gone(api: Api) -> None:
    """The address is one where nothing answers, so that a connection hangs rather than fails."""
    api.parts.dispatcher._broker_url = "redis://192.0.2.1:6379/0"
    api.ready_dataset()
    started = time.monotonic()
    for _ in range(5):
        assert api.submit().status_code == 202
    assert time.monotonic() - started < 1.5
