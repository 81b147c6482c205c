"""A ``.keras`` file uploaded over the API: what is taken, what is refused, and what comes of it."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

from contract.api import NOW, TRAIN, Api
from contract.test_dashboard import signed_in
from headrace.artifacts import service as artifacts
from headrace.jobs import retention, transitions
from headrace.jobs.kinds import reproduce, train, upload
from headrace.jobs.tables import Job
from headrace.registry import service as registry
from headrace.specs.keras_file import MEDIA_TYPE
from headrace.specs.task import Done

Problem = Callable[..., dict[str, Any]]

CONFIG = {"class_name": "Sequential", "config": {"layers": []}}
READ = {
    "params": {"architecture": CONFIG},
    "parameters": 1234,
    "weights_digest": "sha256:" + "1" * 64,
    "keras_version": "3.15.1",
    "environment": {},
}


def zipped(*names: str) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        for name in names:
            file.writestr(name, b"{}")
    return data.getvalue()


FILE = zipped("metadata.json", "config.json", "model.weights.h5")


def _upload(api: Api, name: str = "net", content: bytes = FILE, **options: Any) -> Any:
    query = options.pop("query", "?filename=net.keras")
    path = f"models/{name}/versions{query}"
    return api.post(path, data=content, **({"content_type": MEDIA_TYPE} | options))


def _read(api: Api, job: str) -> dict[str, Any]:
    """Do what the upload's job would do."""
    with api.parts.database.transaction() as session:
        row = session.get_one(Job, job)
        assert set(upload.prepare(session, row).inputs) == {"source"}
        return upload.commit(session, row, Done(result=READ, outputs={}), {"package": api.store(b"net")}, NOW)


def test_a_job_makes_the_next_version_of_it(api: Api) -> None:
    answer = _upload(api)
    job = answer.json
    assert (answer.status_code, job["kind"], job["state"]) == (202, "upload", "queued")
    assert answer.headers["Location"] == f"/api/v1/jobs/{job['id']}"
    assert job["spec"]["filename"] == "net.keras"
    assert api.get("models/net").status_code == 404
    assert _read(api, job["id"]) == {"model": "net", "version": 1, "parameters": 1234}
    version = api.get("models/net/versions/1").json
    assert (version["algorithm"], version["task"], version["metrics"]) == ("keras", "backbone", {})
    assert version["lineage"]["uploaded"] == {
        "digest": job["spec"]["digest"],
        "size_bytes": len(FILE),
        "filename": "net.keras",
        "keras_version": "3.15.1",
    }
    assert api.get("models/net/versions/1/archive").data == b"net"
    assert api.get("models/net/versions/1/evaluation").status_code == 404
    # The package holds all of it that is needed.
    with api.parts.database.read() as session:
        assert artifacts.attached(session, job["id"]) == {}


def test_the_same_key_does_not_upload_twice(api: Api) -> None:
    headers = {"Idempotency-Key": "k1"}
    first, again = (_upload(api, headers=headers) for _ in range(2))
    assert again.json == first.json
    assert again.headers["Idempotency-Replayed"] == "true"
    other = _upload(api, content=zipped("config.json"), headers=headers)
    assert other.status_code == 422


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "this is an HDF5 file (.h5)"),
        (pickle.dumps({"a": 1}), "this is a pickle, which runs code"),
        (b"\x93NUMPY\x01\x00" + bytes(100), "this is a NumPy array"),
        (b"x\x9c" + bytes(100), "this is a compressed stream, as joblib"),
        (b"\x1f\x8b" + bytes(100), "this is a gzip file"),
        (b"PK", "this is no zip file"),
        (b"#!/bin/sh\n" + FILE, "this is no zip file"),
    ],
)
def test_what_is_no_keras_file_is_refused_by_its_content(
    untouched: Api, problem: Problem, content: bytes, says: str
) -> None:
    for query in ("?filename=net.keras", ""):
        found = problem(_upload(untouched, content=content, query=query), 422, "body")
        assert says in found["errors"][0]["msg"]
        assert "model.save" in found["errors"][0]["msg"]


