"""The OpenAPI document and the pages made of it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from contract.api import NOW, TRAIN, Api
from headrace.artifacts import service as artifacts
from headrace_web import errors
from headrace_web.api import all_routes

EXPLANATION = {
    "method": "permutation",
    "model": "iris@1",
    "dataset": "iris@1",
    "task": "classification",
    "target": "label",
    "seed": 0,
    "rows": {"used": 1, "of": 1, "part": "all"},
}


@pytest.fixture(scope="module")
def document(shared_api: Api) -> dict[str, Any]:
    answer = shared_api.as_key(None).get("/openapi.json")
    assert answer.content_type == "application/json"
    found: dict[str, Any] = answer.json
    return found


def _resolve(document: dict[str, Any], reference: str) -> Any:
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [found for item in value.values() for found in _references(item)]
    return [found for item in value for found in _references(item)] if isinstance(value, list) else []


def test_every_route_is_in_it(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    documented = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    routes = {(route.method, re.sub(r"<\w+:(\w+)>", r"{\1}", route.path)) for route in all_routes()}
    assert documented == routes
    operations = [operation for item in document["paths"].values() for operation in item.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)


def test_every_schema_is_one_and_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for name, schema in document["components"]["schemas"].items():
        assert re.fullmatch(r"[A-Za-z0-9._-]+", name)
        Draft202012Validator.check_schema(schema)
    for reference in _references(document):
        assert _resolve(document, reference)


def test_only_public_routes_are_without_security(document: dict[str, Any]) -> None:
    open_paths = {
        path
        for path, item in document["paths"].items()
        for operation in item.values()
        if operation.get("security") == []
    }
    assert open_paths == {"/healthz", "/readyz", "/openapi.json", "/docs"}


def test_answers_are_as_the_document_says(document: dict[str, Any], shared_api: Api) -> None:
    version = shared_api.model_version("documented")
    shared_api.call("PUT", "models/documented/aliases/champion", json={"version": version})
    job = shared_api.submit().json["id"]
    with shared_api.parts.database.transaction() as session:
        files = {
            "evaluation": shared_api.store(b'{"metrics":{}}'),
            "explanation": shared_api.store(json.dumps(EXPLANATION).encode()),
        }
        artifacts.attach(session, project="default", owner=job, files=files, now=NOW)
    filled = {
        "name": "documented",
        "version": str(version),
        "alias": "champion",
        "job": job,
        "algorithm": "mlp",
    }
    made = shared_api.post("schedules", json={"every_s": 60, "job": {"kind": "train", "spec": TRAIN}})
    filled["schedule"] = made.json["id"]
    shared_api.post(f"schedules/{made.json['id']}/trigger")
    filled["key"] = shared_api.get("keys").json["items"][0]["id"]
    seen = 0
    for path, item in document["paths"].items():
        schema = item.get("get", {}).get("responses", {}).get("200", {}).get("content", {})
        schema = schema.get("application/json", {}).get("schema")
        if not schema or path == "/readyz":
            continue
        values = filled | ({"name": "iris", "version": "1"} if "/datasets/" in path else {})
        values |= {"name": "default"} if "/projects/" in path else {}
        query = f"?versions={version}" if path.endswith("compare") else ""
        answer = shared_api.get(path.format(**values) + query)
        assert answer.status_code == 200, (path, answer.text)
        Draft202012Validator(schema | {"components": document["components"]}).validate(answer.json)
        seen += 1
    assert seen > 15


def test_the_docs_page_runs_no_script_and_loads_nothing_from_elsewhere(shared_api: Api) -> None:
    page = shared_api.as_key(None).get("/docs")
    assert page.status_code == 200
    assert page.content_type == "text/html; charset=utf-8"
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "<script" not in page.text
    assert not re.search(r"(src|href)=\"(https?:)?//", page.text)
    assert "style=" not in page.text
    assert shared_api.get("/static/page.css").status_code == 200


def test_the_docs_page_explains_every_problem(shared_api: Api) -> None:
    page = shared_api.get("/docs").text
    for problem in errors.PROBLEMS.values():
        assert f'id="{problem.type.partition("#")[2]}"' in page


def test_request_ids(shared_api: Api) -> None:
    given = shared_api.get("jobs", headers={"X-Request-Id": "a-b_c.1"})
    assert given.headers["X-Request-Id"] == "a-b_c.1"
    first = shared_api.get("/nope", headers={"X-Request-Id": "not sane <b>"}).headers["X-Request-Id"]
    second = shared_api.get("/nope").headers["X-Request-Id"]
    assert len({first, second, "not sane <b>"}) == 3


def test_every_answer_is_guarded(shared_api: Api) -> None:
    for path in ("jobs", "/nope", "/healthz", "/docs", "/static/page.css"):
        headers = shared_api.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["Referrer-Policy"] == "no-referrer"
    assert shared_api.get("jobs").headers["Cache-Control"] == "no-store"


def test_head_and_options(shared_api: Api) -> None:
    head = shared_api.call("HEAD", "jobs")
    assert (head.status_code, head.data) == (200, b"")
    assert int(head.headers["Content-Length"]) > 0
    options = shared_api.as_key(None).call("OPTIONS", "/api/v1/jobs")
    assert (options.status_code, options.data) == (200, b"")
    assert set(options.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}
