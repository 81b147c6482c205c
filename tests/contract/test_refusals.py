"""What a client gets wrong is a problem that names the field, and leaves nothing behind."""

from __future__ import annotations

import hashlib
import io
import time
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest

from contract.api import TRAIN, Api
from headrace.jobs import transitions
from headrace.jobs.tables import Job

Problem = Callable[..., dict[str, Any]]


@pytest.mark.parametrize(
    ("change", "loc"),
    [
        ({"algorithm": "perceptrons"}, ["spec", "algorithm"]),
        ({"algorithm": ""}, ["spec", "algorithm"]),
        ({"target": "lable"}, ["spec", "target"]),
        ({"target": None}, ["spec", "target"]),
        ({"features": []}, ["spec", "features"]),
        ({"features": ["x", "nope"]}, ["spec", "features", 1]),
        ({"params": {"epochs": -1}}, ["spec", "params", "epochs"]),
        ({"params": {"epochs": "five"}}, ["spec", "params", "epochs"]),
        ({"params": {"epochs": 1e30}}, ["spec", "params", "epochs"]),
        ({"params": {"epochs": 10**30}}, ["spec", "params", "epochs"]),
        ({"params": {"epochs": None}}, ["spec", "params", "epochs"]),
        ({"params": {"epoch": 5}}, ["spec", "params", "epoch"]),
        ({"params": []}, ["spec", "params"]),
        ({"sead": 1}, ["spec", "sead"]),
        ({"seed": -1}, ["spec", "seed"]),
        ({"seed": True}, ["spec", "seed"]),
        ({"dataset": "rose"}, ["spec", "dataset"]),
        ({"dataset": "iris@2"}, ["spec", "dataset"]),
        ({"dataset": "iris@champion"}, ["spec", "dataset"]),
        ({"dataset": "iris@"}, ["spec", "dataset"]),
        ({"dataset": "../iris"}, ["spec", "dataset"]),
        ({"model": "A model"}, ["spec", "model"]),
        ({"model": "iris\n"}, ["spec", "model"]),
        ({"split": {"test": 2}}, ["spec", "split", "test"]),
        ({"split": {"by": "time:nope"}}, ["spec", "split", "by"]),
    ],
)
def test_a_wrong_field_of_a_spec(
    untouched: Api, problem: Problem, change: dict[str, Any], loc: list[str | int]
) -> None:
    problem(untouched.submit(TRAIN | change), 422, *loc)


@pytest.mark.parametrize(
    ("change", "loc"),
    [
        ({"kind": "ingest"}, ["kind"]),
        ({"kind": None}, ["kind"]),
        ({"spec": None}, ["spec"]),
        ({"spec": {}}, ["spec", "dataset"]),
        ({"prio": 1}, ["prio"]),
        ({"priority": 10}, ["priority"]),
        ({"priority": 2**70}, ["priority"]),
        ({"priority": "5"}, ["priority"]),
        ({"queue": "a b"}, ["queue"]),
        ({"max_attempts": 0}, ["max_attempts"]),
        ({"timeout_s": 0}, ["timeout_s"]),
        ({"timeout_s": 10**18}, ["timeout_s"]),
        ({"depends_on": ["job_0"]}, ["depends_on", 0]),
        ({"depends_on": "job_0"}, ["depends_on"]),
        ({"tags": {"team": 1}}, ["tags", "team"]),
        ({"name": "n" * 10_000}, ["name"]),
    ],
)
def test_a_wrong_field_of_a_job(
    untouched: Api, problem: Problem, change: dict[str, Any], loc: list[str | int]
) -> None:
    problem(untouched.post("jobs", json={"kind": "train", "spec": TRAIN} | change), 422, *loc)