def test_other_wrong_uploads(untouched: Api, problem: Problem) -> None:
    problem(_upload(untouched, content=b""), 400)
    problem(_upload(untouched, content_type="text/csv"), 415)
    problem(_upload(untouched, "Net"), 422, "path", "name")
    wrong = {"Content-Digest": "sha-256=:" + "A" * 43 + "=:"}
    problem(_upload(untouched, headers=wrong), 400)
    problem(_upload(untouched.as_key("viewer")), 403)
    problem(untouched.post("jobs", json={"kind": "upload", "spec": {}}), 422, "kind")


def test_a_base_for_training_and_for_nothing_else(api: Api, problem: Problem) -> None:
    api.ready_dataset()
    _read(api, _upload(api).json["id"])
    for kind, spec in (
        ("evaluate", {"model": "net", "dataset": "iris"}),
        ("predict", {"model": "net@1", "dataset": "iris"}),
        ("reproduce", {"model": "net@1"}),
    ):
        found = problem(api.post("jobs", json={"kind": kind, "spec": spec}), 422, "spec", "model")
        assert "net@1 was uploaded and predicts nothing" in found["errors"][0]["msg"]
    found = problem(api.post("models/net@1/predict", json={"instances": [{"x": 1}]}), 404)
    assert "net@1 was uploaded and predicts nothing" in found["detail"]
    found = problem(api.submit(TRAIN | {"base": "net"}), 422, "spec", "base")
    assert "net@1 is a keras; mlp starts from a mlp" in found["errors"][0]["msg"]


def test_a_version_keeps_the_network_that_it_started_from(api: Api) -> None:
    api.ready_dataset()
    _read(api, _upload(api).json["id"])
    layers = [
        {"class_name": "Dense", "config": {"units": 4}},
        {"class_name": "Dense", "config": {"units": 3, "activation": "softmax"}},
    ]
    own = {"architecture": {"class_name": "Sequential", "config": {"layers": layers}}}
    with api.parts.database.transaction() as session:
        registry.version(session, "default", "net", 1).params = own
    spec = {"algorithm": "keras", "base": "net", "features": ["x"], "params": {"epochs": 2}}
    answer = api.submit(TRAIN | spec)
    assert answer.status_code == 202, answer.text
    assert answer.json["spec"]["base"] == "net@1"
    assert answer.json["spec"]["params"]["architecture"] == own["architecture"]
    assert answer.json["spec"]["features"] == ["x"]
    learned = {
        "metrics": {},
        "signature": {"inputs": [], "outputs": []},
        "task": "classification",
        "weights_digest": "sha256:" + "0" * 64,
        "environment": {},
        "rows": {},
    }
    with api.parts.database.transaction() as session:
        job = session.get_one(Job, answer.json["id"])
        package = artifacts.artifact(session, registry.version(session, "default", "net", 1).id, "package")
        inputs = train.prepare(session, job).inputs
        assert inputs["backbone"] == package.digest
        assert "base" not in inputs
        train.commit(session, job, Done(result=learned, outputs={}), {"package": api.store(b"tuned")}, NOW)
        again = Job(project="default", spec={"model": "iris@1"})
        assert reproduce.prepare(session, again).inputs["backbone"] == package.digest


def test_a_failed_upload_can_be_tried_again_until_it_is_forgotten(api: Api, problem: Problem) -> None:
    first = _upload(api).json["id"]
    with api.parts.database.transaction() as session:
        transitions.request_cancel(session, "default", first, NOW)
    answer = api.post(f"jobs/{first}/retry")
    assert (answer.status_code, answer.json["retry_of"]) == (202, first)
    assert _read(api, answer.json["id"])["version"] == 1
    with api.parts.database.transaction() as session:
        while retention.prune(session, now=NOW.replace(year=2030), kept_for=NOW - NOW):
            pass
        assert artifacts.attached(session, first) == {}
    problem(api.post(f"jobs/{first}/retry"), 409)


def test_its_pages(api: Api) -> None:
    _read(api, _upload(api).json["id"])
    browser = signed_in(api, "submitter")
    page = browser.get("/models/net/versions/1").text
    assert "predicts nothing by itself" in page
    assert "net.keras" in page
    assert "Predict with it" not in page
    assert "uploaded" in browser.get("/models/net").text
    assert 'data-upload="/models"' in browser.get("/models").text
