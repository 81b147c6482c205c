"""Lists: pages that neither repeat nor leave out, whatever arrives meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from contract.api import TRAIN, Api

Problem = Callable[..., dict[str, Any]]


def _pages(
    api: Api, path: str, limit: int, between: Callable[[], object] = lambda: None
) -> Iterator[list[Any]]:
    cursor = ""
    while True:
        join = "&" if "?" in path else "?"
        answer = api.get(f"{path}{join}limit={limit}{cursor}")
        assert answer.status_code == 200, answer.text
        yield answer.json["items"]
        if answer.json["next_cursor"] is None:
            return
        cursor = f"&cursor={answer.json['next_cursor']}"
        between()


def test_pages_hold_still_while_rows_arrive(api: Api) -> None:
    api.ready_dataset()
    made = [api.submit(name=f"n{number}").json["id"] for number in range(7)]
    seen = list(_pages(api, "jobs?kind=train", 3, between=api.submit))
    assert [len(page) for page in seen] == [3, 3, 1]
    assert [job["id"] for page in seen for job in page] == made[::-1]


def test_a_last_page_that_is_full_has_no_cursor(api: Api) -> None:
    api.ready_dataset()
    for _ in range(4):
        api.submit()
    assert [len(page) for page in _pages(api, "jobs?kind=train", 2)] == [2, 2]


def test_every_list_pages(api: Api) -> None:
    for content in (b"a\n1\n", b"a\n2\n", b"a\n3\n"):
        api.upload("flowers", content)
    for name in ("rose", "tulip", "iris"):
        api.ready_dataset(name)
    for model in ("one", "two", "three"):
        api.model_version(model)
        api.model_version("one")
    first = api.get("jobs").json["items"][0]["id"]
    lists = ["jobs", f"jobs/{first}/events", "datasets", "datasets/flowers/versions", "models"]
    lists += ["models/one/versions", "algorithms", "keys"]
    job = {"kind": "train", "spec": TRAIN}
    for _ in range(3):
        schedule = api.post("schedules", json={"every_s": 60, "job": job}).json["id"]
    for _ in range(3):
        api.post(f"schedules/{schedule}/trigger")
    lists += ["schedules", f"schedules/{schedule}/runs"]
    for path in lists:
        whole = api.get(path).json["items"]
        assert len(whole) >= (1 if path.endswith("events") else 3), path
        assert [item for page in _pages(api, path, 1) for item in page] == whole, path
    admin = api.as_key("admin")
    assert [len(page) for page in _pages(admin, "projects", 1)] == [1, 1]


def test_newest_first_but_events_oldest_first(api: Api) -> None:
    api.upload("first")
    job = api.upload("second").json["job"]
    assert [row["name"] for row in api.get("datasets").json["items"]] == ["second", "first"]
    api.post(f"jobs/{job}/cancel")
    events = api.get(f"jobs/{job}/events").json["items"]
    assert [event["seq"] for event in events] == [1, 2]
    assert [event["data"]["state"] for event in events] == ["queued", "cancelled"]
    assert [event["seq"] for event in api.get(f"jobs/{job}/events?after=1").json["items"]] == [2]
    assert api.get(f"jobs/{job}/events?after=2").json == {"items": [], "next_cursor": None}


def test_a_cursor_serves_only_the_list_that_gave_it(api: Api, problem: Problem) -> None:
    api.ready_dataset()
    api.submit()
    cursor = api.get("jobs?limit=1").json["next_cursor"]
    assert api.get(f"jobs?limit=1&cursor={cursor}").status_code == 200
    assert api.get(f"jobs?limit=7&cursor={cursor}").status_code == 200
    flipped = cursor[:-1] + ("A" if cursor[-1] != "A" else "B")
    middle = len(cursor) // 2
    swapped = cursor[:middle] + ("x" if cursor[middle] != "x" else "y") + cursor[middle + 1 :]
    for wrong in (flipped, swapped, cursor[:-4], cursor + "AAAA", "job_1"):
        problem(api.get(f"jobs?cursor={wrong}"), 422, "query", "cursor")
    problem(api.get(f"jobs?kind=train&cursor={cursor}"), 422, "query", "cursor")
    problem(api.get(f"datasets?cursor={cursor}"), 422, "query", "cursor")
    assert api.as_key("other").get(f"jobs?cursor={cursor}").json["items"] == []


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["c", "b", "a"]),
        ("state=queued", ["c", "b"]),
        ("state=cancelled", ["a"]),
        ("state=running", []),
        ("model=m1", ["b", "a"]),
        ("model=none", []),
        ("dataset=iris", ["c", "b", "a"]),
        ("queue=gpu", ["c"]),
        ("tag=team:vision", ["b"]),
        ("tag=team:", []),
        ("q=B", ["b"]),
        ("q=%25", []),
        ("model=m1&state=queued", ["b"]),
        ("created_after=2027-01-02T03:04:04Z", ["c", "b", "a"]),
        ("created_after=2027-01-02T03:04:05Z", []),
        ("created_before=2027-01-02T04:04:06%2B01:00", ["c", "b", "a"]),
    ],
)
def test_filters_of_jobs(filtered: Api, query: str, names: list[str]) -> None:
    found = filtered.get(f"jobs?kind=train&{query}").json["items"]
    assert [job["name"] for job in found] == names


@pytest.fixture(scope="module")
def filtered(shared_api: Api) -> Api:
    """Three jobs: ``a`` and ``b`` of the model m1, of which ``a`` is cancelled, and ``c``."""
    first = shared_api.submit(TRAIN | {"model": "m1"}, name="a").json["id"]
    shared_api.post(f"jobs/{first}/cancel")
    shared_api.submit(TRAIN | {"model": "m1"}, name="b", tags={"team": "vision"})
    shared_api.submit(TRAIN | {"model": "m2"}, name="c", queue="gpu")
    return shared_api


def test_a_job_is_found_by_its_id(filtered: Api) -> None:
    job = filtered.get("jobs?q=b&kind=train").json["items"][0]
    assert [found["id"] for found in filtered.get(f"jobs?q={job['id']}").json["items"]] == [job["id"]]
