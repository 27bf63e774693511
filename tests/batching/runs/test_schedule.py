"""Moments of a cron expression, as Debian's cron has them, also where summer time comes or goes."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batching.errors import SettingError
from batching.model import RunRecord
from batching.runs.schedule import FAR_AHEAD_NS, Due, Schedule, Timetable

MINUTE_NS = 60 * 10**9
HOUR_NS = 60 * MINUTE_NS


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 10**9


def moments(schedule: Schedule, begin: str, count: int) -> list[str]:
    found, now = [], at(begin)
    for _ in range(count):
        moment = schedule.after(now)
        assert moment is not None
        found.append(schedule.text(moment))
        now = moment
    return found


def test_every_real_hour_has_its_moment_also_when_summer_time_comes_and_goes() -> None:
    hourly = Schedule("0 * * * *", "Europe/Berlin")
    assert moments(hourly, "2026-03-29T00:30+01:00", 3) == [
        "2026-03-29T01:00:00+01:00",
        "2026-03-29T03:00:00+02:00",  # there is no 02:00
        "2026-03-29T04:00:00+02:00",
    ]
    assert moments(hourly, "2026-10-25T01:30+02:00", 3) == [
        "2026-10-25T02:00:00+02:00",
        "2026-10-25T02:00:00+01:00",  # an hour later
        "2026-10-25T03:00:00+01:00",
    ]


def test_a_fixed_time_that_is_skipped_comes_right_after_and_one_that_is_doubled_comes_once() -> (
    None
):
    nightly = Schedule("30 2 * * *", "Europe/Berlin")
    assert moments(nightly, "2026-03-28T12:00+01:00", 2) == [
        "2026-03-29T03:00:00+02:00",
        "2026-03-30T02:30:00+02:00",
    ]
    assert moments(nightly, "2026-10-24T12:00+02:00", 2) == [
        "2026-10-25T02:30:00+02:00",
        "2026-10-26T02:30:00+01:00",
    ]
    in_the_second_pass = at("2026-10-25T02:10+01:00")
    assert nightly.latest(in_the_second_pass) == at("2026-10-25T02:30+02:00")
    assert nightly.after(in_the_second_pass) == at("2026-10-26T02:30+01:00")


def test_a_zone_may_change_by_half_an_hour() -> None:
    assert moments(Schedule("15 2 * * *", "Australia/Lord_Howe"), "2026-10-03T12:00+10:30", 1) == [
        "2026-10-04T02:30:00+11:00"
    ]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/Bogota"])
@given(
    expression=st.sampled_from(
        [
            "0 * * * *",
            "*/7 * * * *",
            "30 2 * * *",
            "0 6 * * MON-FRI",
            "15 1-3 1,15 * *",
            "0 0 29 2 *",
        ]
    ),
    minute=st.integers(0, 60 * 24 * 366 * 3),
    seconds=st.integers(0, 59),
)
def test_the_latest_moment_and_the_one_after_it_enclose_any_time(
    zone: str, expression: str, minute: int, seconds: int
) -> None:
    schedule = Schedule(expression, zone)
    now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute, seconds=seconds)
    now_ns = int(now.timestamp()) * 10**9
    latest, following = schedule.latest(now_ns), schedule.after(now_ns)
    assert latest is not None
    assert following is not None
    assert latest <= now_ns < following
    assert schedule.after(latest) == following
    assert schedule.latest(latest) == latest
    assert Schedule(expression, zone).latest(following - 1) == latest


@pytest.mark.parametrize(
    ("expression", "zone", "said"),
    [
        ("@hourly", "UTC", "it has five fields, minute, hour, day of the month, month and day"),
        ("0 0 * * * *", "UTC", "five fields"),
        ("0 24 * * *", "UTC", 'its hour cannot be read; such as "0 * * * *" for each full hour'),
        ("0 0 30 2 *", "UTC", "its day of month cannot be read"),
        ("0 0 * * *", "Bonn", "zone: 'Bonn' is no time zone; write a name such as Europe/Helsinki"),
        ("0 0 * * *", "/etc/passwd", "is no time zone"),
    ],
)
def test_what_cannot_be_read_is_named(expression: str, zone: str, said: str) -> None:
    with pytest.raises(SettingError, match=re.escape(said)):
        Schedule(expression, zone)


# --- what is due -------------------------------------------------------------------------


def served(moment: str, *, more: bool = False) -> Timetable:
    timetable = Timetable(Schedule("0 * * * *"))
    place = {"0": 1}
    timetable.take(
        RunRecord("a", 1, "F", "s", "h", 0, place, place, (), scheduled=at(moment), more=more)
    )
    return timetable


def test_a_run_is_due_once_a_moment_is_behind_the_oldest_batch() -> None:
    timetable = served("2026-11-25T10:00Z")
    since = at("2026-11-25T10:20Z")
    assert timetable.due(at("2026-11-25T10:59:59Z"), since) is None
    assert timetable.due(at("2026-11-25T11:00Z"), since) == Due(*[at("2026-11-25T11:00Z")] * 2)


def test_a_moment_without_a_batch_is_not_made_up_for() -> None:
    assert served("2026-11-25T10:00Z").due(at("2026-11-25T13:05Z"), at("2026-11-25T13:03Z")) is None


def test_moments_that_nobody_served_are_one_run() -> None:
    due = served("2026-11-25T10:00Z").due(at("2026-11-25T13:05Z"), at("2026-11-25T10:20Z"))
    assert due == Due(at("2026-11-25T13:00Z"), at("2026-11-25T11:00Z"))


def test_a_batch_that_shows_up_after_its_moment_was_served_waits_for_the_next() -> None:
    timetable, since = served("2026-11-25T11:00Z"), at("2026-11-25T10:59:59Z")
    assert timetable.due(at("2026-11-25T11:00:01Z"), since) is None
    assert timetable.due(at("2026-11-25T12:00Z"), since) is not None


def test_a_run_that_could_not_hold_its_moment_is_followed_by_another() -> None:
    timetable, since = served("2026-11-25T11:00Z", more=True), at("2026-11-25T10:50Z")
    due = timetable.due(at("2026-11-25T11:00:01Z"), since)
    assert due == Due(*[at("2026-11-25T11:00Z")] * 2)


def test_a_clock_that_was_far_ahead_makes_nobody_wait_for_it() -> None:
    timetable, now = served("2027-11-25T11:00Z"), at("2026-11-25T12:00Z")
    assert timetable.due(now, now - HOUR_NS // 2) is not None
    assert timetable.due(now, now + FAR_AHEAD_NS) is None


def test_a_record_of_another_store_says_nothing() -> None:
    timetable = served("2026-11-25T11:00Z")
    timetable.take(RunRecord("a", 2, "F", "other", "h", 0, {}, {}, ()))
    assert timetable.served_ns == at("2026-11-25T11:00Z")
