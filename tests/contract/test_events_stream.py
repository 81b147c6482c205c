"""Live events: each viewer sees every event once and in order, whatever happens meanwhile."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from werkzeug.test import TestResponse

from contract.api import NOW, Api
from contract.server import Server, answers, serve, wait
from headrace.access import service as access
from headrace.client import Client
from headrace.config import Settings
from headrace.db import Database
from headrace.jobs import claims, leases, transitions
from headrace.jobs.events import Event
from headrace.jobs.leases import Lease
from headrace_web import live

Problem = Callable[..., dict[str, Any]]
Seen = tuple[int, str, dict[str, Any]]

SSE = {"Accept": "text/event-stream"}
VIEWERS = int(os.environ.get("HEADRACE_TEST_VIEWERS", "25"))


def _parse(lines: Iterator[str]) -> Iterator[Seen]:
    """Yield the id, event and data of each event; whatever else is no comment and no retry fails."""
    block: dict[str, str] = {}
    for line in lines:
        if not line and block:
            assert list(block) == ["id", "event", "data"]
            yield int(block["id"]), block["event"], json.loads(block["data"])
            block = {}
        elif line and not line.startswith((":", "retry: ")):
            name, _, block[name] = line.partition(": ")


@dataclass
class Worker:
    """What a worker does to the job that it has claimed."""

    database: Database
    lease: Lease
    step: int = 0

    @classmethod
    def claim(cls, database: Database) -> Worker:
        with database.transaction() as session:
            lease = claims.claim(
                session, worker="w", queues=("default",), lane="light", now=NOW, lease_s=3600
            )
        assert lease is not None
        return cls(database, lease)

    def tell(self, count: int) -> None:
        """Write ``count`` events in one transaction."""
        happened = []
        for _ in range(count):
            self.step += 1
            happened.append(Event("metric", {"name": "loss", "step": self.step, "value": 1 / self.step}))
        with self.database.transaction() as session:
            leases.renew(session, self.lease, now=NOW, lease_s=3600, happened=happened)

    def fail(self) -> None:
        with self.database.transaction() as session:
            transitions.fail(
                session,
                self.lease,
                type="BadData",
                message="two\nlines",
                retryable=False,
                now=NOW,
                backoff=transitions.Backoff(),
            )


@pytest.fixture
def worker(api: Api) -> Worker:
    """A worker with a running job, which has two events."""
    assert api.upload("d").status_code == 202
    return Worker.claim(api.parts.database)


def _open(api: Api, job: str, **options: Any) -> TestResponse:
    headers = {"Authorization": f"Bearer {api.key}", **SSE, **options.pop("headers", {})}
    return api.client.open(f"/api/v1/jobs/{job}/events", headers=headers, buffered=False, **options)


def _all(answer: TestResponse) -> list[Seen]:
    """Read a stream to its end."""
    text = b"".join(answer.iter_encoded()).decode()
    answer.close()
    return list(_parse(iter(text.split("\n"))))


def test_an_ended_job_is_told_whole_and_resumed(api: Api, worker: Worker, problem: Problem) -> None:
    worker.tell(live.PAGE + 10)
    worker.fail()
    job = worker.lease.job
    count = live.PAGE + 13
    answer = _open(api, job)
    assert answer.status_code == 200
    assert answer.mimetype == "text/event-stream"
    assert answer.headers["Cache-Control"] == "no-store"
    seen = _all(answer)
    assert [number for number, _, _ in seen] == list(range(1, count + 1))
    listed = [
        event
        for after in range(0, count, 200)
        for event in api.get(f"jobs/{job}/events?limit=200&after={after}").json["items"]
    ]
    assert [data for _, _, data in seen] == listed
    assert [kind for _, kind, _ in seen] == [event["type"] for event in listed]
    assert seen[-1][2]["data"]["state"] == "failed"

    assert _all(_open(api, job, headers={"Last-Event-ID": "100"})) == seen[100:]
    assert _all(_open(api, job, query_string={"after": "100"})) == seen[100:]
    assert _all(_open(api, job, query_string={"after": "7"}, headers={"Last-Event-ID": "100"})) == seen[100:]
    assert _all(_open(api, job, query_string={"after": "9999"})) == []
    # What an EventSource takes as: do not come back.
    assert _open(api, job, headers={"Last-Event-ID": str(count)}).status_code == 204
    for bad in ("x", "-1", "1e3", "9" * 30):
        problem(_open(api, job, headers={"Last-Event-ID": bad}), 422, "header", "Last-Event-ID")
    problem(_open(api.as_key("other"), job), 404)
    problem(_open(api.as_key(None), job, headers={"Authorization": ""}), 401)
    for accept in ("", "*/*", "application/json", "text/event-stream;q=0.5, application/json"):
        assert _open(api, job, headers={"Accept": accept}).json["items"]


def test_viewers_who_come_at_any_time_see_the_same(api: Api, worker: Worker) -> None:
    job = worker.lease.job
    with ThreadPoolExecutor(4) as pool:
        early = pool.submit(_all, _open(api, job))
        worker.tell(3)
        later = pool.submit(_all, _open(api, job))
        _until_seen(api, job, 5)
        worker.tell(5)
        latest = pool.submit(_all, _open(api, job, headers={"Last-Event-ID": "4"}))
        _until_seen(api, job, 10)
        worker.tell(1)
        worker.fail()
        seen = early.result(10)
        assert [number for number, _, _ in seen] == list(range(1, 13))
        assert seen == later.result(10)
        assert seen[4:] == latest.result(10)


def _until_seen(api: Api, job: str, number: int) -> None:
    """Wait until the poller has passed event ``number`` on."""
    wait(lambda: api.parts.feed.heads().get(job, 0) >= number, 5)


def test_who_comes_while_the_poller_reads_sees_nothing_twice(
    api: Api, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = worker.lease.job
    first, later = _open(api, job), []
    real = live.queries.news

    def news(*args: Any) -> Any:
        found = real(*args)
        if found and not later:
            first.close()
            later.append(_open(api, job))
        return found

    monkeypatch.setattr(live.queries, "news", news)
    worker.tell(3)
    wait(lambda: later, 5)
    worker.fail()
    assert [number for number, _, _ in _all(later[0])] == list(range(1, 7))


def test_there_are_so_many_streams_and_no_more(api: Api, worker: Worker, problem: Problem) -> None:
    job = worker.lease.job
    api.parts.feed.most = 2
    first, second = _open(api, job), _open(api, job)
    answer = _open(api, job)
    problem(answer, 503)
    assert int(answer.headers["Retry-After"]) > 0
    assert api.get(f"jobs/{job}/events").status_code == 200
    first.close()
    # Nothing is sent of these, and still they leave.
    for _ in range(3):
        head = _open(api, job, method="HEAD")
        assert head.status_code == 200
        head.close()
    third = _open(api, job)
    assert third.status_code == 200
    second.close()
    third.close()
    wait(lambda: not [t for t in threading.enumerate() if t.name == live.THREAD], 5)


def test_who_is_too_slow_is_let_go_and_comes_back(api: Api, worker: Worker) -> None:
    feed = api.parts.feed
    answer = _open(api, worker.lease.job)
    quick = _open(api, worker.lease.job)
    with ThreadPoolExecutor(1) as pool:
        everything = pool.submit(_all, quick)
        for number in range(live.MOST_WAITING + 1):
            worker.tell(1)
            _until_seen_or_gone(feed, worker.lease.job, number + 3)
        worker.fail()
        count = live.MOST_WAITING + 4
        assert [number for number, _, _ in everything.result(10)] == list(range(1, count + 1))
    seen = _all(answer)
    assert seen == everything.result()[: len(seen)]
    assert len(seen) < count
    last = seen[-1][0]
    rest = _all(_open(api, worker.lease.job, headers={"Last-Event-ID": str(last)}))
    assert seen + rest == everything.result()


def test_who_knows_more_than_the_poller_sees_nothing_twice(
    api: Api, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(live.Feed, "_run", lambda feed: None)  # it looks when this test says so
        first = _open(api, worker.lease.job)
        worker.tell(3)
        listed = api.get(f"/api/v1/jobs/{worker.lease.job}/events").json["items"][-1]["seq"]
        second = _open(api, worker.lease.job, headers={"Last-Event-ID": str(listed)})
        worker.tell(1)
        worker.fail()
        api.parts.feed.look()
        assert [number for number, _, _ in _all(first)] == list(range(1, listed + 3))
        assert [number for number, _, _ in _all(second)] == [listed + 1, listed + 2]


def _until_seen_or_gone(feed: live.Feed, job: str, number: int) -> None:
    feed.look()
    assert feed.heads().get(job, number) >= number


def test_a_revoked_key_sees_no_more(api: Api, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "RECHECK_S", 0.0)
    with api.parts.database.transaction() as session:
        row, key = access.create_key(session, project="default", role="viewer", name="", now=NOW)
    answer = _open(api.as_key(key), worker.lease.job)
    with ThreadPoolExecutor(1) as pool:
        seen = pool.submit(_all, answer)
        with api.parts.database.transaction() as session:
            access.revoke_key(session, "default", row.id, NOW)
        worker.tell(1)
        assert [number for number, _, _ in seen.result(5)] == [1, 2]


def test_a_quiet_stream_says_that_it_is_alive(
    api: Api, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "HEARTBEAT_S", 0.01)
    answer = _open(api, worker.lease.job)
    pieces = answer.iter_encoded()
    assert [next(pieces) for _ in range(4)][2:] == [b": still here\n\n"] * 2
    answer.close()


def test_a_process_that_is_to_end_keeps_no_stream(api: Api, worker: Worker) -> None:
    stopping = threading.Event()
    api.parts.feed.stop_when(stopping.is_set)
    answer = _open(api, worker.lease.job)
    with ThreadPoolExecutor(1) as pool:
        everything = pool.submit(_all, answer)
        stopping.set()
        assert [number for number, _, _ in everything.result(5)] == [1, 2]


@pytest.fixture
def server(tmp_path: Path, sqlite_template: Path) -> Iterator[Server]:
    with serve(tmp_path, sqlite_template) as server:
        yield server


def _watch(server: Server, job: str) -> tuple[list[int], int]:
    """Watch a job to its end as a browser does; return the numbers seen, and how often it had to resume."""
    seen: list[int] = []
    resumed = -1
    with httpx.Client(base_url=server.settings.local_url, headers=server.http.headers, timeout=30) as http:
        while True:
            headers = SSE | ({"Last-Event-ID": str(seen[-1])} if seen else {})
            try:
                with http.stream("GET", f"/api/v1/jobs/{job}/events", headers=headers) as answer:
                    if answer.status_code == 503:  # it is about to end
                        time.sleep(0.05)
                        continue
                    assert answer.status_code == 200
                    resumed += 1
                    for number, kind, data in _parse(answer.iter_lines()):
                        seen.append(number)
                        if kind == "state" and data["data"]["state"] == "failed":
                            return seen, resumed
            except httpx.TransportError:
                time.sleep(0.05)


def test_many_viewers_through_restarts_of_the_web_process(server: Server) -> None:
    answer = server.http.post(
        "/api/v1/datasets/d/versions", content=b"a\n1\n", headers={"Content-Type": "text/csv"}
    )
    job = answer.json()["job"]
    database = Database(server.settings.database_url)
    worker = Worker.claim(database)
    followed: list[int] = []
    settings = Settings.load({}, data=server.settings.data)
    key = server.http.headers["Authorization"].removeprefix("Bearer ")
    with (
        Client(server.settings.local_url, key, settings=settings) as client,
        ThreadPoolExecutor(VIEWERS + 1) as pool,
    ):
        viewers = [pool.submit(_watch, server, job) for _ in range(VIEWERS)]
        ended = pool.submit(client.wait, job, on_event=lambda event: followed.append(event["seq"]))
        for end in (None, "terminate", "kill"):
            process = server.worker
            for _ in range(10):
                worker.tell(3)
                time.sleep(0.1)
                assert server.http.get(f"/api/v1/jobs/{job}").status_code == 200
            if end:
                getattr(process, end)()
                process.wait(10)
                wait(lambda: answers(server))
        worker.tell(1)
        worker.fail()
        for viewer in viewers:
            seen, resumed = viewer.result(20)
            assert seen == list(range(1, 95))
            assert resumed == 2
        assert ended.result(20)["state"] == "failed"
        assert followed == list(range(1, 95))
    database.close()
