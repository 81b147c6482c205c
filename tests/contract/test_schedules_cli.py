"""Schedules on the command line and in the client, against the API itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from contract.api import TRAIN, Api
from headrace.cli import schedules as commands
from headrace.cli.group import cli
from headrace.client import ApiError, Client
from headrace.config import Settings

Run = Callable[..., Result]
JOB = {"kind": "train", "spec": TRAIN}


@pytest.fixture
def client(api: Api, tmp_path: Path) -> Client:
    api.ready_dataset()
    transport = httpx.WSGITransport(app=api.client.application)
    return Client(
        "http://127.0.0.1:8700", api.key, settings=Settings.load({}, data=tmp_path), transport=transport
    )


@pytest.fixture
def run(client: Client, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run ``headrace`` with the client that calls the API in this process."""
    monkeypatch.setattr(commands, "connect", lambda **_: client)
    monkeypatch.setattr(Client, "close", lambda _: None)

    def invoke(*args: str, **options: Any) -> Result:
        result = CliRunner().invoke(cli, list(args), standalone_mode=False, **options)
        if result.exception is not None:
            raise result.exception
        return result

    return invoke


def test_a_schedule_from_its_making_to_its_end(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "job.json"
    file.write_text(json.dumps(JOB))
    rule = ["--cron", "30 2 * * *", "--timezone", "Europe/Berlin", "--name", "nightly"]
    made = json.loads(run("schedule", "create", str(file), *rule, "--catch-up", "all", "--json").stdout)
    assert (made["cron"], made["timezone"], made["name"]) == ("30 2 * * *", "Europe/Berlin", "nightly")
    assert (made["catch_up"], made["overlap"], made["enabled"]) == ("all", "skip", True)
    assert made["job"]["spec"] == TRAIN
    schedule = made["id"]

    listed = run("schedules").stdout
    assert "30 2 * * * (Europe/Berlin)" in listed
    assert "2027-01-03 01:30:00" in listed
    assert run("schedule", "next", schedule, "--count", "2").stdout.splitlines() == [
        "2027-01-03 01:30:00",
        "2027-01-04 01:30:00",
    ]
    assert "paused" in run("schedule", "pause", schedule).stdout
    job = json.loads(run("schedule", "trigger", schedule, "--json").stdout)["job"]
    assert job in run("schedule", "runs", schedule).stdout
    assert "2027-01-03 01:30:00" in run("schedule", "resume", schedule).stdout
    assert "nightly" in run("schedule", "show", schedule).stdout
    assert schedule in run("schedule", "delete", schedule).stdout
    assert run("schedules").stdout == "no schedules\n"


def test_a_file_may_hold_the_whole_schedule_and_options_change_it(run: Run) -> None:
    whole = json.dumps({"cron": "0 3 * * *", "name": "a", "job": JOB})
    made = json.loads(
        run("schedule", "create", "-", "--every-s", "60", "--paused", "--json", input=whole).stdout
    )
    assert (made["cron"], made["every_s"], made["name"], made["enabled"]) == (None, 60, "a", False)


@pytest.mark.parametrize("text", ["", "[1]", "{"])
def test_a_file_that_is_no_job_is_told(run: Run, text: str) -> None:
    with pytest.raises(Exception, match=r"JSON|should hold an object"):
        run("schedule", "create", "-", "--every-s", "60", input=text)


def test_the_client(client: Client) -> None:
    body = {"every_s": 60, "job": JOB}
    made = [client.create_schedule(body, idempotency_key="one") for _ in range(2)]
    assert made[0] == made[1] == client.schedule(made[0]["id"])
    schedule = made[0]["id"]
    assert [row["id"] for row in client.schedules()] == [schedule]
    assert client.change_schedule(schedule, name="b", enabled=False)["next_due_at"] is None
    run = client.trigger_schedule(schedule)
    assert list(client.schedule_runs(schedule, limit=1)) == [run]
    assert client.job(run["job"] or "")["kind"] == "train"
    assert len(client.next_due(schedule, 3)) == 3
    client.delete_schedule(schedule)
    with pytest.raises(ApiError) as caught:
        client.schedule(schedule)
    assert caught.value.status == 404
