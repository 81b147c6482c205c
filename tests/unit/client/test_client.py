"""The client against a server that the test writes down: what is sent, sent again, believed."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from headrace.client import ApiError, Client, Unreachable, WaitedTooLong
from headrace.client.discovery import server
from headrace.config import Settings
from headrace.errors import DigestMismatch, HeadraceError

Handler = Callable[[httpx.Request], httpx.Response]
URL = "http://127.0.0.1:8700"


class Server:
    """Answers with ``handler`` and remembers the requests, bodies read."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        return self.handler(request)


@pytest.fixture
def client_of(tmp_path: Path) -> Iterator[Callable[[Handler], Client]]:
    made: list[Client] = []

    def make(handler: Handler) -> Client:
        settings = Settings.load({}, data=tmp_path)
        client = Client(
            URL, "hr_k", settings=settings, transport=httpx.MockTransport(handler), sleep=lambda _: None
        )
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()


ClientOf = Callable[[Handler], Client]


def answers(*outcomes: httpx.Response | Exception) -> Server:
    """A server that gives one outcome after the other."""
    left = list(outcomes)

    def handler(request: httpx.Request) -> httpx.Response:
        outcome = left.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return Server(handler)


def problem(status: int, **more: Any) -> httpx.Response:
    body = {"type": "/docs#problem/x", "title": "Some title", "status": status, **more}
    return httpx.Response(status, json=body, headers={"content-type": "application/problem+json"})


def test_a_lost_answer_is_asked_for_again_with_the_same_idempotency_key(client_of: ClientOf) -> None:
    fake = answers(httpx.ReadError("cut"), httpx.Response(202, json={"id": "job_1"}))
    assert client_of(fake).submit("train", {"model": "m"}, priority=9)["id"] == "job_1"
    first, second = fake.requests
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert json.loads(second.content) == {"kind": "train", "spec": {"model": "m"}, "priority": 9}
    assert second.headers["authorization"] == "Bearer hr_k"


def test_two_submissions_have_two_idempotency_keys(client_of: ClientOf) -> None:
    fake = Server(lambda _: httpx.Response(202, json={"id": "job_1"}))
    client = client_of(fake)
    client.submit("train", {})
    client.submit("train", {})
    first, second = fake.requests
    assert first.headers["idempotency-key"] != second.headers["idempotency-key"]


def test_what_is_not_known_to_be_repeatable_is_sent_once(client_of: ClientOf) -> None:
    fake = answers(httpx.ReadError("cut"))
    with pytest.raises(Unreachable):
        client_of(fake).cancel("job_1")
    assert len(fake.requests) == 1


def test_a_server_that_stays_away_is_given_up_with_a_hint(client_of: ClientOf) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("Connection refused")

    fake = Server(refuse)
    with pytest.raises(Unreachable, match="headrace up"):
        client_of(fake).job("job_1")
    assert len(fake.requests) == 5


def test_an_overloaded_server_is_asked_again_a_refusal_is_not(client_of: ClientOf) -> None:
    busy = httpx.Response(503, headers={"retry-after": "1"}, json={"title": "busy"})
    assert client_of(answers(busy, httpx.Response(200, json={"id": "j"}))).job("j")["id"] == "j"
    fake = answers(problem(404))
    with pytest.raises(ApiError):
        client_of(fake).job("j")
    assert len(fake.requests) == 1


def test_a_problem_becomes_an_error_that_names_the_fields(client_of: ClientOf) -> None:
    errors = [{"loc": ["spec", "params", "epochs"], "msg": "should be positive"}]
    refused = problem(422, detail="Some fields are wrong", errors=errors)
    with pytest.raises(ApiError) as caught:
        client_of(answers(refused)).submit("train", {})
    error = caught.value
    assert (error.status, error.title, error.type) == (422, "Some title", "/docs#problem/x")
    assert error.errors[0].loc == ("spec", "params", "epochs")
    assert "spec.params.epochs: should be positive" in str(error)


def test_an_answer_that_is_no_problem_document_is_told_too(client_of: ClientOf) -> None:
    with pytest.raises(ApiError, match="HTTP 500"):
        client_of(answers(httpx.Response(500, text="<html>"))).job("j")
    with pytest.raises(HeadraceError, match="Headrace server"):
        client_of(answers(httpx.Response(200, text="<html>"))).job("j")


def test_pages_are_followed_to_the_limit(client_of: ClientOf) -> None:
    def pages(request: httpx.Request) -> httpx.Response:
        start = int(request.url.params.get("cursor", "0"))
        limit = int(request.url.params["limit"])
        items = [{"id": f"job_{i}"} for i in range(start, min(start + limit, 450))]
        more = str(start + limit) if start + limit < 450 else None
        return httpx.Response(200, json={"items": items, "next_cursor": more})

    assert len(list(client_of(pages).jobs())) == 450
    fake = Server(pages)
    jobs = list(client_of(fake).jobs(limit=201, state="queued", kind=None))
    assert [jobs[0]["id"], jobs[-1]["id"], len(jobs)] == ["job_0", "job_200", 201]
    assert [r.url.params["limit"] for r in fake.requests] == ["200", "1"]
    assert fake.requests[1].url.params["state"] == "queued"
    assert "kind" not in fake.requests[0].url.params


