"""Thousands of requests generated from the OpenAPI document, by keys of one project beside another.

Whatever is sent, no answer is a fault of the server, each is as the document says, and none has a byte of the
other project: the word `MARK` is planted in whatever that one could put anywhere, and its ids are known.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis.checks import CheckFunction, not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from sqlalchemy import select

from contract.api import NOW, TRAIN, Api
from contract.conftest import open_api
from headrace import origin
from headrace.access.tables import ApiKey
from headrace.artifacts import service as artifacts
from headrace.datasets import service as datasets
from headrace.db import clock
from headrace.jobs import claims, events, leases, workers
from headrace.jobs.events import Event
from headrace.jobs.tables import Job

# Bytes are sent as they are; schemathesis knows so of the other types of uploads.
schemathesis.serializer.alias("application/vnd.keras+zip", "application/octet-stream")

SEED = 20270102
EXAMPLES = int(os.environ.get("EXAMPLES", "14"))
"""For each operation: so many that fit the document, and as many that do not."""
MARK = "zebrafinch"
CHECKS: list[CheckFunction] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@dataclass
class World:
    """The API, and what can be named in a path: of the own project, and ids of the other one."""

    api: Api
    own: dict[str, list[str]] = field(default_factory=dict)
    foreign: dict[str, list[str]] = field(default_factory=dict)

    @property
    def foreign_ids(self) -> set[str]:
        return {id for ids in self.foreign.values() for id in ids}


@pytest.fixture
def world(make_database: Callable[[str], AbstractContextManager[str]], tmp_path: Path) -> Iterator[World]:
    with make_database("sqlite") as url, open_api(url, tmp_path) as api:
        with api.parts.database.transaction() as session:
            now = clock(session) + timedelta(hours=1)
            workers.seen(session, "w1", queues=["default"], slots=2, started_at=now, now=now)
        world = World(api)
        world.foreign = plant(api.as_key("other"), MARK)
        world.own = plant(api.as_key("maintainer"), "own") | {
            "name": ["iris", "own-iris", "default", "other"],
            "version": ["1", "2"],
            "alias": ["own-alias", "champion"],
            "algorithm": ["mlp"],
        }
        yield world
        origin.end()


def plant(api: Api, word: str) -> dict[str, list[str]]:
    """Put ``word`` wherever a project can put text; return the ids of what was made, by parameter."""
    api.ready_dataset("iris")
    api.ready_dataset(f"{word}-iris")
    api.model_version("iris")
    api.model_version(f"{word}-model")
    assert api.call("PUT", f"models/iris/aliases/{word}-alias", json={"version": 1}).status_code == 200
    api.upload("iris", f"id,{word}\n1,2\n".encode(), query=f"filename={word}.csv&types={word}:text")
    options: dict[str, Any] = {"name": word, "tags": {word: word}, "queue": word}
    jobs = [api.submit(TRAIN | {"model": word}, **options).json["id"] for _ in range(4)]
    for job in jobs[:2]:
        run(api, job, word)
    assert api.post(f"jobs/{jobs[2]}/cancel").status_code == 202
    key = api.post("keys", json={"role": "viewer", "name": word}).json["id"]
    schedule = {"name": word, "every_s": 3600, "job": {"kind": "train", "spec": TRAIN | {"model": word}}}
    made = api.post("schedules", json=schedule)
    assert made.status_code == 201, made.text
    api.post(f"schedules/{made.json['id']}/trigger")
    kept(api, word)
    with api.parts.database.read() as session:
        project = session.get_one(Job, jobs[0]).project
        ids = session.scalars(select(Job.id).where(Job.project == project)).all()
        own_keys = session.scalars(select(ApiKey.id).where(ApiKey.project == project)).all()
    # Of the own project's keys only one may be named, since it may be revoked.
    keys = [key] if word != MARK else [key, *own_keys]
    return {"job": [*jobs, *ids], "key": keys, "schedule": [made.json["id"]]}


def run(api: Api, job: str, word: str) -> None:
    """Let ``job`` run and say ``word`` in every way that a job can."""
    with api.parts.database.transaction() as session:
        lease = claims.claim(session, worker="w1", queues=[word], lane="heavy", now=NOW, lease_s=1e6)
        assert lease is not None
        held = leases.hold(session, lease)
        held.message = word
        happened = [
            Event("progress", {"fraction": 0.5, "message": word}),
            Event("metric", {"name": word, "step": 1, "value": 0.5}),
            Event("log", {"text": f"{word}\n"}),
        ]
        events.append(session, held, happened, NOW)
        files = {"output": api.store(word.encode())}
        artifacts.attach(session, project=held.project, owner=job, files=files, now=NOW)


def kept(api: Api, word: str) -> None:
    """Put ``word`` into the files that an ingest leaves."""
    with api.parts.database.transaction() as session:
        project = session.get_one(Job, api.get("jobs").json["items"][0]["id"]).project
        row = datasets.version(session, project, "iris", 1)
        artifacts.detach(session, row.id)
        files = {
            "source": api.store(word.encode()),
            "data": api.store(word.encode()),
            "profile": api.store(f'{{"columns":{{"{word}":{{}}}}}}'.encode()),
            "rows": api.store(f'{{"columns":["{word}"],"rows":[{{"{word}":"{word}"}}]}}'.encode()),
        }
        artifacts.attach(session, project=project, owner=row.id, files=files, now=NOW)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_requests_from_the_schema(world: World) -> None:
    print(f"seed {SEED}")
    began = time.process_time()
    schema = schemathesis.openapi.from_dict(_without_tuples(world.api.get("/openapi.json").json))
    schema.app = world.api.client.application
    statuses: Counter[int] = Counter()
    faults: list[str] = []
    operations = sorted((found.ok() for found in schema.get_all_operations()), key=_order)
    for operation in operations:
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            _try(world, operation, mode, statuses, faults)
    spent = time.process_time() - began
    print(
        f"{statuses.total()} requests, {len(operations)} operations, {dict(statuses)}, {spent:.0f} s of CPU"
    )
    assert not faults, "\n\n".join(faults[:10])
    assert statuses.total() >= 90 * EXAMPLES
    # Were most of them refused at the door, the rest would show little.
    assert sum(count for status, count in statuses.items() if status < 300) > statuses.total() / 5


def _without_tuples(document: Any) -> Any:
    """Return ``document`` with tuples as lists of any of their items.

    Schemathesis 4.32 turns ``prefixItems`` into the ``items`` of older drafts and then takes that for wrong.
    """
    if isinstance(document, list):
        return [_without_tuples(item) for item in document]
    if not isinstance(document, dict):
        return document
    found = {name: _without_tuples(value) for name, value in document.items()}
    if "prefixItems" in found:
        found["items"] = {"anyOf": found.pop("prefixItems")}
    return found


def _order(operation: Any) -> tuple[int, str]:
    """What makes things first, what takes them away last; limits of projects at the very end."""
    order = ["POST", "PUT", "GET", "PATCH", "DELETE"]
    return order.index(operation.method.upper()) + 9 * ("/projects/" in operation.path), operation.label


def _try(
    world: World, operation: Any, mode: GenerationMode, statuses: Counter[int], faults: list[str]
) -> None:
    """Send requests that fit the document, or do not; note what is wrong with the answers."""
    if mode is GenerationMode.NEGATIVE and not (operation.query or operation.body):
        return

    @seed(SEED)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(mode), data=st.data())
    def send(case: Any, data: st.DataObject) -> None:
        role = data.draw(st.sampled_from(["maintainer", "maintainer", "maintainer", "viewer"]))
        if operation.definition.raw.get("x-role") == "admin" and data.draw(st.booleans()):
            role = "admin"
        _aim(world, case, data)
        headers = {"Authorization": f"Bearer {world.api.keys[role]}"}
        response = case.call(headers=headers)
        statuses[response.status_code] += 1
        try:
            case.validate_response(response, checks=CHECKS)
        except AssertionError as error:
            faults.append(f"{operation.label}: {error}")
        except BaseExceptionGroup as group:
            faults.extend(f"{operation.label}: {error}" for error in group.exceptions)
        if role != "admin":
            faults.extend(_leaks(world, case, response))

    send()


def _aim(world: World, case: Any, data: st.DataObject) -> None:
    """Let most requests name something that is there, here or in the other project."""
    for name in case.path_parameters or {}:
        whose = data.draw(st.sampled_from(["own", "own", "own", "foreign", "generated"]))
        known = (world.own if whose == "own" else world.foreign).get(name)
        if whose != "generated" and known:
            case.path_parameters[name] = data.draw(st.sampled_from(known))
    if isinstance(case.body, dict) and "spec" in case.body and data.draw(st.booleans()):
        case.body["spec"] = TRAIN
    if case.query and data.draw(st.integers(0, 4)):
        case.query.pop("project", None)
    if case.headers:
        case.headers.pop("Authorization", None)


def _leaks(world: World, case: Any, response: Any) -> Iterator[str]:
    sent = f"{case.formatted_path} {case.query} {case.body!r}"
    shown = response.content.decode("utf-8", "replace") + str(dict(response.headers))
    for word in {MARK, *world.foreign_ids}:
        if word in shown and word not in sent:
            yield f"{case.method} {case.formatted_path} shows {word} of the other project: {shown[:500]}"


def test_a_leak_would_be_found(world: World) -> None:
    """The check itself: what the other project sees of its own has the mark, or an id."""
    other = world.api.as_key("other")
    job = world.foreign["job"][0]
    for path in (
        "jobs",
        f"jobs/{job}",
        f"jobs/{job}/events",
        f"jobs/{job}/metrics",
        f"jobs/{job}/logs",
        f"jobs/{job}/output",
        "datasets",
        "datasets/iris/versions",
        "datasets/iris/versions/1/profile",
        "datasets/iris/versions/1/rows",
        "models",
        "models/iris",
        "models/iris/versions/1",
        "keys",
        "schedules",
        "queues",
        "audit",
    ):
        assert MARK in other.get(path).text, path
    assert other.get("workers").json["items"][0]["job"] in world.foreign_ids
