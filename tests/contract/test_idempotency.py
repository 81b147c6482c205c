"""What is sent twice with one key happens once."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from contract.api import NOW, TRAIN, Api
from headrace.access import idempotency
from headrace_web.idempotency import once

Problem = Callable[..., dict[str, Any]]

KEY = {"Idempotency-Key": "a-1"}
BODY = b"id,x,label\n1,2.5,a\n"


def streamed(api: Api, body: io.BytesIO) -> Any:
    """Upload `BODY` as it is read from ``body``."""
    how: dict[str, Any] = {"content_length": len(BODY), "content_type": "text/csv"}
    return api.post("datasets/iris/versions", input_stream=body, headers=KEY, **how)


def test_the_same_again_gives_the_first_answer_again(api: Api) -> None:
    api.ready_dataset()
    first = api.submit(headers=KEY)
    before = api.footprint()
    again = api.submit(headers={"Idempotency-Key": '"a-1"'})
    assert first.status_code == again.status_code == 202
    assert first.data == again.data
    assert first.headers["Location"] == again.headers["Location"]
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert api.footprint() == before
    assert api.submit(headers={"Idempotency-Key": "a-2"}).json["id"] != first.json["id"]


def test_uploads_and_retries_too(api: Api) -> None:
    first = api.upload("iris", headers=KEY)
    assert api.upload("iris", headers=KEY).data == first.data
    assert first.status_code == 202
    job = first.json["job"]
    api.post(f"jobs/{job}/cancel")
    retried = api.post(f"jobs/{job}/retry", headers={"Idempotency-Key": "r"})
    again = api.post(f"jobs/{job}/retry", headers={"Idempotency-Key": "r"})
    assert retried.status_code == again.status_code == 202
    assert retried.data == again.data


def test_another_request_with_the_key_is_refused(api: Api, problem: Problem) -> None:
    api.ready_dataset()
    api.submit(headers=KEY)
    before = api.footprint()
    others = [
        api.submit(TRAIN | {"seed": 1}, headers=KEY),
        api.upload("iris", b"y\n1\n", headers=KEY),
        api.upload("rose", headers=KEY),
    ]
    for answer in others:
        assert problem(answer, 422)["type"].endswith("/idempotency-key-reused")
    assert api.footprint() == before


def test_path_and_query_are_part_of_a_request(api: Api, problem: Problem) -> None:
    api.upload("iris", headers=KEY)
    problem(api.upload("rose", headers=KEY), 422)
    problem(api.upload("iris", headers=KEY, query="types=x:text"), 422)


def test_a_key_belongs_to_its_project(api: Api) -> None:
    first = api.upload("iris", headers=KEY)
    other = api.as_key("other").upload("iris", b"y\n1\n", headers=KEY)
    assert other.status_code == first.status_code == 202
    assert "Idempotency-Replayed" not in other.headers


def test_a_refused_request_frees_the_key(api: Api, problem: Problem) -> None:
    problem(api.submit(headers=KEY), 422, "spec", "dataset")
    api.ready_dataset()
    assert api.submit(headers=KEY).status_code == 202


def test_a_fault_frees_the_key(api: Api, problem: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    api.ready_dataset()
    before = api.footprint()
    with monkeypatch.context() as patch:
        # After the effect: that is undone with it.
        patch.setattr("headrace_web.idempotency.idempotency.complete", lambda *_, **__: 1 / 0)
        problem(api.submit(headers=KEY), 500)
    assert api.footprint() == before
    assert api.submit(headers=KEY).status_code == 202


@pytest.mark.parametrize("key", ["", '""', "a b", "é", "k" * 256, "tab\there"])
def test_a_bad_key(api: Api, problem: Problem, key: str) -> None:
    problem(api.submit(headers={"Idempotency-Key": key}), 422, "header", "Idempotency-Key")


def test_the_longest_key(api: Api) -> None:
    api.ready_dataset()
    for _ in range(2):
        assert api.submit(headers={"Idempotency-Key": "~" * 255}).status_code == 202
    assert len(api.get("jobs?kind=train").json["items"]) == 1


def test_while_the_first_is_being_answered_the_second_is_refused(
    api: Api, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.ready_dataset()
    inside, go_on = threading.Event(), threading.Event()

    def once_slowly(call: Any, act: Any, **given: Any) -> Any:
        # Before the transaction of the effect, since SQLite has one writer.
        return once(call, act, prepare=lambda: (inside.set(), go_on.wait(20)), **given)

    monkeypatch.setattr("headrace_web.api.jobs.once", once_slowly)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(api.submit, headers=KEY)
        assert inside.wait(20)
        answer = api.submit(headers=KEY)
        go_on.set()
        assert first.result().status_code == 202
    problem(answer, 409)
    assert api.submit(headers=KEY).headers["Idempotency-Replayed"] == "true"
    assert len(api.get("jobs?kind=train").json["items"]) == 1


def test_while_an_upload_is_received_the_second_is_refused(api: Api, problem: Problem) -> None:
    seen = []

    class Slow(io.BytesIO):
        """A body that is read while another request comes."""

        def read(self, size: int | None = -1) -> bytes:
            if not seen:
                refused = api.upload("iris", headers=KEY)
                assert refused.headers["Retry-After"] == "1"
                seen.append(problem(refused, 409)["type"].rpartition("/")[2])
            return super().read(size)

    first = streamed(api, Slow(BODY))
    assert first.status_code == 202
    assert seen == ["idempotency-key-in-use"]


def test_of_many_at_once_one_counts(api: Api) -> None:
    api.ready_dataset()
    with ThreadPoolExecutor(8) as pool:
        answers = [found.result() for found in [pool.submit(api.submit, headers=KEY) for _ in range(16)]]
    assert {answer.status_code for answer in answers} <= {202, 409}
    assert len({answer.data for answer in answers if answer.status_code == 202}) == 1
    assert len(api.get("jobs?kind=train").json["items"]) == 1


def test_a_late_owner_cannot_complete(api: Api, problem: Problem) -> None:
    """The process that reserved the key stalls past its reservation; another answers; the first wakes up."""
    api.ready_dataset()
    database = api.parts.database
    with database.transaction() as session:
        held = idempotency.reserve(session, "default", "a-1", NOW - timedelta(minutes=5))
    assert isinstance(held, idempotency.Reservation)
    assert api.submit(headers=KEY).status_code == 202
    with pytest.raises(Exception, match="took too long"), database.transaction() as session:
        idempotency.complete(
            session, held, request_sha256="0", status=202, answer={"body": "", "headers": {}}, now=NOW
        )


def test_an_upload_keeps_its_key_for_as_long_as_it_takes(
    api: Api, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no longer: the reservation of a server that was killed is over after a minute, not after hours."""
    extend, extended = idempotency.extend, threading.Event()

    def told(*given: Any) -> None:
        extend(*given)
        extended.set()

    monkeypatch.setattr(idempotency, "extend", told)
    monkeypatch.setattr("headrace_web.idempotency.EXTENDED_EVERY_S", 0.01)

    class Stalled(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            assert extended.wait(20)
            return super().read(size)

    first = streamed(api, Stalled(BODY))
    assert first.status_code == 202
    assert api.upload("iris", BODY, headers=KEY).data == first.data
    assert not [thread for thread in threading.enumerate() if thread.name == "idempotency"]
