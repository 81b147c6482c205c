"""Datasets: upload, look at, delete."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contract.api import NOW, Api
from headrace.jobs import transitions
from headrace.jobs.tables import Job

Problem = Callable[..., dict[str, Any]]

CONTENT = b"id,x,label\n1,2.5,a\n"


def test_an_upload_is_accepted_and_ingested_by_a_job(api: Api) -> None:
    digest = hashlib.sha256(CONTENT)
    header = f"sha-256=:{b64encode(digest.digest()).decode()}:"
    answer = api.upload(
        "iris", CONTENT, headers={"Content-Digest": header}, query="filename=Iris%20%C3%A9.csv&types=x:text"
    )
    assert answer.status_code == 202
    assert answer.headers["Location"] == "/api/v1/datasets/iris/versions/1"
    version = answer.json
    assert version == api.get("datasets/iris/versions/1").json
    assert version["dataset"] == "iris"
    assert (version["version"], version["state"]) == (1, "ingesting")
    assert (version["digest"], version["size_bytes"]) == (f"sha256:{digest.hexdigest()}", len(CONTENT))
    assert (version["filename"], version["media_type"]) == ("Iris é.csv", "text/csv")
    assert version["rows"] is version["columns"] is version["error"] is None
    job = api.get(f"jobs/{version['job']}").json
    assert (job["kind"], job["state"], job["spec"]["types"]) == ("ingest", "queued", {"x": "text"})
    assert job["created_by"] == version["created_by"]


def test_the_same_bytes_give_the_same_version(api: Api) -> None:
    first = api.upload("iris", CONTENT)
    before = api.footprint()
    again = api.upload("iris", CONTENT)
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json == again.json
    assert api.footprint() == before
    other = api.upload("iris", CONTENT + b"2,3,b\n")
    assert (other.status_code, other.json["version"]) == (202, 2)
    assert api.get("datasets/iris").json["latest_version"] == 2


def test_bytes_that_failed_are_ingested_again(api: Api) -> None:
    first = api.upload("iris", CONTENT)
    api.post(f"jobs/{first.json['job']}/cancel")
    failed = api.get("datasets/iris/versions/1").json
    assert (failed["state"], failed["error"]["type"]) == ("failed", "Cancelled")
    again = api.upload("iris", CONTENT)
    assert again.status_code == 202
    assert (again.json["version"], again.json["state"]) == (1, "ingesting")
    assert again.json["job"] != first.json["job"]


def test_a_ready_version_shows_what_is_in_it(api: Api, problem: Problem) -> None:
    api.upload("wait", b"x\n1\n")
    for part in ("profile", "rows"):
        problem(api.get(f"datasets/wait/versions/1/{part}"), 409)
    api.ready_dataset()
    version = api.get("datasets/iris/versions/1").json
    assert (version["state"], version["rows"]) == ("ready", 1)
    assert version["columns"][1] == {"name": "x", "type": "number", "nullable": True}
    assert api.get("datasets/iris/versions/1/profile").json == {"columns": {}}
    assert api.get("datasets/iris/versions/1/rows?limit=2").json == {
        "columns": ["id"],
        "rows": [{"id": 1}, {"id": 2}],
    }
    for limit in ("0", "201"):
        problem(api.get(f"datasets/iris/versions/1/rows?limit={limit}"), 422, "query", "limit")


def test_a_version_that_a_lineage_needs_is_kept(api: Api, problem: Problem) -> None:
    api.ready_dataset()
    api.model_version()
    problem(api.call("DELETE", "datasets/iris/versions/1"), 409)
    problem(api.call("DELETE", "datasets/iris/versions/1?force=maybe"), 422, "query", "force")
    assert api.call("DELETE", "datasets/iris/versions/1?force=true").status_code == 204
    problem(api.get("datasets/iris/versions/1"), 404)
    problem(api.call("DELETE", "datasets/iris/versions/1"), 404)
    assert api.get("models/iris/versions/1").status_code == 200


def test_numbers_of_versions(api: Api, problem: Problem) -> None:
    api.upload("iris")
    for number in ("2", "0", "-1", "01", "1.0", "one", "9" * 30):
        problem(api.get(f"datasets/iris/versions/{number}"), 404)


def test_an_upload_leaves_nothing_in_staging(api: Api) -> None:
    api.upload("iris", b"x" * 900_000)
    staging = Path(api.parts.settings.artifacts_url.removeprefix("file://")) / "staging"
    assert list(staging.iterdir()) == []


def test_a_failed_ingest_tells_why(api: Api) -> None:
    job = api.upload("iris").json["job"]
    with api.parts.database.transaction() as session:
        row = session.get_one(Job, job)
        lease = transitions.start(session, row, worker="w", now=NOW, lease_s=60)
        transitions.fail(
            session,
            lease,
            type="BadData",
            message="line 7 has 2 fields, not 3",
            retryable=False,
            now=NOW,
            backoff=transitions.Backoff(),
        )
    version = api.get("datasets/iris/versions/1").json
    assert version["state"] == "failed"
    assert version["error"]["message"] == "line 7 has 2 fields, not 3"


@pytest.mark.parametrize(
    "media_type", ["text/csv", "application/x-ndjson", "application/vnd.apache.parquet", "application/zip"]
)
def test_every_kind_of_file_is_taken(api: Api, media_type: str) -> None:
    answer = api.upload("files", content_type=media_type)
    assert answer.status_code == 202
    assert answer.json["media_type"] == media_type
