"""Every path that writes rows about bytes: durable before visible, and a clean answer where that fails."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from contract.api import NOW, Api
from contract.artifacts.test_stores import LARGE, digest_of, put
from contract.conftest import KEYS
from headrace import scheduler
from headrace.access import service as access
from headrace.artifacts import service as artifacts
from headrace.artifacts.collector import Collector
from headrace.artifacts.protocol import Stored
from headrace.artifacts.s3 import S3Store
from headrace.config import Settings
from headrace.errors import Collected
from headrace_web.app import create_app
from headrace_web.calls import Parts

Problem = Callable[..., dict[str, Any]]


@pytest.fixture
def api_on_s3(
    bucket: S3Store, make_database: Callable[[str], AbstractContextManager[str]], tmp_path: Path
) -> Iterator[Api]:
    with make_database("sqlite") as url:
        settings = Settings.load(
            {}, data=tmp_path, database_url=url, broker_url="memory://", artifacts_url="s3://artifacts/web"
        )
        app = create_app(settings, clock=lambda: NOW)
        parts = Parts.of(app)
        with parts.database.transaction() as session:
            name, project, role = KEYS[2]
            _, key = access.create_key(session, project=project, role=role, name=name, now=NOW)
        yield Api(app.test_client(), parts, key)
        parts.close()


def test_uploads_and_downloads_whole_and_in_ranges_on_s3(api_on_s3: Api) -> None:
    api = api_on_s3
    answer = api.upload("iris")
    assert answer.status_code == 202, answer.text
    assert list(api.parts.store.digests()) == [answer.json["digest"]]
    output = put(api.parts.store, LARGE)
    api.ready_dataset()
    job = api.submit().json["id"]
    with api.parts.database.transaction() as session:
        artifacts.attach(session, project="default", owner=job, files={"output": output}, now=NOW)
    assert api.get(f"jobs/{job}/output").data == LARGE
    part = api.get(f"jobs/{job}/output", headers={"Range": "bytes=9000000-9000099"})
    assert (part.status_code, part.data) == (206, LARGE[9_000_000:9_000_100])
    api.parts.store.delete(output.digest)
    assert api.get(f"jobs/{job}/output").status_code == 500


@pytest.mark.parametrize(
    ("code", "status", "slug"), [(errno.ENOSPC, 507, "insufficient-storage"), (errno.EIO, 503, "unavailable")]
)
@pytest.mark.parametrize("call", ["fsync", "fchmod", "open"])
def test_an_upload_that_the_disk_does_not_take_is_answered_cleanly_and_leaves_nothing(
    api: Api, problem: Problem, monkeypatch: pytest.MonkeyPatch, call: str, code: int, status: int, slug: str
) -> None:
    before = api.footprint()

    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(f"headrace.artifacts.local.os.{call}", fail)
        answer: TestResponse = api.upload("iris", headers={"Idempotency-Key": "k"})
    body = problem(answer, status)
    assert body["type"].endswith(slug)
    assert "artifact store" in body["detail"]
    assert {k: v for k, v in api.footprint().items() if k != "files"} == {
        k: v for k, v in before.items() if k != "files"
    }
    Collector(api.parts.store, after=timedelta()).collect(api.parts.database)
    assert api.footprint() == before
    assert api.upload("iris", headers={"Idempotency-Key": "k"}).status_code == 202


def test_no_row_of_the_web_names_bytes_that_are_not_there(api: Api, problem: Problem) -> None:
    stored = Stored(digest_of(b"never stored"), 12)
    with api.parts.database.transaction() as session, pytest.raises(Collected):
        artifacts.attach(session, project="default", owner="o", files={"f": stored}, now=NOW)


def test_an_upload_whose_bytes_are_just_being_collected_may_be_sent_again(
    api: Api, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = api.parts.store
    put(store, b"id,x,label\n1,2.5,a\n")
    delete = store.delete
    answers = []

    def meanwhile(digest: str) -> None:
        answers.append(api.upload("iris"))
        delete(digest)

    with monkeypatch.context() as patch:
        patch.setattr(store, "delete", meanwhile)
        Collector(store, after=timedelta()).collect(api.parts.database)
    problem(answers[0], 503)
    assert answers[0].headers["Retry-After"] == "1"
    assert api.upload("iris").status_code == 202


def test_the_scheduler_collects(api: Api) -> None:
    put(api.parts.store, b"rubbish")
    settings = api.parts.settings.model_copy(
        update={"tick_s": 0.02, "collect_after_s": 0.05, "collect_every_s": 0.05}
    )
    stop = threading.Event()
    thread = threading.Thread(target=scheduler.run, args=(settings, stop))
    thread.start()
    deadline = time.monotonic() + 30
    while list(api.parts.store.digests()) and time.monotonic() < deadline:
        time.sleep(0.02)
    stop.set()
    thread.join()
    assert list(api.parts.store.digests()) == []
