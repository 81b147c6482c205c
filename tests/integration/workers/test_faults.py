"""What a worker does with jobs that go well, go wrong, and lose their processes."""

from __future__ import annotations

import json
import signal
import time

import psutil
import pytest
from sqlalchemy import delete, select

from headrace import origin
from headrace.artifacts import service as artifacts
from headrace.artifacts.tables import Unneeded
from headrace.datasets import service as datasets
from headrace.db import clock
from headrace.jobs.tables import Job
from headrace.specs.task import TASK_FILE
from integration.workers.conftest import Deployment


def test_a_table_becomes_a_model_becomes_predictions(ready: Deployment) -> None:
    trained = ready.succeeded(ready.train({"seconds": 0.2}))
    assert trained.result is not None
    assert (trained.result["model"], trained.result["version"]) == (ready.model, 1)
    kinds = [event.type for event in ready.events(trained)]
    assert {"state", "progress", "metric", "log"} == set(kinds)
    assert [event.seq for event in ready.events(trained)] == list(range(1, len(kinds) + 1))
    assert "scripted learner begins" in ready.log(trained)

    predicted = ready.succeeded(ready.submit("predict", {"model": ready.model, "dataset": "table"}))
    assert predicted.result is not None
    assert predicted.result["rows"] == 200
    assert predicted.spec["model"] == f"{ready.model}@1"
    scratch = ready.settings.data / "scratch"
    ready.until(lambda: not list(scratch.glob("*/job_*")), "a scratch folder is left")


def test_the_trace_of_the_request_reaches_the_log_of_the_worker_and_the_task(ready: Deployment) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    with origin.acting(origin.Origin(request_id="request-7", traceparent=trace)):
        job = ready.running(ready.train({"seconds": 1.0}))
    ready.until(lambda: bool(ready.job_processes()), "no job process")
    (path,) = (ready.settings.data / "scratch").glob(f"*/{job.id}-*/{TASK_FILE}")
    task = json.loads(path.read_text())
    assert (task["request_id"], task["traceparent"]) == ("request-7", trace)
    ready.succeeded(job)

    def lines() -> list[str]:
        return [line for line in ready.logs().splitlines() if f"job={job.id}" in line]

    ready.until(lambda: "action=attempt.end" in "".join(lines()), "no line of the log")
    assert [line.partition("action=")[2].split()[0] for line in lines()] == ["attempt.begin", "attempt.end"]
    assert all(f"traceparent={trace}" in line and "request_id=request-7" in line for line in lines())


def test_a_job_that_depends_on_another_sees_what_it_made(ready: Deployment) -> None:
    trained = ready.train({"seconds": 0.2})
    named, taken = (
        ready.submit("predict", {"model": model, "dataset": "table"}, depends_on=[trained.id])
        for model in (ready.model, {"$result": trained.id, "path": "version"})
    )
    for dependent in (named, taken):
        assert dependent.state == "waiting"
        assert ready.succeeded(dependent).spec["model"] == f"{ready.model}@1"


@pytest.mark.parametrize("victim", ["job process", "fork server", "supervisor"])
def test_whatever_is_killed_the_job_runs_again_and_nothing_is_left(ready: Deployment, victim: str) -> None:
    job = ready.running(ready.train({"seconds": 2.0, "child": True, "stubborn": True}))
    before = ready.job_processes()
    assert before
    if victim == "job process":
        before[0].kill()
    elif victim == "fork server":
        for server in ready.fork_servers():
            server.kill()
    else:
        worker = ready.worker
        worker.kill()
        worker.wait()
        ready.start_worker()
    ended = ready.succeeded(job)
    assert (ended.attempt, ended.failures) == (2, 1)
    assert ready.versions() == 1
    lost = [e.data["error"]["message"] for e in ready.events(job) if "error" in e.data]
    assert len(lost) == 1
    assert lost[0].startswith("worker lost")
    _, alive = psutil.wait_procs(before, timeout=5)
    assert not alive
    worker = ready.worker
    worker.send_signal(signal.SIGTERM)
    worker.wait(10)
    ready.until(lambda: not ready.processes(), "processes are left")


def test_a_clean_shutdown_hands_the_job_back_and_counts_no_failure(ready: Deployment) -> None:
    job = ready.running(ready.train({"seconds": 1.5, "stubborn": True}))
    worker = ready.worker
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(10) == 0
    assert ready.job(job).state == "queued"
    assert not ready.processes()
    ready.start_worker()
    ended = ready.succeeded(job)
    assert (ended.attempt, ended.failures) == (2, 0)