@pytest.mark.parametrize("body", [b"[]", b"null", b'"train"', b"1", b"{}"])
def test_a_body_that_is_no_job(untouched: Api, problem: Problem, body: bytes) -> None:
    problem(untouched.post("jobs", data=body, content_type="application/json"), 422)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"kind": "train",}',
        b"\xff\xfe",
        b'\xef\xbb\xbf{"kind": "train"}',
        b'{"kind": "train"} {}',
        b'{"kind": "train", "kind": "predict", "spec": {}}',
        b"[" * 100_000,
        b"[" * 60 + b"]" * 60,
        b'{"a":' * 30_000,
        b'{"kind": "train", "spec": {"model": "a\\u0000b"}}',
        b'{"kind": "train", "spec": {"a\\u0000b": 1}}',
        b'{"kind": "train", "spec": {"model": "\\ud800"}}',
        b'{"kind": "train", "spec": {"params": {"l2": NaN}}}',
        b'{"kind": "train", "spec": {"params": {"l2": -Infinity}}}',
        b'{"kind": "train", "spec": {"params": {"l2": 1e999}}}',
        b'{"kind": "train", "spec": {"seed": ' + b"9" * 100_000 + b"}}",
    ],
    ids=lambda body: body[:40].decode("latin-1") + f" ({len(body)})",
)
def test_malformed_json(untouched: Api, problem: Problem, body: bytes) -> None:
    started = time.monotonic()
    problem(untouched.post("jobs", data=body, content_type="application/json"), 400)
    assert time.monotonic() - started < 1


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "", None])
def test_a_body_of_another_type(untouched: Api, problem: Problem, content_type: str | None) -> None:
    problem(untouched.post("jobs", data=b"{}", content_type=content_type), 415)


def test_an_upload_of_another_type(untouched: Api, problem: Problem) -> None:
    detail = problem(untouched.upload("iris", content_type="application/x-tar"), 415)["detail"]
    assert "text/csv" in detail


def test_json_above_the_limit(untouched: Api, problem: Problem) -> None:
    body = b'{"name": "' + b"n" * 200_000 + b'"}'
    problem(untouched.post("jobs", data=body, content_type="application/json"), 413)


def test_a_file_above_the_limit(untouched: Api, problem: Problem) -> None:
    problem(untouched.upload("iris", b"x" * 1_000_001), 413)


def test_a_file_above_the_limit_whose_length_was_not_announced(untouched: Api, problem: Problem) -> None:
    chunked = {"wsgi.input_terminated": True, "wsgi.input": io.BytesIO(b"x" * 1_000_001)}
    problem(untouched.post("datasets/iris/versions", content_type="text/csv", environ_overrides=chunked), 413)


def test_a_file_that_ends_before_its_announced_length(untouched: Api, problem: Problem) -> None:
    short = {"CONTENT_LENGTH": "500", "wsgi.input": io.BytesIO(b"id\n1\n")}
    problem(untouched.post("datasets/iris/versions", content_type="text/csv", environ_overrides=short), 400)


def test_an_empty_file(untouched: Api, problem: Problem) -> None:
    problem(untouched.upload("iris", b""), 400)


def _digest(content: bytes) -> str:
    return b64encode(hashlib.sha256(content).digest()).decode()


@pytest.mark.parametrize(
    "header",
    [f"sha-256=:{_digest(b'other')}:", "sha-256=:short:", "sha-256=abc", "sha-512=:AAAA:", "", "é"],
)
def test_a_wrong_digest(untouched: Api, problem: Problem, header: str) -> None:
    problem(untouched.upload("iris", b"id\n1\n", headers={"Content-Digest": header}), 400)


@pytest.mark.parametrize("name", ["Iris", "-iris", "i" * 101, "iris%0A", "i%00", "%2e%2e", "é"])
def test_a_dataset_by_a_bad_name(untouched: Api, problem: Problem, name: str) -> None:
    problem(untouched.upload(name), 422, "path", "name")
    problem(untouched.get(f"datasets/{name}"), 404)


@pytest.mark.parametrize("types", ["x", "x:colour", ":text", "x:text,x:number", ","])
def test_wrong_types_of_columns(untouched: Api, problem: Problem, types: str) -> None:
    problem(untouched.upload("iris", b"id\n2\n", query=f"types={types}"), 422, "query", "types")


