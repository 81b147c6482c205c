"""The deployment of docker-compose.yml, run as it stands but for the engine: see `deployment.compose`."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deployment.compose import Container, Stack
from headrace.client import Client

ROWS = 20_000
PATIENCE_S = 180.0
NEEDED = ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "HEADRACE_SERVE_SECRET")
SECRETS = ("pgsecret1", "rdsecret2", "servesecret3servesecret3")


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Everything is up and healthy."""
    variables = dict(zip(NEEDED, SECRETS, strict=True))
    # In a folder that PostgreSQL's user may enter, which those of pytest are not.
    with tempfile.TemporaryDirectory(prefix="headrace-compose-") as folder:
        stack = Stack(Path(folder), variables, patience=1.5)
        try:
            stack.up()
            yield stack
        finally:
            stack.close()


@pytest.fixture(scope="module")
def client(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    key = stack.run("web", "headrace", "keys", "create", "--project", "default", "--role", "admin").strip()
    file = tmp_path_factory.mktemp("files") / "table.csv"
    rows = "".join(f"{n % 97}.5,{n % 31},{'ab'[n % 97 > 48]}\n" for n in range(ROWS))
    file.write_text("x,y,label\n" + rows)
    with Client(stack.url, key) as client:
        client.upload_dataset("table", file)
        client.wait_dataset("table", 1)
        yield client


def train(client: Client, epochs: int) -> dict[str, Any]:
    spec = {"model": "m", "dataset": "table@1", "algorithm": "mlp", "target": "label"}
    return dict(client.submit("train", spec | {"params": {"epochs": epochs}}))


def running(client: Client, stack: Stack, job: dict[str, Any]) -> Container:
    """Return the worker that runs ``job``, once it has got somewhere."""
    end = time.monotonic() + PATIENCE_S
    while (now := client.job(job["id"]))["progress"]["fraction"] == 0 or not now["worker"]:
        assert time.monotonic() < end, now
        assert now["state"] in ("queued", "running"), now
        time.sleep(0.1)
    pid = int(str(now["worker"]).split("-")[-2])
    (found,) = [worker for worker in stack.of("worker") if worker.process and worker.process.pid == pid]
    return found


@pytest.mark.timeout(600)
def test_a_job_runs_through_the_api(client: Client) -> None:
    done = client.wait(train(client, 1)["id"], timeout_s=PATIENCE_S)
    assert done["state"] == "succeeded", done
    assert client.model_version("m", 1)["metrics"]["accuracy"] > 0.6
    assert len(list(client.workers())) == 2
    assert client.ready()
    (answer,) = client.predict("m@1", [{"x": 3.5, "y": 2}])["predictions"]
    assert answer["label"] == "a"


@pytest.mark.timeout(600)
def test_a_killed_worker_costs_one_attempt_and_comes_back(client: Client, stack: Stack) -> None:
    job = train(client, 60)
    victim = running(client, stack, job)
    victim.kill()
    victim.start()  # restart: unless-stopped
    done = client.wait(job["id"], timeout_s=PATIENCE_S)
    assert (done["state"], done["attempt"], done["failures"]) == ("succeeded", 2, 1)
    assert done["result"]["version"] == 2
    victim.until_healthy()


@pytest.mark.timeout(600)
def test_everything_stops_in_its_grace_and_a_running_job_is_handed_back(client: Client, stack: Stack) -> None:
    job = train(client, 200)
    running(client, stack, job)
    for service in ("worker", "scheduler", "serve"):
        for container in stack.of(service):
            container.stop()
    handed_back = client.job(job["id"])
    # The second worker may have had it for a moment after the first had handed it back.
    assert (handed_back["state"], handed_back["failures"]) == ("queued", 0)
    for service in ("web", "redis", "postgres"):
        for container in stack.of(service):
            container.stop()
    left = {container.service: container.processes() for container in stack.containers}
    assert not any(left.values()), left


def test_no_log_holds_a_password(stack: Stack) -> None:
    logs = [(path, path.read_text()) for path in stack.folder.glob("*/log")]
    assert len(logs) == 8
    assert [path for path, text in logs if any(secret in text for secret in SECRETS)] == []
