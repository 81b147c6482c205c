"""When schedules are due: named cases of daylight saving, and properties over a year in four time zones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from headrace.schedules.times import Cron, Every, check_expression, check_timezone

ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]
START, END = datetime(2027, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
CHANGES = [
    datetime(2027, 3, 28, 1),
    datetime(2027, 10, 31, 1),
    datetime(2027, 3, 14, 7),
    datetime(2027, 11, 7, 6),
    datetime(2027, 4, 3, 15),
    datetime(2027, 10, 2, 15, 30),
]
"""When the clocks of these zones change, in UTC."""


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _after(cron: str, zone: str, moment: str, count: int) -> list[str]:
    found = islice(Cron(cron, zone).after(_at(moment)), count)
    return [due.isoformat().replace("+00:00", "Z") for due in found]


def _year(cron: str, zone: str) -> list[datetime]:
    due = []
    for moment in Cron(cron, zone).after(START):
        if moment >= END:
            return due
        due.append(moment)
    return due


def test_a_skipped_time_is_due_at_the_next_minute_that_exists() -> None:
    # Berlin: 02:00 to 03:00 is skipped on 28 March 2027.
    assert _after("30 2 * * *", "Europe/Berlin", "2027-03-27T12:00:00Z", 2) == [
        "2027-03-28T01:00:00Z",
        "2027-03-29T00:30:00Z",
    ]
    # New York: 02:00 to 03:00 on 14 March.
    assert _after("59 2 * * *", "America/New_York", "2027-03-14T00:00:00Z", 1) == ["2027-03-14T07:00:00Z"]
    # Lord Howe: half an hour only, 02:00 to 02:30 on 3 October.
    assert _after("15 2 * * *", "Australia/Lord_Howe", "2027-10-02T12:00:00Z", 1) == ["2027-10-02T15:30:00Z"]
    assert _after("30 2 * * *", "Australia/Lord_Howe", "2027-10-02T12:00:00Z", 1) == ["2027-10-02T15:30:00Z"]
    # Apia had no 30 December 2011.
    assert _after("0 12 30 12 *", "Pacific/Apia", "2011-12-01T00:00:00Z", 1) == ["2011-12-30T10:00:00Z"]


def test_many_skipped_times_are_due_once() -> None:
    assert _after("*/20 * * * *", "Europe/Berlin", "2027-03-28T00:30:00Z", 4) == [
        "2027-03-28T00:40:00Z",
        "2027-03-28T01:00:00Z",
        "2027-03-28T01:20:00Z",
        "2027-03-28T01:40:00Z",
    ]


def test_a_time_that_is_shown_twice_is_due_the_first_time_only() -> None:
    # Berlin: 02:00 to 03:00 comes twice on 31 October 2027.
    assert _after("30 2 * * *", "Europe/Berlin", "2027-10-30T12:00:00Z", 2) == [
        "2027-10-31T00:30:00Z",
        "2027-11-01T01:30:00Z",
    ]
    assert _after("30 2 * * *", "Europe/Berlin", "2027-10-31T00:30:00Z", 1) == ["2027-11-01T01:30:00Z"]
    assert _after("*/30 * * * *", "Europe/Berlin", "2027-10-31T00:00:00Z", 2) == [
        "2027-10-31T00:30:00Z",
        "2027-10-31T02:00:00Z",
    ]
    # Asked within the second showing, nothing of it is left.
    assert _after("45 2 * * *", "Europe/Berlin", "2027-10-31T01:35:00Z", 1) == ["2027-11-01T01:45:00Z"]
    # Lord Howe: 01:30 to 02:00 comes twice on 4 April.
    assert _after("45 1 * * *", "Australia/Lord_Howe", "2027-04-03T12:00:00Z", 2) == [
        "2027-04-03T14:45:00Z",
        "2027-04-04T15:15:00Z",
    ]


def test_a_zone_without_daylight_saving_and_with_odd_minutes() -> None:
    assert _after("0 3 * * *", "Asia/Kathmandu", "2027-03-27T22:00:00Z", 1) == ["2027-03-28T21:15:00Z"]


@pytest.mark.parametrize("zone", ZONES)
def test_a_daily_time_is_due_once_on_every_day_of_the_year(zone: str) -> None:
    for cron in ("0 3 * * *", "30 2 * * *", "45 1 * * *", "0 0 * * *"):
        days = [due.astimezone(ZoneInfo(zone)).date() for due in _year(cron, zone)]
        assert len(days) in (364, 365)
        assert all(later - earlier == DAY for earlier, later in pairwise(days))


@pytest.mark.parametrize("zone", ZONES)
def test_an_hourly_time_is_due_in_every_hour_that_has_a_first_showing(zone: str) -> None:
    hours = 365 * 24
    lost = {"Europe/Berlin": 1, "America/New_York": 1, "Australia/Lord_Howe": 0, "Asia/Kathmandu": 0}
    # In spring the skipped hour's due time falls together with the next one's; in autumn one comes again.
    assert len(_year("0 * * * *", zone)) in (hours - lost[zone] - 1, hours - lost[zone])


_CRONS = st.tuples(
    st.sampled_from(["*", "0", "30", "59", "*/7", "*/15", "10-20", "5,45"]),
    st.sampled_from(["*", "0", "1", "2", "3", "*/2", "0-3", "1,2,23"]),
    st.sampled_from(["*", "1", "28", "31", "L", "*/3"]),
    st.sampled_from(["*", "3", "4", "10,11", "2"]),
    st.sampled_from(["*", "0", "7", "1-5", "SUN", "5L", "0#2"]),
).map(" ".join)


def _readable(cron: str) -> str:
    try:
        return check_expression(cron)
    except ValueError:  # such as 31 February
        assume(False)
        raise


@settings(deadline=None, max_examples=80)
@given(
    cron=_CRONS.map(_readable),
    zone=st.sampled_from(ZONES),
    start=st.one_of(
        st.datetimes(START.replace(tzinfo=None), END.replace(tzinfo=None)),
        st.builds(
            lambda change, before: change - before, st.sampled_from(CHANGES), st.timedeltas(timedelta(), DAY)
        ),
    ),
)
def test_due_times_are_those_of_a_clock_read_minute_by_minute(cron: str, zone: str, start: datetime) -> None:
    """The definition itself: walk over every minute there is, and look at the clock."""
    place = ZoneInfo(zone)
    begin = start.replace(second=0, microsecond=0, tzinfo=UTC)
    end = begin + timedelta(hours=30)
    wanted = set(_walls(cron, begin.astimezone(place), end.astimezone(place)))
    expected = []
    minute = begin
    highest = max(_wall(begin - n * MINUTE, place) for n in range(1, 120))
    while minute < end:
        wall = _wall(minute, place)
        # Everything that the clock shows for the first time, or has jumped over, since the minute before.
        reached = [highest + n * MINUTE for n in range(1, int((wall - highest) / MINUTE) + 1)]
        if any(shown in wanted for shown in reached):
            expected.append(minute)
        highest = max(highest, wall)
        minute += MINUTE
    found = []
    for due in Cron(cron, zone).after(begin - timedelta(microseconds=1)):
        if due >= end:
            break
        found.append(due)
    assert found == expected


def _wall(moment: datetime, place: ZoneInfo) -> datetime:
    return moment.astimezone(place).replace(tzinfo=None)


def _walls(cron: str, begin: datetime, end: datetime) -> list[datetime]:
    """Every naive time that matches, with room on both sides for a clock that jumps."""
    walls = []
    for wall in CronSim(cron, begin.replace(tzinfo=None) - timedelta(hours=3)):
        if wall > end.replace(tzinfo=None) + timedelta(hours=3):
            break
        walls.append(wall)
    return walls


@settings(deadline=None, max_examples=60)
@given(
    cron=_CRONS.map(_readable),
    zone=st.sampled_from(ZONES),
    start=st.datetimes(datetime(2027, 1, 1), datetime(2027, 12, 1)),
)
def test_going_on_from_a_due_time_gives_the_next(cron: str, zone: str, start: datetime) -> None:
    timing = Cron(cron, zone)
    due = list(islice(timing.after(start.replace(tzinfo=UTC)), 6))
    assert all(earlier < later for earlier, later in pairwise(due))
    for earlier, later in pairwise(due):
        assert next(timing.after(earlier)) == later
        assert next(timing.after(later - timedelta(microseconds=1))) == later


@given(seconds=st.integers(1, 10**8), late=st.integers(-(10**6), 10**15))
def test_an_interval_counts_from_its_start(seconds: int, late: int) -> None:
    timing = Every(seconds, START)
    moment = START + timedelta(microseconds=late)
    first, second = islice(timing.after(moment), 2)
    assert first > moment
    assert second - first == timedelta(seconds=seconds)
    assert (first - START) % timedelta(seconds=seconds) == timedelta()
    assert first > START
    assert first - timedelta(seconds=seconds) <= max(moment, START)


def test_the_end_of_the_calendar_ends_it() -> None:
    last = datetime(9999, 12, 30, tzinfo=UTC)
    assert len(list(Cron("0 0 * * *", "UTC").after(last))) == 1
    assert len(list(Cron("0 0 * * *", "Asia/Kathmandu").after(last))) <= 2
    assert len(list(Every(86400, START).after(last))) == 1


def test_a_date_that_never_comes_has_no_due_time() -> None:
    assert list(Cron("0 0 */31 2 MON", "UTC").after(START)) != []
    with pytest.raises(ValueError, match="day-of-month"):
        check_expression("0 0 30 2 *")


@pytest.mark.parametrize(
    "good", ["0 3 * * *", "*/5 0-6,22 1 JAN-MAR mon", "0 0 L * *", "0 9 * * 1#2", "0  9 * * *"]
)
def test_expressions_that_are_read(good: str) -> None:
    assert check_expression(good) == good


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "* * * *",
        "0 0 3 * * *",
        "@daily",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "*/0 * * * *",
        "5-1 * * * *",
        "* * * * 8",
        "R * * * *",
        "\u0661 * * * *",
        "* * * * *\n",
        "*\t* * * *",
        "* * * * * " + "1," * 200,
        "9" * 190 + " * * * *",
        "1#2 * * * *",
        "* * * * L",
        "* * * * 1#2/2",
    ],
)
def test_expressions_that_are_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="cron expression"):
        check_expression(bad)


@settings(deadline=None)
@given(st.from_regex(r"([0-9A-Z*,/#-]{1,5} ){4}[0-9A-Z*,/#-]{1,5}", fullmatch=True))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        check_expression(text)
    except ValueError:
        return
    next(Cron(text, "Europe/Berlin").after(START), None)


def test_time_zones() -> None:
    for good in (*ZONES, "UTC", "Etc/GMT+5", "Europe/Kyiv"):
        assert check_timezone(good) == good
        ZoneInfo(good)
    for bad in ("", "Europe", "europe/berlin", "../UTC", "/etc/localtime", "localtime", "UTC\0", "CET-1CEST"):
        with pytest.raises(ValueError, match="time zone"):
            check_timezone(bad)
