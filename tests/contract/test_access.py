"""Who may do what. The matrix is made of the app's own URL map, so that a route without a rule fails it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from contract.api import NOW, TRAIN, Api
from headrace.access import service as access
from headrace.artifacts import service as artifacts
from headrace_web.api import all_routes
from headrace_web.routes import Routes

Problem = Callable[..., dict[str, Any]]

PUBLIC = {"/healthz", "/readyz", "/openapi.json", "/docs", "/static/<path:filename>"}
FILLED = {"name": "iris", "ref": "iris", "id": "job_0", "version": "1", "path": "page.css"}
ROLES = ("viewer", "submitter", "maintainer", "admin")


def _endpoints(api: Api) -> Iterator[tuple[str, str, str]]:
    """Yield the method, rule and a path of everything that the app answers but the pages of the dashboard."""
    for rule in api.client.application.url_map.iter_rules():
        if rule.endpoint.startswith("dashboard."):
            continue  # test_dashboard.py has the same for the pages
        path = re.sub(r"<(\w+):\w+>", lambda match: FILLED[match[1]], rule.rule)
        for method in sorted((rule.methods or set()) - {"OPTIONS"}):
            yield method, rule.rule, path


def test_every_endpoint_wants_a_key_but_the_public_ones(api: Api, problem: Problem) -> None:
    seen = 0
    with api.parts.database.transaction() as session:
        row, revoked = access.create_key(session, project="default", role="admin", name="", now=NOW)
        access.revoke_key(session, "default", row.id, NOW)
        soon = NOW + timedelta(seconds=1)
        _, expired = access.create_key(
            session, project="default", role="admin", name="", now=NOW - timedelta(days=1), expires_at=NOW
        )
        _, valid = access.create_key(
            session, project="default", role="viewer", name="", now=NOW, expires_at=soon
        )
    assert api.as_key(valid).get("jobs").status_code == 200
    bad = ["", "hr_", "Bearer", f"hr_{'0' * 8}_{'0' * 64}", valid[:-1] + "g", revoked, expired, valid + "0"]
    for method, rule, path in _endpoints(api):
        if rule in PUBLIC:
            assert api.as_key(None).call(method, path).status_code in (200, 503), path
            continue
        seen += 1
        for key in [None, *bad]:
            answer = api.as_key(key).call(method, path)
            assert answer.status_code == 401, (method, path, key)
            assert answer.headers["WWW-Authenticate"].startswith("Bearer"), (method, path)
            if method != "HEAD":
                problem(answer, 401)
    assert seen > 40


def test_every_route_needs_its_role(api: Api, problem: Problem) -> None:
    rules = {(route.method, route.path): route for route in all_routes()}
    for method, rule, path in _endpoints(api):
        if rule in PUBLIC:
            continue
        route = rules["GET" if method == "HEAD" else method, rule]
        for role in ROLES:
            status = api.as_key(role).call(method, path).status_code
            allowed = ROLES.index(role) >= ROLES.index(route.role)
            assert (status == 403) != allowed, (method, path, role, status)
            assert status != 401


def test_what_each_role_is_for(api: Api) -> None:
    """The table of roles again, independent of what the routes say."""
    needs = {(route.method, route.path.removeprefix("/api/v1/")): route.role for route in all_routes()}
    for (method, path), role in needs.items():
        if method == "GET" and role != "public" and not path.startswith(("keys", "audit")):
            assert role == "viewer", path
        if path.endswith("/predict"):  # it reads what a model makes of something, and changes nothing
            assert role == "viewer", path
        elif method == "POST" and not path.startswith(("keys", "schedules")):
            assert role == "submitter", path
        if path.startswith("schedules") and method != "GET":
            assert role == "maintainer", path
        if method in ("PUT", "DELETE") or path.startswith(("keys", "audit")):
            assert role == "maintainer", path
        if path.startswith("projects") and method != "GET":
            assert role == "admin", path


def test_a_route_without_a_rule_cannot_be_written() -> None:
    with pytest.raises(TypeError, match="role"):
        Routes("x").route("GET", "/x")  # type: ignore[call-arg]


def test_other_schemes_are_no_key(api: Api, problem: Problem) -> None:
    for header in ["Basic aGk6aGk=", "Bearer", "Token " + api.keys["admin"], api.keys["admin"]]:
        problem(api.get("jobs", headers={"Authorization": header}), 401)
    assert api.get("jobs", headers={"Authorization": f"bearer {api.key}"}).status_code == 200


def test_nothing_of_another_project_is_there(api: Api, problem: Problem) -> None:
    api.ready_dataset()
    api.model_version()
    api.call("PUT", "models/iris/aliases/champion", json={"version": 1})
    job = api.submit().json["id"]
    key = api.get("keys").json["items"][0]["id"]
    output = {"output": api.store(b"rows"), "evaluation": api.store(b"{}")}
    output["explanation"] = api.store(b"{}")
    with api.parts.database.transaction() as session:
        artifacts.attach(session, project="default", owner=job, files=output, now=NOW)
    schedule = api.post("schedules", json={"every_s": 60, "job": {"kind": "train", "spec": TRAIN}}).json["id"]
    before = api.footprint()
    other = api.as_key("other")
    filled = {"job": job, "key": key, "name": "iris", "version": "1", "alias": "champion", "ref": "iris"}
    filled["schedule"] = schedule
    seen = 0
    for route in all_routes():
        owned = re.match(r"/api/v1/(jobs|datasets|models|keys|schedules)/", route.path)
        if not owned or route.consumes:
            continue
        path = re.sub(r"<\w+:(\w+)>", lambda match: filled[match[1]], route.path)
        body = {"PUT": {"json": {"version": 1}}, "PATCH": {"json": {}}}.get(route.method, {})
        if path.endswith("/predict"):
            body = {"json": {"instances": [{}]}}
        query = {"query_string": {"versions": "1"}} if path.endswith("compare") else {}
        if route.method == "GET":
            assert api.get(path, **query).status_code == 200, path
        problem(other.call(route.method, path, **body, **query), 404)
        seen += 1
    assert seen >= 30
    for resource in ("jobs", "datasets", "models", "schedules"):
        assert other.get(resource).json["items"] == []
    assert {key["project"] for key in other.get("keys").json["items"]} == {"other"}
    assert [project["name"] for project in other.get("projects").json["items"]] == ["other"]
    problem(other.submit(TRAIN | {"model": "x"}, depends_on=[job]), 422)
    assert api.footprint() == before


def test_one_name_is_two_things_in_two_projects(api: Api) -> None:
    api.upload("iris", b"a\n1\n")
    assert api.as_key("other").upload("iris", b"a\n1\n").json["version"] == 1
    assert len(api.get("datasets").json["items"]) == 1


def test_only_an_admin_acts_in_another_project(api: Api, problem: Problem) -> None:
    api.as_key("other").upload("theirs")
    admin = api.as_key("admin")
    assert [row["name"] for row in admin.get("datasets?project=other").json["items"]] == ["theirs"]
    assert admin.get("datasets").json["items"] == []
    assert admin.upload("more", query="project=other").status_code == 202
    assert api.as_key("other").get("datasets/more").status_code == 200
    for role in ("viewer", "submitter", "maintainer"):
        problem(api.as_key(role).get("datasets?project=other"), 403)
        problem(api.as_key(role).get("datasets?project=nowhere"), 403)
        assert api.as_key(role).get("datasets?project=default").status_code == 200
    problem(admin.get("datasets?project=nowhere"), 404)
    problem(admin.get("datasets?project=%00"), 422, "query", "project")
    assert len(admin.get("projects").json["items"]) == 2


def test_a_key_is_shown_once_and_ends_when_revoked(api: Api, problem: Problem) -> None:
    made = api.post("keys", json={"role": "submitter", "name": "ci", "expires_at": "2027-02-01T00:00:00Z"})
    assert made.status_code == 201
    assert made.headers["Location"] == f"/api/v1/keys/{made.json['id']}"
    secret = made.json["key"]
    shown = api.get(f"keys/{made.json['id']}")
    assert secret not in shown.text
    assert secret not in api.get("keys").text
    assert (shown.json["role"], shown.json["name"], shown.json["project"]) == ("submitter", "ci", "default")
    assert shown.json["expires_at"] == "2027-02-01T00:00:00.000Z"
    new = api.as_key(secret)
    assert new.get("jobs").status_code == 200
    assert api.call("DELETE", f"keys/{made.json['id']}").status_code == 204
    problem(new.get("jobs"), 401)
    assert api.get(f"keys/{made.json['id']}").json["revoked_at"]


def test_nobody_gives_more_than_they_have(api: Api, problem: Problem) -> None:
    admin_key = next(row["id"] for row in api.get("keys").json["items"] if row["role"] == "admin")
    before = api.footprint()
    problem(api.post("keys", json={"role": "admin"}), 403)
    problem(api.post("keys", json={"role": "viewer", "project": "other"}), 403)
    problem(api.post("keys", json={"role": "viewer", "project": "new"}), 403)
    problem(api.call("DELETE", f"keys/{admin_key}"), 403)
    problem(api.post("keys", json={"role": "owner"}), 422, "role")
    problem(
        api.post("keys", json={"role": "viewer", "expires_at": "2020-01-01T00:00:00Z"}), 422, "expires_at"
    )
    problem(api.post("keys", json={"role": "viewer", "expires_at": "2030-01-01"}), 422, "expires_at")
    problem(api.post("keys", json={"role": "viewer", "expires_at": 1_900_000_000}), 422, "expires_at")
    assert api.footprint() == before
    made = api.as_key("admin").post("keys", json={"role": "maintainer", "project": "new"})
    assert made.status_code == 201
    assert api.as_key(made.json["key"]).get("datasets").json["items"] == []


def test_only_known_hosts_are_answered(api: Api, problem: Problem) -> None:
    for host in (
        "evil.example",
        "evil.example:8700",
        "127.0.0.1.evil.example",
        "",
        "[",
        "localhost@evil.example",
    ):
        problem(api.get("jobs", headers={"Host": host}), 400)
        problem(api.get("/docs", headers={"Host": host}), 400)
    for host in ("localhost", "LOCALHOST:8700", "127.0.0.1:1", "[::1]:8700"):
        assert api.get("jobs", headers={"Host": host}).status_code == 200
    assert api.get("/healthz", headers={"Host": "10.0.0.7:8700"}).status_code == 200
