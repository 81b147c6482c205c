"""Workers, queues, metrics, rates, projects, the audit log: what each key sees of them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from contract.api import NOW, TRAIN, Api
from headrace import logs, origin
from headrace.access import audit
from headrace.db import clock
from headrace.errors import Limited
from headrace.jobs import claims, workers
from headrace_web.api import all_routes
from headrace_web.rates import BURST_S, RateLimit

Problem = Callable[..., dict[str, Any]]
SCHEDULE = {"name": "nightly", "every_s": 3600, "job": {"kind": "train", "spec": TRAIN}}
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def live_worker(
    api: Api, name: str = "w1", silent_s: float = 0, queues: tuple[str, ...] = ("default",)
) -> None:
    with api.parts.database.transaction() as session:
        now = clock(session) - timedelta(seconds=silent_s)
        workers.seen(session, name, queues=queues, slots=2, started_at=now, now=now)


def claim(api: Api, worker: str = "w1", queue: str = "default") -> str:
    with api.parts.database.transaction() as session:
        lease = claims.claim(
            session, worker=worker, queues=[queue], lane="heavy", now=NOW + timedelta(seconds=1), lease_s=15
        )
        assert lease is not None
        return lease.job


def test_workers_show_their_job_to_its_own_project(api: Api) -> None:
    for name, silent_s in (("w1", 0), ("w2", 0), ("w3", 60)):
        live_worker(api, name, silent_s)
    api.ready_dataset()
    job = api.submit().json["id"]
    assert claim(api) == job

    def seen(key: str, query: str = "") -> list[tuple[str, str, str | None]]:
        items = api.as_key(key).get(f"workers{query}").json["items"]
        return [(item["name"], item["state"], item["job"]) for item in items]

    everybody = [("w1", "busy"), ("w2", "idle"), ("w3", "lost")]
    assert seen("viewer") == [("w1", "busy", job), ("w2", "idle", None), ("w3", "lost", None)]
    assert [worker[:2] for worker in seen("other")] == everybody
    assert job not in str(seen("other"))
    assert seen("admin")[0][2] == job
    assert seen("admin", "?project=other")[0][2] is None
    worker = api.get("workers").json["items"][0]
    assert {"name", "queues", "state", "job", "last_seen_at", "version"} <= set(worker)
    assert (worker["queues"], worker["slots"]) == (["default"], 2)
    first = api.get("workers?limit=2").json
    rest = api.get(f"workers?limit=2&cursor={first['next_cursor']}").json
    assert [item["name"] for item in first["items"] + rest["items"]] == ["w1", "w2", "w3"]
    assert rest["next_cursor"] is None


def test_queues_count_the_projects_own_jobs(api: Api) -> None:
    live_worker(api)
    live_worker(api, "w2")
    live_worker(api, "gone", silent_s=60, queues=("served-by-nobody",))
    api.ready_dataset()
    for queue in ("default", "default", "our-secret-plan"):
        assert api.submit(queue=queue).status_code == 202
    claim(api)
    mine = {item["name"]: item for item in api.as_key("viewer").get("queues").json["items"]}
    # One of the jobs in the default queue is the ingest.
    assert (mine["default"]["queued"], mine["default"]["running"], mine["default"]["workers"]) == (2, 1, 2)
    assert mine["our-secret-plan"] == {
        "name": "our-secret-plan",
        "queued": 1,
        "running": 0,
        "oldest_queued_s": 0.0,
        "workers": 0,
    }
    theirs = api.as_key("other").get("queues").json["items"]
    assert theirs == [{"name": "default", "queued": 0, "running": 0, "oldest_queued_s": None, "workers": 2}]
    assert len(api.as_key("admin").get("queues").json["items"]) == 2
    assert len(api.as_key("admin").get("queues?project=other").json["items"]) == 1
    first = api.get("queues?limit=1").json
    rest = api.get(f"queues?limit=1&cursor={first['next_cursor']}").json
    assert [item["name"] for item in first["items"] + rest["items"]] == ["default", "our-secret-plan"]


def test_metrics_are_prometheus_and_name_no_project(api: Api, problem: Problem) -> None:
    live_worker(api)
    api.ready_dataset("planted-dataset")
    api.submit(queue="planted-queue", name="planted-name")
    api.get("datasets/planted-path")
    api.get("/planted")
    problem(api.as_key(None).get("/metrics"), 401)
    answer = api.as_key("other").get("/metrics")
    assert answer.status_code == 200
    assert answer.content_type.startswith("text/plain; version=")
    assert "planted" not in answer.text
    assert "default" not in answer.text.replace('queue="default"', "")
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in families.values()
        for sample in family.samples
    }
    assert samples["headrace_jobs", "queued"] == 1
    assert samples["headrace_jobs", "succeeded"] == 0
    assert samples["headrace_queue_queued_jobs", "default"] == 1
    assert samples["headrace_worker_slots",] == 2
    assert samples["headrace_stored_bytes",] > 0
    route = "/api/v1/datasets/<name:name>"
    assert samples["headrace_http_request_duration_seconds_count", "GET", route, "4xx"] == 1
    assert samples["headrace_http_request_duration_seconds_count", "GET", "none", "4xx"] == 1
    assert families["headrace_http_request_duration_seconds"].type == "histogram"
    for family in families.values():
        assert family.documentation
        assert all(len(sample.labels) <= 4 for sample in family.samples)


def test_a_project_is_shown_and_changed(api: Api, problem: Problem) -> None:
    admin = api.as_key("admin")
    shown = api.get("projects/default")
    assert shown.json["usage"] == {"running": 0, "queued": 0, "stored_bytes": 0}
    assert (shown.json["max_stored_bytes"], shown.json["weight"]) == (None, 1.0)
    problem(api.as_key("other").get("projects/default"), 404)
    problem(api.get("projects/nowhere"), 404)
    problem(api.call("PATCH", "projects/default", json={"weight": 2.0}), 403)
    etag = shown.headers["ETag"]
    changes = {"max_queued": 1, "max_stored_bytes": 1000, "weight": 2}
    changed = admin.call("PATCH", "projects/default", json=changes, headers={"If-Match": etag})
    assert changed.status_code == 200
    assert changes.items() <= changed.json.items()
    assert changed.headers["ETag"] != etag
    problem(admin.call("PATCH", "projects/default", json={}, headers={"If-Match": etag}), 412)
    kept = admin.call("PATCH", "projects/default", json={"max_queued": None})
    assert (kept.json["max_queued"], kept.json["max_stored_bytes"]) == (None, 1000)
    assert admin.get("projects/default").headers["ETag"] == kept.headers["ETag"]
    for wrong in ({"weight": 0}, {"weight": None}, {"max_priority": 10}, {"max_running": -1}, {"name": "x"}):
        problem(admin.call("PATCH", "projects/default", json=wrong), 422, next(iter(wrong)))
    problem(admin.call("PATCH", "projects/nowhere", json={}), 404)
    api.upload("iris")
    usage = api.get("projects").json["items"][0]["usage"]
    assert (usage["queued"], usage["stored_bytes"]) == (1, len(b"id,x,label\n1,2.5,a\n"))
    assert admin.get("projects/default").headers["ETag"] == kept.headers["ETag"], "it is that of the settings"


def test_over_a_quota_is_429_with_the_numbers(api: Api, problem: Problem) -> None:
    admin = api.as_key("admin")
    admin.call("PATCH", "projects/default", json={"max_stored_bytes": 30})
    assert api.upload("iris").status_code == 202
    before = api.footprint()
    for _ in range(2):
        answer = api.upload("iris", b"id,x,label\n2,2.5,a\n")
        assert "may store 30" in problem(answer, 429)["detail"]
        assert int(answer.headers["Retry-After"]) > 0
    assert api.footprint() == before
    assert api.upload("iris").status_code == 200, "what is there already needs nothing"
    admin.call("PATCH", "projects/default", json={"max_stored_bytes": None, "max_queued": 1})
    answer = api.upload("iris", b"id,x,label\n2,2.5,a\n")
    assert "1 jobs are queued" in problem(answer, 429)["detail"]
    assert api.as_key("other").upload("iris").status_code == 202


def test_a_key_that_calls_too_often_is_held_back_and_no_other() -> None:
    now = 0.0
    rates = RateLimit(2, clock=lambda: now)
    for _ in range(2 * BURST_S):
        rates.take("wild")
    with pytest.raises(Limited) as caught:
        rates.take("wild")
    assert caught.value.retry_after_s == 1
    rates.take("calm")
    now = 0.5
    rates.take("wild")
    with pytest.raises(Limited):
        rates.take("wild")
    now = 1e6
    for _ in range(2 * BURST_S):
        rates.take("wild")
    with pytest.raises(Limited):
        rates.take("wild")
    free = RateLimit(0)
    for _ in range(1000):
        free.take("any")


def test_rates_are_answered_with_429(api: Api, problem: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    api.parts.rates._per_s, api.parts.rates._burst = 0.01, 2
    assert [api.get("jobs").status_code for _ in range(3)] == [200, 200, 429]
    answer = api.get("jobs")
    problem(answer, 429)
    assert 1 <= int(answer.headers["Retry-After"]) <= 100
    assert api.as_key("viewer").get("jobs").status_code == 200
    assert api.as_key(None).get("/healthz").status_code == 200


def test_the_audit_log_is_the_projects_own(api: Api, problem: Problem) -> None:
    api.upload("iris", headers={"X-Request-Id": "r-1"})
    api.as_key("other").upload("theirs")
    problem(api.as_key("submitter").get("audit"), 403)
    (act,) = api.get("audit").json["items"]
    key = next(row["id"] for row in api.get("keys").json["items"] if row["name"] == "maintainer")
    expected = {"project": "default", "actor": key, "action": "dataset.upload", "object": "iris@1"}
    assert expected.items() <= act.items()
    assert (act["request_id"], act["at"]) == ("r-1", "2027-01-02T03:04:05.000Z")
    assert "theirs" not in api.get("audit").text
    assert len(api.as_key("admin").get("audit").json["items"]) == 2
    assert len(api.as_key("admin").get("audit?project=other").json["items"]) == 1


def test_every_unsafe_route_writes_down_who_did_it(api: Api) -> None:
    """One row for each act, made by the routes of the URL map: a new route without an act here fails."""
    api.ready_dataset()
    version = api.model_version()
    done = api.submit().json["id"]
    api.call("POST", f"jobs/{done}/cancel")
    queued = api.submit().json["id"]
    key = api.as_key("admin").post("keys", json={"role": "viewer"}).json["id"]
    schedule = api.post("schedules", json=SCHEDULE).json["id"]
    alias = "models/iris/aliases/champion"
    acts: dict[str, tuple[str, str, dict[str, Any]]] = {
        "jobs.submit": ("POST", "jobs", {"json": {"kind": "train", "spec": TRAIN}}),
        "jobs.cancel": ("POST", f"jobs/{queued}/cancel", {}),
        "jobs.retry": ("POST", f"jobs/{done}/retry", {}),
        "datasets.upload": ("POST", "datasets/new/versions", {"data": b"a\n1\n", "content_type": "text/csv"}),
        "models.upload": (
            "POST",
            "models/net/versions",
            {"data": b"PK\x03\x04" + bytes(100), "content_type": "application/vnd.keras+zip"},
        ),
        "models.set_alias": ("PUT", alias, {"json": {"version": version}}),
        "models.delete_alias": ("DELETE", alias, {}),
        "models.delete_version": ("DELETE", f"models/iris/versions/{version}", {}),
        "schedules.create": ("POST", "schedules", {"json": SCHEDULE}),
        "schedules.change": ("PATCH", f"schedules/{schedule}", {"json": {"every_s": 60}}),
        "schedules.trigger": ("POST", f"schedules/{schedule}/trigger", {}),
        "schedules.delete": ("DELETE", f"schedules/{schedule}", {}),
        "keys.create": ("POST", "keys", {"json": {"role": "viewer"}}),
        "keys.revoke": ("DELETE", f"keys/{key}", {}),
        "projects.update": ("PATCH", "projects/default", {"json": {"weight": 3.0}}),
        "datasets.delete": ("DELETE", "datasets/iris/versions/1?force=true", {}),
    }
    unsafe = {
        route.name for route in all_routes() if route.method != "GET" and route.path.startswith("/api/")
    } - {"predictions.predict"}  # which changes nothing
    assert set(acts) == unsafe
    for name, (method, path, options) in acts.items():
        before = {act["id"] for act in api.as_key("admin").get("audit?limit=200").json["items"]}
        answer = api.as_key("admin").call(method, path, headers={"X-Request-Id": name}, **options)
        assert answer.status_code < 300, (name, answer.text)
        after = api.as_key("admin").get("audit?limit=200").json["items"]
        new = [act for act in after if act["id"] not in before]
        # To trigger a schedule is also to submit its job.
        assert [act["request_id"] for act in new] == [name] * (1 + (name == "schedules.trigger")), name


def test_a_replay_is_no_second_act(api: Api) -> None:
    api.ready_dataset()
    headers = {"Idempotency-Key": "k"}
    for _ in range(3):
        assert api.submit(headers=headers).status_code == 202
    acts = [act["action"] for act in api.get("audit").json["items"]]
    assert acts == ["job.submit", "dataset.upload"]


def test_a_trace_reaches_the_job(api: Api) -> None:
    from headrace.jobs.tables import Job

    api.ready_dataset()
    headers = {"traceparent": TRACE, "X-Request-Id": "r-7"}
    traced = api.submit(headers=headers).json["id"]
    plain = api.submit(headers={"traceparent": "00-garbage"}).json["id"]
    with api.parts.database.read() as session:
        job = session.get_one(Job, traced)
        assert (job.request_id, job.traceparent) == ("r-7", TRACE)
        assert session.get_one(Job, plain).traceparent is None
    assert origin.current() == origin.Origin()


@pytest.fixture
def json_log(api: Api, caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Return what the log has said so far, as JSON lines."""
    formatter = logs.JsonFormatter("web")
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(formatter.format(record))

    handler = Keep()
    log = logging.getLogger("headrace")
    before = log.level
    log.addHandler(handler)
    log.setLevel("INFO")
    yield lambda: [json.loads(line) for line in lines]
    log.removeHandler(handler)
    log.setLevel(before)


def test_each_request_is_one_line(api: Api, json_log: Callable[[], list[dict[str, Any]]]) -> None:
    viewer = api.as_key("viewer")
    secret = viewer.key or ""
    viewer.get(f"jobs?q={secret}", headers={"X-Request-Id": "r-9", "traceparent": TRACE})
    api.as_key(secret[:-1] + "g").get("jobs")
    viewer.get(f"jobs/{secret}")
    first, second, _ = (line for line in json_log() if line.get("action") == "request")
    keys = {row["name"]: row["id"] for row in api.get("keys").json["items"]}
    expected = {"request_id": "r-9", "traceparent": TRACE, "project": "default", "key": keys["viewer"]}
    expected |= {"method": "GET", "path": "/api/v1/jobs", "status": 200, "level": "INFO", "process": "web"}
    assert expected.items() <= first.items()
    assert 0 <= first["duration_s"] < 10
    assert second["status"] == 401
    assert "key" not in second
    assert secret not in json.dumps(json_log())


def test_chained_acts_verify(api: Api) -> None:
    for number in range(3):
        api.upload("iris", f"a\n{number}\n".encode())
    with api.parts.database.transaction() as session:
        assert audit.chain(session) == 3
        assert audit.verify(session, now=NOW).fault is None
