"""Files that go out: whole, in ranges, with their digests; never wrong bytes."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contract.api import NOW, Api
from headrace.artifacts import service as artifacts
from headrace.errors import ArtifactCorrupt
from headrace.jobs.tables import Job

Problem = Callable[..., dict[str, Any]]

CONTENT = bytes(range(256)) * 10_000
DIGEST = f"sha-256=:{b64encode(hashlib.sha256(CONTENT).digest()).decode()}:"


@pytest.fixture(scope="module")
def output(shared_api: Api) -> tuple[Api, str]:
    """The path of a job's output that is `CONTENT`."""
    version = shared_api.model_version()
    body = {"kind": "predict", "spec": {"model": f"iris@{version}", "dataset": "iris", "format": "csv"}}
    answer = shared_api.post("jobs", json=body)
    assert answer.status_code == 202, answer.text
    stored = shared_api.store(CONTENT)
    with shared_api.parts.database.transaction() as session:
        job = session.get_one(Job, answer.json["id"])
        artifacts.attach(session, project=job.project, owner=job.id, files={"output": stored}, now=NOW)
    return shared_api, f"jobs/{job.id}/output"


def test_the_whole(output: tuple[Api, str]) -> None:
    api, path = output
    answer = api.get(path)
    assert answer.status_code == 200
    assert answer.data == CONTENT
    assert answer.headers["Content-Digest"] == answer.headers["Repr-Digest"] == DIGEST
    assert answer.headers["Content-Length"] == str(len(CONTENT))
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.content_type == "text/csv"
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_head_has_no_body(output: tuple[Api, str]) -> None:
    api, path = output
    answer = api.call("HEAD", path, headers={"Range": "bytes=0-1"})
    assert (answer.status_code, answer.data) == (200, b"")
    assert answer.headers["Content-Length"] == str(len(CONTENT))
    assert answer.headers["Content-Digest"] == DIGEST


@pytest.mark.parametrize(
    ("wanted", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=5-9", 5, 10),
        ("bytes=2559999-", 2_559_999, 2_560_000),
        ("bytes=2559990-9999999", 2_559_990, 2_560_000),
        ("bytes=-7", 2_559_993, 2_560_000),
        ("bytes=-9999999", 0, 2_560_000),
        ("bytes=1-2400000", 1, 2_400_001),
    ],
)
def test_a_range(output: tuple[Api, str], wanted: str, start: int, stop: int) -> None:
    api, path = output
    answer = api.get(path, headers={"Range": wanted})
    assert answer.status_code == 206
    assert answer.data == CONTENT[start:stop]
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(CONTENT)}"
    assert answer.headers["Content-Length"] == str(stop - start)
    assert answer.headers["Repr-Digest"] == DIGEST
    assert "Content-Digest" not in answer.headers


@pytest.mark.parametrize("wanted", ["bytes=2560000-", "bytes=9999999-10000000", "bytes=-0"])
def test_a_range_outside(output: tuple[Api, str], problem: Problem, wanted: str) -> None:
    api, path = output
    answer = api.get(path, headers={"Range": wanted})
    problem(answer, 416)
    assert answer.headers["Content-Range"] == f"bytes */{len(CONTENT)}"


@pytest.mark.parametrize("wanted", ["bytes=0-1,5-6", "lines=0-1", "bytes=a-b", "bytes=9-1", "bytes", ""])
def test_a_range_that_means_nothing_gives_the_whole(output: tuple[Api, str], wanted: str) -> None:
    api, path = output
    answer = api.get(path, headers={"Range": wanted})
    assert answer.status_code == 200
    assert answer.data == CONTENT


def test_what_has_not_changed_is_not_sent_again(output: tuple[Api, str]) -> None:
    api, path = output
    etag = api.get(path).headers["ETag"]
    again = api.get(path, headers={"If-None-Match": etag})
    assert (again.status_code, again.data) == (304, b"")
    same = api.get(path, headers={"Range": "bytes=0-1", "If-Range": etag})
    other = api.get(path, headers={"Range": "bytes=0-1", "If-Range": '"other"'})
    assert (same.status_code, other.status_code) == (206, 200)


def test_other_files(shared_api: Api, problem: Problem) -> None:
    version = shared_api.model_version("files")
    archive = shared_api.get(f"models/files/versions/{version}/archive")
    assert archive.data == b"package " * 100
    assert archive.headers["Content-Disposition"] == f"attachment; filename=files-{version}.zip"
    assert shared_api.get(f"models/files/versions/{version}/evaluation").json == {"metrics": {}}
    assert shared_api.get("datasets/iris/versions/1/profile").json == {"columns": {}}
    job = shared_api.submit().json["id"]
    problem(shared_api.get(f"jobs/{job}/output"), 404)
    problem(shared_api.get(f"jobs/{job}/evaluation"), 404)


def _file(api: Api, content: bytes) -> Path:
    name = hashlib.sha256(content).hexdigest()
    return next(Path(api.parts.settings.data).rglob(name))


def _spoil(path: Path) -> None:
    content = path.read_bytes()
    path.chmod(0o640)
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def test_a_small_file_that_has_gone_bad_is_a_fault(api: Api, problem: Problem) -> None:
    api.ready_dataset()
    version = api.model_version()
    _spoil(_file(api, b"package " * 100))
    problem(api.get(f"models/iris/versions/{version}/archive"), 500)


def test_a_large_file_that_has_gone_bad_never_arrives_whole(api: Api) -> None:
    job = api.upload("any").json["job"]
    stored = api.store(CONTENT)
    with api.parts.database.transaction() as session:
        artifacts.attach(session, project="default", owner=job, files={"output": stored}, now=NOW)
    _spoil(_file(api, CONTENT))
    headers = {"Authorization": f"Bearer {api.key}"}
    answer = api.client.get(f"/api/v1/jobs/{job}/output", headers=headers)
    sent: list[bytes] = []
    with pytest.raises(ArtifactCorrupt):
        sent.extend(answer.response)  # type: ignore[arg-type]
    answer.close()
    assert answer.status_code == 200
    assert 0 < sum(map(len, sent)) < len(CONTENT)


def test_a_file_that_is_gone_is_a_fault(api: Api, problem: Problem) -> None:
    api.ready_dataset()
    version = api.model_version()
    _file(api, b"package " * 100).unlink()
    answer = api.get(f"models/iris/versions/{version}/archive")
    assert "sha256" not in problem(answer, 500)["detail"]
    problem(api.get(f"models/iris/versions/{version}/archive", headers={"Range": "bytes=0-1"}), 500)
