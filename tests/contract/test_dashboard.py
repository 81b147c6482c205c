"""The dashboard without a browser: who may see and do what, and that pages show what there is as text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from contract.api import NOW, TRAIN, Api
from headrace.access import service as access
from headrace.access import sign_ins
from headrace.artifacts import service as artifacts
from headrace.artifacts.tables import Artifact
from headrace.jobs.tables import Job
from headrace.registry import service as registry
from headrace.registry.tables import ModelExplanation
from headrace.schedules.tables import Schedule
from headrace_web.dashboard import all_pages
from headrace_web.dashboard.pages import COOKIE

HOSTILE = "<b>bold</b><script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
ROLES = ("viewer", "submitter", "maintainer", "admin")
EVALUATION = {
    "rows": 10,
    "bad_rows": 1,
    "metrics": {"accuracy": 0.9},
    "intervals": {"level": 0.95, "method": "bootstrap", "metrics": {"accuracy": [0.8125, 0.9375]}},
    "baseline": {"predicts": HOSTILE, "metrics": {"accuracy": 0.5}},
    "verdict": {"beats_baseline": False, "text": HOSTILE},
    "confusion_matrix": {"labels": ["a", HOSTILE], "counts": [[9, 1], [0, 0]]},
    "per_class": [{"label": HOSTILE, "precision": 0.5, "recall": 1, "f1": 0.7, "rows": 3}],
    "roc": [{"label": name, "points": [[0, 0], [0.25, 0.75], [1, 1]]} for name in ("a", HOSTILE)],
    "pr": [{"label": HOSTILE, "points": [[0, 1], [1, 0.5]]}],
    "calibration": {"of": HOSTILE, "bins": [{"predicted": 0.25, "observed": 0.5, "rows": 4}]},
    "predictions": {"points": [[1e308, -1e308], [0, 0.1], [None, 1]]},
    "fit": {
        "feature": HOSTILE,
        "points": [[1, 2], [2, 4]],
        "line": [[1, 2], [2, 3.5]],
        "averaged_rows": None,
    },
    "worst": [
        {"row": 7, "truth": HOSTILE, "prediction": "a", "probability": 0.75, "values": {HOSTILE: HOSTILE}}
    ],
    "slices": [
        {
            "column": HOSTILE,
            "groups": [
                {
                    **name,
                    "rows": 5,
                    "metrics": {"accuracy": 0.5},
                    "intervals": {"accuracy": [0.375, 0.625]},
                    "small": True,
                    "differs": "worse",
                }
                for name in ({"value": HOSTILE}, {"value": None}, {"from": 1, "to": 2.5}, {"others": 40})
            ],
        }
    ],
    "columns": [{"column": HOSTILE, "type": "text", "encoded_as": HOSTILE, "missing": 3}],
    "warnings": [{"column": HOSTILE, "kind": "leak", "message": HOSTILE}],
}

CURVE = {"label": HOSTILE, "mean": [0.25, 0.5], "ice": [[0.0, 1.0]]}
COST = {"mean": 0.25, "std": 0.1, "interval": [0.125, 0.375]}
EXPLANATION = {
    "method": "permutation",
    "model": "iris@1",
    "dataset": HOSTILE,
    "rows": {"used": 7, "of": 9, "part": "test", "bad": 0},
    "importance": {
        "metrics": {"accuracy": 0.9},
        "repeats": 10,
        "level": 0.95,
        "features": [{"feature": HOSTILE, "type": "number", "metrics": {"accuracy": COST}}],
    },
    "partial_dependence": [
        {"feature": HOSTILE, "type": "number", "grid": [1.0, 2.0], "rows": 7, "curves": [CURVE]},
        {"feature": HOSTILE, "type": "category", "grid": [HOSTILE, "b"], "rows": 7, "curves": [CURVE]},
    ],
}
EXAMPLE = {"row": 3, "label": HOSTILE, "output": 0.75, "baseline": 0.125, "sum": 0.625}
ADDS = {"adds": -0.25, "value": HOSTILE, "feature": HOSTILE, "word": HOSTILE, "known": False}
PIXEL = "data:image/png;base64,iVBORw0KGgo="
ATTRIBUTIONS = {
    "of": "probability",
    "baseline": "a black image",
    "completeness": {"largest_error": 0.0625, "mean_error": 0.01, "most_steps": 50},
}
ATTRIBUTED = [
    {"input": "table", "features": [{"feature": HOSTILE, "size": 1.0, "mean": -1.0}]},
    {"input": "text", "words": [{"label": HOSTILE, "rows": 5, "words": [{**ADDS, "rows": 5}]}]},
    {"input": "image", "picture": {"heat": PIXEL, "values": [[1.0]]}},
]


class Browser:
    """One browser: its cookies, and the form token of the page that it looked at last."""

    def __init__(self, api: Api) -> None:
        self.client: FlaskClient = api.client.application.test_client()
        self.token = ""

    def open(self, method: str, path: str, **options: Any) -> TestResponse:
        headers = {"Accept": "text/html,*/*;q=0.8"} | options.pop("headers", {})
        answer = self.client.open(path, method=method, headers=headers, **options)
        if answer.mimetype == "text/html":
            found = re.search(r'name="form_token" value="(\w+)"', answer.text)
            self.token = found[1] if found else self.token
        return answer

    def get(self, path: str, **options: Any) -> TestResponse:
        return self.open("GET", path, **options)

    def post(self, path: str, **fields: str) -> TestResponse:
        return self.open("POST", path, data={"form_token": self.token, **fields})

    def sign_in(self, key: str, target: str = "/") -> TestResponse:
        self.get("/sign-in")
        return self.open(
            "POST", "/sign-in", query_string={"next": target}, data={"form_token": self.token, "key": key}
        )


def signed_in(api: Api, role: str) -> Browser:
    browser = Browser(api)
    assert browser.sign_in(api.keys[role]).status_code == 303
    assert browser.get("/").status_code == 200
    return browser


@pytest.fixture
def full(api: Api) -> Api:
    """The API of a project with a dataset, two model versions, an alias and jobs, hostile in every name."""
    api.ready_dataset()
    api.model_version()
    api.model_version()
    rows = api.store(json.dumps({"columns": [HOSTILE], "rows": [{HOSTILE: HOSTILE}]}).encode())
    profile = {"type": "category", "count": 1, "missing": 0, "distinct": 1, "warnings": [HOSTILE]}
    profile["top"] = [{"value": HOSTILE, "count": 1}]
    profiles = api.store(json.dumps({"columns": {HOSTILE: profile}}).encode())
    evaluation = api.store(json.dumps(EVALUATION).encode())
    api.call("PUT", "models/iris/aliases/champion", json={"version": 1})
    job = api.submit(name=HOSTILE, tags={"a": HOSTILE}).json["id"]
    again = {"kind": "train", "spec": TRAIN, "name": HOSTILE}
    assert api.post("schedules", json=SCHEDULE | {"job": again}).status_code == 201
    with api.parts.database.transaction() as session:
        version = registry.version(session, "default", "iris", 1)
        for owner, name, stored in (
            (version.id, "evaluation", evaluation),
            (version.dataset_version, "rows", rows),
            (version.dataset_version, "profile", profiles),
        ):
            session.query(Artifact).filter_by(owner=owner, name=name).delete()
            files = {name: stored}
            artifacts.attach(session, project="default", owner=str(owner), files=files, now=NOW)
        files = {"output": api.store(b"rows"), "evaluation": evaluation}
        files["explanation"] = api.store(json.dumps(EXPLANATION).encode())
        artifacts.attach(session, project="default", owner=job, files=files, now=NOW)
        spec = {"method": "permutation", "dataset": HOSTILE}
        session.add(ModelExplanation(job=job, version=version.id, created_at=NOW, **spec))
    return api


SCHEDULE = {"name": HOSTILE, "cron": "0 3 * * *", "timezone": "Europe/Berlin"}


def _paths(api: Api) -> Iterator[tuple[str, str, str]]:
    """Yield the method, a path that exists and the role of every page."""
    with api.parts.database.read() as session:
        job = session.query(Job).order_by(Job.id.desc()).first()
        assert job is not None
        schedule = session.query(Schedule).one()
    filled = {"job": job.id, "name": "iris", "version": "1", "schedule": schedule.id}
    for route in all_pages():
        path = re.sub(r"<\w+:(\w+)>", lambda match: filled[match[1]], route.path)
        yield route.method, path, route.role


def test_every_page_of_the_app_is_known(api: Api) -> None:
    rules = {
        rule.endpoint for rule in api.client.application.url_map.iter_rules() if "dashboard" in rule.endpoint
    }
    assert rules == {route.name for route in all_pages()}
    assert len(rules) > 15
    public = {(route.method, route.path) for route in all_pages() if route.role == "public"}
    assert public == {("GET", "/sign-in"), ("POST", "/sign-in")}


def test_who_is_not_signed_in_is_sent_to_sign_in(full: Api) -> None:
    with full.parts.database.transaction() as session:
        row, revoked = access.create_key(session, project="default", role="admin", name="", now=NOW)
        revoked_token = sign_ins.begin(session, revoked, NOW)
        access.revoke_key(session, "default", row.id, NOW)
        old = sign_ins.begin(session, full.keys["admin"], NOW - sign_ins.LASTS)
        ended = sign_ins.begin(session, full.keys["admin"], NOW)
        sign_ins.end(session, ended)
    before = full.footprint()
    tokens = [None, "", "x", "0" * 64, full.keys["admin"], revoked_token, old, ended]
    for method, path, role in _paths(full):
        if role == "public":
            continue
        for token in tokens:
            browser = Browser(full)
            if token is not None:
                browser.client.set_cookie(COOKIE, token, domain="localhost")
            answer = browser.open(method, path)
            assert answer.status_code == 303, (method, path, token)
            assert answer.headers["Location"].startswith("/sign-in"), (method, path)
            # A key in a header opens no page: another site could not send it, but neither do we take it.
            key = {"Authorization": f"Bearer {full.keys['admin']}"}
            assert browser.open(method, path, headers=key).status_code == 303
            asked = browser.open(method, path, headers={"Accept": "application/json"})
            assert asked.status_code == 401, (method, path)
    assert full.footprint() == before


def test_every_page_needs_its_role_and_every_form_its_token(full: Api) -> None:
    paths = list(_paths(full))
    for role in ROLES:
        browser = signed_in(full, role)
        for method, path, needed in paths:
            if needed == "public" or path == "/sign-out":
                continue
            allowed = ROLES.index(role) >= ROLES.index(needed)
            options: dict[str, Any] = {}
            if method == "GET":
                answer = browser.get(path)
                assert (answer.status_code != 403) == allowed, (path, role)
                answer.close()
                continue
            before = full.footprint()
            for data in ({}, {"form_token": ""}, {"form_token": "0" * 64}):
                assert browser.open(method, path, data=data).status_code == 403, (path, role)
            mine = {"X-Form-Token": browser.token}
            for origin in ("http://evil.example", "null", "http://localhost.evil.example"):
                answer = browser.open(method, path, headers=mine | {"Origin": origin}, **options)
                assert answer.status_code == 403, (path, role, origin)
            assert full.footprint() == before
            sent = browser.open(method, path, headers=mine | {"Origin": "http://localhost"}, data={"x": "y"})
            assert (sent.status_code != 403) == allowed, (path, role, sent.text)


def test_nothing_of_another_project_is_there(full: Api) -> None:
    browser = signed_in(full, "other")
    before = full.footprint()
    for method, path, _ in _paths(full):
        if method == "GET" and path.count("/") > 1 and not path.endswith("/new"):
            assert browser.get(path).status_code == 404, path
    for path in ("/", "/jobs", "/datasets", "/models", "/schedules", "/jobs/new?kind=predict"):
        assert "iris" not in browser.get(path).text, path
    (job,) = [path for method, path, _ in _paths(full) if path.endswith("/cancel")]
    assert browser.post(job).status_code == 404
    assert browser.post("/models/iris/aliases", alias="champion", version="2").status_code == 404
    assert full.footprint() == before


def test_pages_show_what_people_write_as_text_and_run_no_script_of_theirs(full: Api) -> None:
    browser = signed_in(full, "maintainer")
    seen = 0
    for method, path, _ in _paths(full):
        if method != "GET":
            continue
        answer = browser.get(path)
        assert answer.status_code == 200, path
        policy = answer.headers["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        if answer.mimetype != "text/html":
            answer.close()
            continue
        assert "<b>bold" not in answer.text, path
        assert "<img src=x" not in answer.text, path
        assert not re.search(r"<script(?! type=\"module\" src=\"/static/\w+\.js\"></script>)", answer.text)
        for tag in re.findall(r"<[a-z][^>]*>", re.sub(r'="[^"]*"', '=""', answer.text)):
            assert not re.search(r"\s(on\w+|style)=", tag), (path, tag)
        seen += unescape(answer.text).count(HOSTILE)
    assert seen > 10


def test_signing_in_and_out(api: Api) -> None:
    browser = Browser(api)
    asked = browser.get("/jobs?state=running&q=a%26b")
    assert asked.headers["Location"] == "/sign-in?next=%2Fjobs%3Fstate%3Drunning%26q%3Da%2526b"
    form = browser.get(asked.headers["Location"])
    first = browser.client.get_cookie(COOKIE)
    assert first is not None
    assert first.http_only
    assert first.same_site == "Lax"
    assert browser.post("/sign-in", key="hr_no").status_code == 422
    assert browser.open("POST", "/sign-in", data={"key": api.keys["viewer"]}).status_code == 403
    action = unescape(re.search(r'action="([^"]+)"', form.text)[1])  # type: ignore[index]
    answer = browser.post(action, key=f" {api.keys['viewer']}\n")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/jobs?state=running&q=a%26b")
    token = browser.client.get_cookie(COOKIE)
    assert token is not None
    assert token.value != first.value
    assert token.http_only
    assert token.same_site == "Lax"
    with api.parts.database.read() as session:
        kept = session.connection().exec_driver_sql("SELECT * FROM sign_ins").all()
    assert token.value not in str(kept)
    assert api.keys["viewer"] not in str(kept) + browser.get("/").text

    for target in ("//evil.example", "https://evil.example", "/\\evil.example", "\\\\evil.example", "x"):
        assert Browser(api).sign_in(api.keys["viewer"], target).headers["Location"] == "/", target

    assert browser.post("/sign-out").headers["Location"] == "/sign-in"
    assert browser.client.get_cookie(COOKIE) is None
    browser.client.set_cookie(COOKIE, token.value, domain="localhost")
    assert browser.get("/").status_code == 303


def test_a_stack_shows_what_its_members_are_worth(full: Api) -> None:
    metrics = {"accuracy": {"folds": [0.75, 0.875], "mean": 0.8125, "interval": [0.5, 1.0]}}
    members = [{"model": "iris@2", "metrics": metrics}, {"model": "gone@1", "metrics": {}}]
    stacking = {"job": "job_1", "folds": 2, "level": 0.95, "members": members}
    with full.parts.database.transaction() as session:
        version = registry.version(session, "default", "iris", 1)
        version.lineage = version.lineage | {"stacking": stacking}
    shown = signed_in(full, "viewer").get("/models/iris/versions/1").text
    assert '<a href="/models/iris/versions/2">iris@2</a>' in shown
    row = re.search(r"<tr><td>accuracy</td>(.*)</tr>", shown)
    assert row is not None
    assert re.sub("<[^>]+>", "|", row[1]) == "|0.8125 |0.5 to 1||||"


def test_a_session_ends_with_its_key(api: Api) -> None:
    with api.parts.database.transaction() as session:
        row, key = access.create_key(
            session,
            project="default",
            role="viewer",
            name="",
            now=NOW - timedelta(days=1),
            expires_at=NOW + timedelta(days=1),
        )
    browser = Browser(api)
    browser.sign_in(key)
    assert browser.get("/").status_code == 200
    with api.parts.database.transaction() as session:
        access.revoke_key(session, "default", row.id, NOW)
    assert browser.get("/").status_code == 303


def test_a_form_says_at_each_field_what_is_wrong_with_it(full: Api) -> None:
    browser = signed_in(full, "submitter")
    form = browser.get("/jobs/new?dataset=iris@1&algorithm=mlp")
    for name in ("spec.params.epochs", "spec.params.optimizer", "spec.target", "spec.split.test"):
        assert f'name="{name}"' in form.text
    right = {f"spec.{name}": str(value) for name, value in TRAIN.items()} | {"kind": "train"}
    before = full.footprint()
    wrong = {"spec.params.epochs": "<i>five", "spec.params.batch_size": "0", "priority": "11", "queue": "No"}
    answer = browser.post("/jobs", **(right | wrong))
    assert answer.status_code == 422
    for field in ("priority", "queue"):
        assert _field(answer.text, field).count('class="error"') == 1, field
    answer = browser.post("/jobs", **(right | {"spec.target": "nothing"}))
    assert answer.status_code == 422
    assert 'class="error"' in _field(answer.text, "spec.target")
    answer = browser.post("/jobs", **(right | {"spec.params.epochs": "<i>five", "spec.params.dropout": "2"}))
    assert 'class="error"' in _field(answer.text, "spec.params.epochs")
    assert 'value="&lt;i&gt;five"' in _field(answer.text, "spec.params.epochs")
    assert 'class="error"' in _field(answer.text, "spec.params.dropout")
    assert 'class="error"' not in _field(answer.text, "spec.params.batch_size")
    assert browser.post("/jobs", kind="train").status_code == 422
    for strange in ({"kind": "ingest"}, {"kind": "x"}, {}):
        assert browser.post("/jobs", **strange).status_code == 404
    assert full.footprint() == before

    given = {"spec.params.epochs": "3", "spec.params.hidden": "8, 4", "spec.params.dropout": ".5"}
    given["spec.slices"] = "label, x"
    answer = browser.post("/jobs", **(right | given | {"spec.features": "x", "priority": "", "name": "n"}))
    assert answer.status_code == 303, answer.text
    job = full.get(answer.headers["Location"].removeprefix("/")).json
    assert (job["spec"]["params"]["epochs"], job["spec"]["params"]["dropout"]) == (3, 0.5)
    assert job["spec"]["features"] == ["x"]
    assert job["spec"]["slices"] == ["label", "x"]
    assert (job["name"], job["priority"]) == ("n", 5)


def _field(page: str, name: str) -> str:
    """Return the paragraph of one field."""
    (found,) = [p for p in re.findall(r'<p class="field.*?</p>', page, re.DOTALL) if f'name="{name}"' in p]
    return str(found)


def test_uploads_and_what_is_done_to_jobs_and_aliases(full: Api) -> None:
    browser = signed_in(full, "maintainer")
    headers = {"X-Form-Token": browser.token, "Accept": "application/json"}
    csv: dict[str, Any] = {"data": b"a\n1\n", "content_type": "text/csv", "headers": headers}
    answer = browser.open("POST", "/datasets/new/versions?filename=a.csv", **csv)
    assert (answer.status_code, answer.json["dataset"], answer.json["version"]) == (202, "new", 1)
    assert full.get("datasets/new/versions/1").json["filename"] == "a.csv"
    bad = browser.open("POST", "/datasets/No!/versions", **csv)
    assert (bad.status_code, bad.json["errors"][0]["loc"]) == (422, ["path", "name"])

    (job,) = [path for method, path, _ in _paths(full) if path.endswith("/cancel")]
    job = job.removesuffix("/cancel")
    assert browser.post(f"{job}/cancel").headers["Location"] == job
    assert full.get(job.removeprefix("/")).json["state"] == "cancelled"
    assert browser.post(f"{job}/cancel").status_code == 409
    again = browser.post(f"{job}/retry").headers["Location"]
    assert full.get(again.removeprefix("/")).json["retry_of"] in job

    assert browser.post("/models/iris/aliases", alias="champion", version="2").status_code == 303
    assert full.get("models/iris").json["aliases"] == {"champion": 2}
    assert browser.post("/models/iris/aliases", alias="Not a name", version="2").status_code == 422
    for version in ("9", "x", "", "9" * 30):
        assert browser.post("/models/iris/aliases", alias="champion", version=version).status_code == 404
    assert browser.post("/models/iris/aliases", alias="champion", version="none").status_code == 303
    assert full.get("models/iris").json["aliases"] == {}


def test_lists_have_filters_and_pages(full: Api) -> None:
    browser = signed_in(full, "viewer")
    everything = set(re.findall(r'"/jobs/(job_\w+)"', browser.get("/jobs?state=&kind=&q=").text))
    assert len(everything) == 4
    assert len(re.findall(r'"/jobs/(job_\w+)"', browser.get("/jobs?kind=ingest&state=queued").text)) == 1
    seen: list[str] = []
    link: str | None = "/jobs?limit=3&state=queued&q="
    while link:
        page = browser.get(link).text
        seen += re.findall(r'"/jobs/(job_\w+)"', page)
        older = re.search(r'href="([^"]+)" rel="next"', page)
        link = unescape(older[1]) if older else None
    assert sorted(seen) == sorted(everything)
    assert browser.get("/jobs?state=nonsense").status_code == 422
    assert browser.get("/jobs?cursor=nonsense").status_code == 422
    assert "No jobs that fit" in browser.get("/jobs?q=nothing+like+it").text


def test_a_job_is_repeated_on_a_schedule(full: Api) -> None:
    browser = signed_in(full, "maintainer")
    job = full.submit(name="nightly").json["id"]
    form = browser.get(f"/schedules/new?job={job}")
    template = json.loads(unescape(re.search(r"<textarea.*?>(.*?)</textarea>", form.text, re.DOTALL)[1]))  # type: ignore[index]
    assert (template["name"], template["spec"]["dataset"]) == ("nightly", "iris")
    text = json.dumps(template)
    before = full.footprint()
    for fields, wrong in (
        ({"cron": "every day"}, "cron"),
        ({"cron": "0 3 * * *", "timezone": "Mars/Olympus"}, "timezone"),
        ({"every_s": "soon"}, "every_s"),
        ({"every_s": "60", "job": "{"}, "job"),
        ({"every_s": "60", "job": "[" * 100_000}, "job"),
        ({"every_s": "60", "job": text.replace('"label"', '"nothing"')}, "job"),
    ):
        answer = browser.post("/schedules", **({"job": text} | fields))
        assert answer.status_code == 422, fields
        assert 'class="error"' in _field(answer.text, wrong), fields
    assert browser.post("/schedules", job=text, every_s="60", name="a\x00b").status_code == 400
    assert full.footprint() == before

    made = browser.post("/schedules", job=text, every_s="60", name="mine").headers["Location"]
    shown = browser.get(made)
    assert shown.text.count("2027-01-02 03:0") >= 5
    ref = made.removeprefix("/")
    assert browser.post(f"{made}/enabled", enabled="no").status_code == 303
    assert full.get(ref).json["enabled"] is False
    assert browser.post(f"{made}/enabled", enabled="yes").status_code == 303
    assert full.get(ref).json["enabled"] is True
    fired = browser.post(f"{made}/trigger").headers["Location"]
    assert full.get(fired.removeprefix("/")).json["name"] == "nightly"
    assert fired in browser.get(made).text
    assert browser.post(f"{made}/delete").headers["Location"] == "/schedules"
    assert full.get(ref).status_code == 404


def test_live_events_come_to_who_is_signed_in(full: Api) -> None:
    browser = signed_in(full, "viewer")
    (cancel,) = [path for method, path, _ in _paths(full) if path.endswith("/cancel")]
    full.post(cancel.replace("/jobs", "jobs", 1))
    answer = browser.get(cancel.replace("cancel", "events"), headers={"Accept": "text/event-stream"})
    assert answer.mimetype == "text/event-stream"
    assert re.findall(r"^id: (\d+)$", answer.text, re.MULTILINE) == ["1", "2"]
    nobody = Browser(full)
    answer = nobody.get(cancel.replace("cancel", "events"), headers={"Accept": "text/event-stream"})
    assert answer.status_code == 401


def test_an_evaluation_is_drawn_and_told(full: Api) -> None:
    browser = signed_in(full, "viewer")
    job = full.get("jobs").json["items"][0]["id"]
    for path in ("/models/iris/versions/1", f"/jobs/{job}/evaluation"):
        page = browser.get(path).text
        told = unescape(re.sub(r"<[^>]+>", " ", page))
        for words in ("0.8125 to 0.9375", "baseline 0.5", "Largest errors", "0.375 to 0.625", "1 to 2.5"):
            assert words in " ".join(told.split()), words
        assert "40 other levels" in told
        assert "worse than overall" in told
        assert 'class="verdict problem"' in page
        titles = re.findall(r"<figcaption><b>([^<]+)</b>", page)
        # On the page of the version an explanation follows.
        assert titles[:5] == ["ROC", "Precision and recall", "Calibration", "Predictions", "Data and fit"]
        # A quarter of the way over 414 pixels from 54; three quarters up 200 pixels from 222.
        assert "157.5,72.0" in page
        assert "nan" not in page.lower().replace("nanmax", "")


def test_an_explanation_is_drawn_and_told(full: Api) -> None:
    browser = signed_in(full, "viewer")
    job = full.get("jobs").json["items"][0]["id"]
    for path in ("/models/iris/versions/1", f"/jobs/{job}/explanation"):
        page = browser.get(path).text
        told = " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())
        for words in ("on 7 of 9 test rows", "95 % intervals of the mean over 10 shuffles", HOSTILE[:20]):
            assert words in told or words in unescape(page), words
        assert "Importance by accuracy" in page
        # Zero stands behind the labels; the interval's upper end is the rightmost.
        assert re.search(r'class="bar" x="170.0" y="8" width="166.7"', page)
        assert 'class="whisker" x1="253.3" x2="420.0"' in page
        assert 'class="faint"' in page
        assert "mean probability of" in told
        assert "style=" not in page
    assert "Nobody has asked yet" in browser.get("/models/iris/versions/2").text


@pytest.mark.parametrize("kind", ATTRIBUTED)
def test_attributions_are_drawn_and_told(full: Api, kind: dict[str, Any]) -> None:
    example = EXAMPLE | {"features": [ADDS], "words": [ADDS], "image": PIXEL, "heat": PIXEL}
    attributions = ATTRIBUTIONS | kind | {"examples": [example]}
    found = EXPLANATION | {"method": "integrated_gradients", "attributions": attributions}
    del found["importance"]
    job = full.get("jobs").json["items"][0]["id"]
    stored = full.store(json.dumps(found).encode())
    with full.parts.database.transaction() as session:
        session.query(Artifact).filter_by(owner=job, name="explanation").delete()
        artifacts.attach(session, project="default", owner=job, files={"explanation": stored}, now=NOW)
    page = signed_in(full, "viewer").get(f"/jobs/{job}/explanation").text
    told = " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())
    assert "From a black image to each row" in told
    assert "misses the difference by 0.0625 at most" in told
    assert "0.125 → 0.75" in told
    assert "<script>" not in page
    assert "<img src=x" not in page
    shown = {"table": "Contributions", "text": 'class="word against w5"', "image": f'src="{PIXEL}"'}
    assert shown[kind["input"]] in page
