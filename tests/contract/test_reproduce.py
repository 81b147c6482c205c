"""Versions made again, and jobs that go on where they were: what the API takes and shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from contract.api import NOW, Api
from headrace.jobs import checkpoints, transitions
from headrace.jobs.kinds import reproduce
from headrace.jobs.tables import Job
from headrace.registry import service as registry
from headrace.specs.task import Done

Problem = Callable[..., dict[str, Any]]
DIGEST = "sha256:" + "0" * 64
VERDICT = {
    "identical": False,
    "weights_digest": DIGEST,
    "expected_weights_digest": "sha256:" + "1" * 64,
    "differences": ["environment.threads: 1 then, 2 now"],
    "arrays": [{"name": "dense_1/kernel", "values": 10, "differing": 3, "largest": 0.5}],
    "differing_arrays": 1,
}


def _lineage(api: Api) -> None:
    """Give version 1 of the model ``iris`` the lineage that a train job would."""
    with api.parts.database.transaction() as session:
        version = registry.version(session, "default", "iris", 1)
        train = session.get_one(Job, version.job)
        version.lineage = version.lineage | {"dataset": "iris", "spec": train.spec}


def test_a_version_shows_what_reproducing_it_found(api: Api) -> None:
    api.ready_dataset()
    api.model_version()
    _lineage(api)
    assert api.get("models/iris/versions/1").json["reproduced"] is None
    answer = api.post("jobs", json={"kind": "reproduce", "spec": {"model": "iris"}})
    assert answer.status_code == 202
    job = answer.json
    assert job["spec"] == {"model": "iris@1"}
    assert [row["id"] for row in api.get("jobs?model=iris&kind=reproduce").json["items"]] == [job["id"]]
    with api.parts.database.transaction() as session:
        row = session.get_one(Job, job["id"])
        preparation = reproduce.prepare(session, row)
        assert preparation.inputs.keys() == {"data", "package"}
        assert preparation.spec is not None
        assert preparation.spec["algorithm"] == "mlp"
        lease = transitions.start(session, row, worker="w", now=NOW, lease_s=60)
        result = reproduce.commit(session, row, Done(result=VERDICT, outputs={}), {}, NOW)
        transitions.succeed(session, lease, result=result, now=NOW)
    assert api.get(f"jobs/{job['id']}").json["result"] == VERDICT
    expected = VERDICT | {"job": job["id"], "at": "2027-01-02T03:04:05.000Z"}
    assert api.get("models/iris/versions/1").json["reproduced"] == expected


def test_what_cannot_be_reproduced_is_refused(api: Api, problem: Problem) -> None:
    def refused(spec: dict[str, Any], *loc: str) -> str:
        answer = api.post("jobs", json={"kind": "reproduce", "spec": spec})
        found = problem(answer, 422, *loc)["errors"][0]["msg"]
        return str(found)

    api.ready_dataset()
    api.model_version()
    _lineage(api)
    assert "no model 'rose'" in refused({"model": "rose"}, "spec", "model")
    assert "no version 9" in refused({"model": "iris@9"}, "spec", "model")
    refused({}, "spec", "model")
    refused({"model": "iris", "threads": 2}, "spec", "threads")
    assert api.call("DELETE", "datasets/iris/versions/1?force=true").status_code == 204
    assert "deleted" in refused({"model": "iris"}, "spec", "model")


def test_a_retry_resumes_only_if_asked(api: Api, problem: Problem) -> None:
    api.ready_dataset()
    job = api.submit().json["id"]
    older, newer = api.store(b"older"), api.store(b"newer")
    with api.parts.database.transaction() as session:
        lease = transitions.start(session, session.get_one(Job, job), worker="w", now=NOW, lease_s=60)
        for file in (api.store(b"oldest"), older, newer, newer):
            checkpoints.keep(session, lease, file, NOW)
        transitions.request_cancel(session, "default", job, NOW)
        transitions.cancel(session, lease, now=NOW)

    def left(id: str) -> list[Any]:
        with api.parts.database.read() as session:
            return checkpoints.of(session, id)

    assert left(job) == [newer, older]
    for body in ({}, {"json": {}}, {"json": {"resume": False}}):
        assert left(api.post(f"jobs/{job}/retry", **body).json["id"]) == []
    resumed = api.post(f"jobs/{job}/retry", json={"resume": True}).json
    assert left(resumed["id"]) == left(job) == [newer, older]
    problem(api.post(f"jobs/{job}/retry", json={"resume": "yes"}), 422, "resume")
    problem(api.post(f"jobs/{job}/retry", json={"again": True}), 422, "again")
    problem(api.post(f"jobs/{job}/retry", data="{}", content_type="text/plain"), 415)


def test_success_releases_the_checkpoints(api: Api) -> None:
    api.ready_dataset()
    job = api.submit().json["id"]
    with api.parts.database.transaction() as session:
        lease = transitions.start(session, session.get_one(Job, job), worker="w", now=NOW, lease_s=60)
        checkpoints.keep(session, lease, api.store(b"state"), NOW)
        transitions.succeed(session, lease, result={}, now=NOW)
        assert checkpoints.of(session, job) == []