def test_a_worker_back_from_the_dead_writes_nothing(ready: Deployment) -> None:
    job = ready.running(ready.train({"seconds": 1.5}))
    zombie = ready.freeze_worker()
    ready.start_worker()
    ended = ready.succeeded(job)
    assert ended.attempt == 2
    events = ready.events(job)
    zombie.resume()
    # The zombie is given the time to find out: the first attempt's process dies, as its lease is gone.
    ready.until(lambda: not ready.job_processes(), "the first attempt lives on")
    assert ready.events(job)[len(events) :] == []
    assert ready.versions() == 1
    assert ready.succeeded(ready.train()).state == "succeeded"


def test_cancelling_a_running_job_kills_it(ready: Deployment) -> None:
    job = ready.running(ready.train({"seconds": 60, "stubborn": True, "child": True}))
    asked = time.monotonic()
    ready.cancel(job)
    ended = ready.ended(job)
    assert time.monotonic() - asked < 5
    assert ended.state == "cancelled"
    assert not ready.job_processes()
    assert ready.versions() == 0


def test_a_job_that_kills_its_process_fails_when_its_attempts_are_spent(ready: Deployment) -> None:
    ended = ready.ended(ready.train({"then": "kill"}, max_attempts=2))
    assert (ended.state, ended.attempt, ended.failures) == ("failed", 2, 2)
    assert ended.error == {
        "type": "ProcessDied",
        "message": "worker lost: the job process was killed by signal 9",
        "attempt": 2,
        "retryable": True,
    }


@pytest.mark.parametrize(
    ("then", "type_", "says"),
    [
        ("refuse", "BadSpec", "this learner refuses"),
        ("raise", "InternalError", "RuntimeError"),
        ("garbage", "ProtocolError", "not a message"),
    ],
)
def test_what_a_retry_cannot_mend_is_not_tried_again(
    ready: Deployment, then: str, type_: str, says: str
) -> None:
    ended = ready.ended(ready.train({"then": then}))
    assert ended.error is not None
    assert (ended.state, ended.attempt, ended.error["type"]) == ("failed", 1, type_)
    assert says in ended.error["message"]
    assert "Traceback" not in ended.error["message"]


def test_an_attempt_has_its_time_limit(ready: Deployment) -> None:
    ended = ready.ended(ready.train({"seconds": 60, "stubborn": True}, timeout_s=1))
    assert ended.error is not None
    assert (ended.state, ended.error["type"]) == ("failed", "TimedOut")


def test_a_file_that_cannot_be_parsed_fails_with_the_line_and_the_reason(ready: Deployment) -> None:
    ended = ready.ended(ready.upload(b"a,b\n1,2\n3,4,5\n", name="ragged"))
    assert ended.error is not None
    assert (ended.state, ended.error["type"]) == ("failed", "BadData")
    assert "line 3" in ended.error["message"]


def test_jobs_start_in_order_of_priority(ready: Deployment) -> None:
    first = ready.running(ready.train({"seconds": 3}))
    jobs = [ready.train(priority=priority) for priority in (1, 9, 5, 9)]
    for job in [first, *jobs]:
        ready.succeeded(job)
    with ready.db.read() as session:
        started = session.scalars(
            select(Job).where(Job.id.in_([job.id for job in jobs])).order_by(Job.started_at)
        )
        assert [job.priority for job in started] == [9, 9, 5, 1]


def test_outputs_that_are_being_collected_as_rubbish_are_stored_again(ready: Deployment) -> None:
    content = b"x,label\n" + b"".join(b"%d,%s\n" % (n, ready.model.encode()) for n in range(5))
    first = ready.succeeded(ready.upload(content, "first"))
    with ready.db.transaction() as session:
        version = datasets.version_of_job(session, first.id)
        data = artifacts.artifact(session, version.id, "data").digest
        datasets.delete_version(session, "default", "first", version.version, now=clock(session))
    with ready.db.transaction() as session:
        now = clock(session)
        session.add(Unneeded(digest=data, since=now, deleting_at=now, deleter="another"))
    second = ready.upload(content, "second")
    ready.until(lambda: "stored again" in ready.logs(), "the outputs were not refused")
    ready.store.delete(data)
    with ready.db.transaction() as session:
        session.execute(delete(Unneeded).where(Unneeded.digest == data))
    ended = ready.succeeded(second)
    assert (ended.attempt, ended.failures) == (1, 0)
    assert ready.store.size(data)