def test_a_file_is_sent_with_its_digest_and_again_from_its_start(client_of: ClientOf, tmp_path: Path) -> None:
    data = bytes(range(256)) * 4000
    file = tmp_path / "digits.zip"
    file.write_bytes(data)
    fake = answers(httpx.WriteError("cut"), httpx.Response(202, json={"version": 1, "state": "ingesting"}))
    seen: list[tuple[int, int | None]] = []
    client_of(fake).upload_dataset(
        "digits", file, types={"label": "text"}, progress=lambda *at: seen.append(at)
    )
    request = fake.requests[-1]
    assert request.content == data
    assert request.url.path == "/api/v1/datasets/digits/versions"
    assert dict(request.url.params) == {"filename": "digits.zip", "types": "label:text"}
    assert request.headers["content-type"] == "application/zip"
    assert request.headers["content-length"] == str(len(data))
    digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
    assert request.headers["content-digest"] == f"sha-256=:{digest}:"
    assert seen[-1] == (len(data), len(data))


def test_a_file_of_no_known_type_is_refused_before_anything_is_sent(
    client_of: ClientOf, tmp_path: Path
) -> None:
    file = tmp_path / "data.xlsx"
    file.write_bytes(b"x")
    with pytest.raises(HeadraceError, match="media type"):
        client_of(answers()).upload_dataset("d", file)
    with pytest.raises(HeadraceError, match="cannot read"):
        client_of(answers()).upload_dataset("d", tmp_path / "gone.csv")


def output(data: bytes, announced: bytes | None) -> httpx.Response:
    headers = {}
    if announced is not None:
        digest = base64.b64encode(hashlib.sha256(announced).digest()).decode()
        headers["content-digest"] = f"sha-512=:AAAA:, sha-256=:{digest}:"
    return httpx.Response(200, content=data, headers=headers)


def test_a_download_is_kept_only_when_it_hashes_right(client_of: ClientOf, tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    digest = client_of(answers(output(b"rows", b"rows"))).output("job_1", target)
    assert target.read_bytes() == b"rows"
    assert digest == "sha256:" + hashlib.sha256(b"rows").hexdigest()
    for announced in (b"other", None):
        with pytest.raises(DigestMismatch):
            client_of(answers(output(b"bad", announced))).output("job_1", target)
    assert [p.name for p in tmp_path.iterdir()] == ["out.csv"]
    assert target.read_bytes() == b"rows"


def events_server(events: list[dict[str, Any]], states: list[str]) -> Handler:
    """A job whose state moves on at each look at it; events are given two at a time."""

    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/events"):
            after = int(request.url.params["after"])
            left = [e for e in events if e["seq"] > after]
            more = "x" if len(left) > 2 else None
            return httpx.Response(200, json={"items": left[:2], "next_cursor": more})
        return httpx.Response(200, json={"id": "j", "state": states.pop(0) if len(states) > 1 else states[0]})

    return handler


def test_waiting_tells_every_event_once_and_in_order(client_of: ClientOf) -> None:
    events = [{"seq": n, "type": "log", "data": {"text": str(n)}} for n in range(1, 6)]
    seen: list[int] = []
    client = client_of(events_server(events, ["queued", "running", "failed"]))
    job = client.wait("j", on_event=lambda event: seen.append(event["seq"]))
    assert job["state"] == "failed"
    assert seen == [1, 2, 3, 4, 5]


def test_waiting_goes_on_through_a_restart_of_the_server(client_of: ClientOf) -> None:
    gone = [httpx.ConnectError("refused")] * 7
    fake = answers(
        httpx.Response(200, json={"state": "running"}),
        *gone,
        httpx.Response(200, json={"state": "succeeded"}),
    )
    assert client_of(fake).wait("j")["state"] == "succeeded"


def test_waiting_ends_in_time(client_of: ClientOf) -> None:
    with pytest.raises(WaitedTooLong):
        client_of(events_server([], ["running"])).wait("j", timeout_s=0)


def test_a_failed_ingest_is_told_with_its_reason(client_of: ClientOf) -> None:
    failed = {"state": "failed", "job": "j", "error": {"message": "line 3 has 4 fields"}}
    with pytest.raises(HeadraceError, match="digits@2 could not be ingested: line 3 has 4 fields"):
        client_of(lambda _: httpx.Response(200, json=failed)).wait_dataset("digits", 2)


def test_the_project_goes_with_every_request(tmp_path: Path) -> None:
    fake = Server(lambda _: httpx.Response(200, json={"items": [], "next_cursor": None, "id": "j"}))
    settings = Settings.load({}, data=tmp_path)
    with Client(URL, project="vision", settings=settings, transport=httpx.MockTransport(fake)) as client:
        client.submit("train", {})
        client.job("j")
        list(client.models())
    assert [r.url.params["project"] for r in fake.requests] == ["vision"] * 3


def test_names_cannot_leave_their_place_in_the_path(client_of: ClientOf) -> None:
    fake = Server(lambda _: httpx.Response(200, json={}))
    client_of(fake).dataset("../keys?x=1")
    assert fake.requests[0].url.raw_path == b"/api/v1/datasets/..%2Fkeys%3Fx%3D1"


def test_the_data_folder_says_where_its_server_is_but_gives_its_key_to_no_stranger(tmp_path: Path) -> None:
    (tmp_path / "admin.key").write_text("hr_admin\n")
    settings = Settings.load({}, data=tmp_path, port=8705)
    assert server(settings) == ("http://127.0.0.1:8705", "hr_admin")
    (tmp_path / "url").write_text("http://127.0.0.1:9999\n")
    assert server(settings) == ("http://127.0.0.1:9999", "hr_admin")
    assert server(settings, url="https://127.0.0.1.example.org").key is None
    assert server(settings, url="http://user@example.org").key is None
    assert server(settings, url="http://localhost:1").key == "hr_admin"
    told = Settings.load({"HEADRACE_URL": "https://h.example.org", "HEADRACE_KEY": "hr_k"}, data=tmp_path)
    assert server(told) == ("https://h.example.org", "hr_k")
