"""What the API tells of costs."""

from __future__ import annotations

from typing import Any

import pytest

from contract.api import Api
from contract.test_dashboard import signed_in
from headrace.jobs import claims, leases, transitions
from headrace.jobs.costs import Usage


def _run(api: Api, model: str = "iris") -> str:
    """Return a job that has failed after some use."""
    api.ready_dataset()
    spec = {"model": model, "dataset": "iris@1", "algorithm": "mlp", "target": "label"}
    job: str = api.submit(spec).json["id"]
    with api.parts.database.transaction() as session:
        now = api.parts.clock()
        lease = claims.claim(session, worker="w", queues=("default",), lane="heavy", now=now, lease_s=15)
        assert lease is not None
        used = Usage(cpu_s=2.5, peak_bytes=1000, energy_j=25.0, energy_source="estimate")
        leases.renew(session, lease, now=now, lease_s=15, used=used)
        transitions.fail(
            session,
            lease,
            type="BadData",
            message="no",
            retryable=False,
            now=now,
            backoff=transitions.Backoff(),
        )
    return job


SPENT = {
    "attempts": 1,
    "wall_s": 0.0,
    "cpu_s": 2.5,
    "peak_bytes": 1000,
    "energy_j": 25.0,
    "energy_source": "estimate",
}


def test_a_job_tells_what_it_cost(api: Api) -> None:
    job = _run(api)
    assert api.get(f"jobs/{job}").json["cost"] == SPENT
    assert [item["cost"] for item in api.get("jobs?kind=train").json["items"]] == [SPENT]
    assert api.submit().json["cost"] is None


def test_totals(api: Api) -> None:
    _run(api)
    items = api.get("costs?by=model").json["items"]
    assert items == [{"project": "default", "name": "iris", "cost": SPENT}]
    (total,) = api.get("costs").json["items"]
    assert (total["name"], total["cost"]["energy_j"]) == ("default", 25.0)
    assert api.get("costs?by=model&until=2000-01-01").json["items"] == []
    assert b"headrace_job_cpu_seconds_total 2.5" in api.call("GET", "/metrics").data


def test_pages_show_costs(api: Api) -> None:
    browser = signed_in(api, "viewer")
    assert "No attempt ended" in browser.get("/costs").text
    job = _run(api)
    told = browser.get("/costs?by=model&since=&until=").text
    assert 'href="/models/iris"' in told
    assert "0.006944 Wh" in told
    assert "(estimate)" in told
    assert "2.5 s" in browser.get(f"/jobs/{job}").text
    assert browser.get("/costs?by=user").status_code == 422


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("by=user", "by"),
        ("since=yesterday", "since"),
        ("until=2027-13-01", "until"),
        ("since=2027-01-02&until=2027-01-01", "until"),
        ("since=0001-01-01", "since"),
    ],
)
def test_wrong_questions(api: Api, query: str, field: str) -> None:
    answer: Any = api.get(f"costs?{query}")
    assert answer.status_code == 422
    assert answer.json["errors"][0]["loc"] == ["query", field]
