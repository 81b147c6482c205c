"""A request that is sent twice counts once."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy.orm import Session

from domain import Domain, at_once, overlap
from headrace.access import idempotency
from headrace.access.idempotency import KEPT_FOR, RESERVED_FOR, Answered, Reservation
from headrace.errors import Conflict, IdempotencyKeyReused

ANSWER = {"id": "job_1"}


def _reserve(domain: Domain, key: str = "k", project: str = "default") -> Any:
    return domain.do(idempotency.reserve, project, key, domain.now)


def _complete(domain: Domain, reservation: Reservation) -> None:
    domain.do(
        idempotency.complete,
        reservation,
        request_sha256="a" * 64,
        status=202,
        answer=ANSWER,
        now=domain.now,
    )


def test_the_first_answer_is_given_again(domain: Domain) -> None:
    _complete(domain, _reserve(domain))
    domain.now += KEPT_FOR - timedelta(seconds=1)
    domain.tick()
    again = _reserve(domain)
    assert again == Answered(status=202, answer=ANSWER, request_sha256="a" * 64)
    again.check("a" * 64)
    with pytest.raises(IdempotencyKeyReused):
        again.check("b" * 64)


def test_another_project_and_another_key_are_free(domain: Domain) -> None:
    domain.project("other")
    _complete(domain, _reserve(domain))
    assert isinstance(_reserve(domain, project="other"), Reservation)
    assert isinstance(_reserve(domain, key="K"), Reservation)


def test_while_the_first_is_being_answered_the_second_is_refused(domain: Domain) -> None:
    _reserve(domain)
    before = domain.dump()
    with pytest.raises(Conflict):
        _reserve(domain)
    assert domain.dump() == before


def test_a_refused_request_frees_its_key(domain: Domain) -> None:
    domain.do(idempotency.release, _reserve(domain))
    assert isinstance(_reserve(domain), Reservation)


def test_an_answered_key_is_not_freed(domain: Domain) -> None:
    reservation = _reserve(domain)
    _complete(domain, reservation)
    domain.do(idempotency.release, reservation)
    assert isinstance(_reserve(domain), Answered)


def test_an_abandoned_reservation_ends_and_its_late_owner_has_lost_it(domain: Domain) -> None:
    late = _reserve(domain)
    domain.now += RESERVED_FOR
    rival = _reserve(domain)
    assert isinstance(rival, Reservation)
    before = domain.dump()
    with pytest.raises(Conflict):
        _complete(domain, late)
    domain.do(idempotency.release, late)
    assert domain.dump() == before
    _complete(domain, rival)
    assert isinstance(_reserve(domain), Answered)


def test_the_late_owner_has_lost_it_also_when_it_was_purged(domain: Domain) -> None:
    late = _reserve(domain)
    domain.tick(RESERVED_FOR.total_seconds() + 1)
    with pytest.raises(Conflict):
        _complete(domain, late)


def test_an_answer_is_forgotten_in_the_end(domain: Domain) -> None:
    _complete(domain, _reserve(domain))
    domain.tick(KEPT_FOR.total_seconds() + 1)
    assert domain.dump()["idempotency_keys"] == []


@pytest.mark.parametrize("expired", [False, True])
def test_of_two_that_race_one_may_answer(domain: Domain, expired: bool) -> None:
    if expired:
        _reserve(domain)
        domain.now += RESERVED_FOR
    answer = overlap(
        domain,
        lambda session: idempotency.reserve(session, "default", "k", domain.now),
        partial(_reserve, domain),
    )
    assert isinstance(answer, Conflict)


def test_of_many_that_race_one_may_answer(domain: Domain) -> None:
    for number in range(5):
        answers = at_once(*[partial(_reserve, domain, key=f"k{number}")] * 8)
        assert sorted(type(answer).__name__ for answer in answers) == ["IdempotencyKeyInUse"] * 7 + [
            "Reservation"
        ]


def test_effect_and_answer_are_visible_together_or_not_at_all(domain: Domain) -> None:
    reservation = _reserve(domain)
    before = domain.dump()

    def half(session: Session) -> None:
        idempotency.complete(
            session, reservation, request_sha256="a", status=202, answer=ANSWER, now=domain.now
        )
        session.flush()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        domain.do(half)
    assert domain.dump() == before