def test_a_dataset_that_is_still_ingested_or_has_failed(api: Api, problem: Problem) -> None:
    job = api.upload("iris").json["job"]
    said = problem(api.submit(), 422, "spec", "dataset")
    assert "ready" in said["detail"]
    said = problem(api.submit(TRAIN | {"dataset": "iris@1"}), 422, "spec", "dataset")
    assert "ingested" in said["detail"]
    with api.parts.database.transaction() as session:
        row = session.get_one(Job, job)
        transitions.request_cancel(session, "default", row.id, row.created_at)
    said = problem(api.submit(TRAIN | {"dataset": "iris@1"}), 422, "spec", "dataset")
    assert "could not be ingested" in said["detail"]
    assert api.get("datasets/iris/versions/1").json["state"] == "failed"
    assert [job["kind"] for job in api.get("jobs").json["items"]] == ["ingest"]


def test_a_model_or_version_that_is_not_there(untouched: Api, problem: Problem) -> None:
    for ref in ("iris", "iris@1", "iris@champion"):
        body = {"kind": "predict", "spec": {"model": ref, "dataset": "iris"}}
        problem(untouched.post("jobs", json=body), 422, "spec", "model")


def test_a_dataset_of_another_project(untouched: Api, problem: Problem) -> None:
    said = problem(untouched.as_key("other").submit(), 422, "spec", "dataset")
    nothing = problem(
        untouched.as_key("other").submit(TRAIN | {"dataset": "nothing"}), 422, "spec", "dataset"
    )
    assert said["detail"].replace("iris", "nothing") == nothing["detail"]


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=ten", "limit"),
        ("limit=1&limit=2", "limit"),
        ("cursor=x", "cursor"),
        ("cursor=", "cursor"),
        ("cursor=%00", "cursor"),
        ("cursor=%C3%A9", "cursor"),
        ("state=done", "state"),
        ("created_after=yesterday", "created_after"),
        ("created_after=2027-01-01T00:00:00", "created_after"),
        ("created_after=0001-01-01T00:00:00%2B14:00", "created_after"),
        ("created_before=9999-12-31T23:59:59-14:00", "created_before"),
        ("created_before=1700000000", "created_before"),
        ("tag=team", "tag"),
        ("q=a%00", "q"),
        ("stat=queued", "stat"),
    ],
)
def test_a_wrong_query_parameter(untouched: Api, problem: Problem, query: str, name: str) -> None:
    problem(untouched.get(f"jobs?{query}"), 422, "query", name)


def test_every_wrong_field_is_told_at_once(untouched: Api, problem: Problem) -> None:
    said = problem(untouched.post("jobs", json={"kind": "x", "spec": 1, "more": 2}), 422)
    assert sorted(error["loc"] for error in said["errors"]) == [["kind"], ["more"], ["spec"]]


def test_a_body_where_none_is_wanted(untouched: Api, problem: Problem) -> None:
    problem(untouched.post("jobs/job_0/cancel", json={"force": True}), 422, "force")
    problem(untouched.post("jobs/job_0/cancel", json={}), 404)


@pytest.mark.parametrize(
    "path", ["/nope", "/api", "/api/v1/jobs/", "/api/v1//jobs", "/api/v1/jobs/%00", "/static/x"]
)
def test_an_unknown_path(untouched: Api, problem: Problem, path: str) -> None:
    problem(untouched.get(path), 404)


def test_a_wrong_method(untouched: Api, problem: Problem) -> None:
    for path, allowed in [
        ("jobs", {"GET", "HEAD", "OPTIONS", "POST"}),
        ("jobs/job_0/cancel", {"POST", "OPTIONS"}),
    ]:
        answer = untouched.call("PATCH", path)
        problem(answer, 405)
        assert set(answer.headers["Allow"].split(", ")) == allowed


def test_a_fault_of_the_server_tells_nothing(
    untouched: Api, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr("headrace_web.api.jobs.service.submit", fail)
    answer = untouched.submit()
    problem(answer, 500)
    assert "secret" not in answer.text
