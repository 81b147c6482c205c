"""Ids: unlike, in order, and of the time that they are given."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from headrace.db import first_id, new_id

NOW = datetime(2027, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)


def test_ids_of_one_moment_are_in_order_and_within_a_second_of_it() -> None:
    made = [new_id("tst", NOW) for _ in range(10_000)]
    assert made == sorted(set(made))
    assert first_id("tst", NOW) < made[0]
    assert made[-1] < first_id("tst", NOW + timedelta(seconds=1))


def test_an_id_is_of_its_time_whatever_was_made_before() -> None:
    new_id("tst", NOW + timedelta(days=1))
    new_id("other")
    assert first_id("tst", NOW) < new_id("tst", NOW) < first_id("tst", NOW + timedelta(seconds=1))


def test_ids_by_the_clock_of_the_machine_are_in_order() -> None:
    made = [new_id("tst") for _ in range(1_000)]
    assert made == sorted(set(made))
