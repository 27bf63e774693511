from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batching.errors import SettingError
from ingest.decode.checks import SCALE_NS
from ingest.decode.problem import Reason, Unusable
from ingest.decode.spec import TimeSpec
from ingest.decode.times import LAST_NS, converter

UNITS = st.sampled_from(sorted(SCALE_NS))


def to_ns(column, unit="ns", zone=None) -> list[int]:
    return converter(TimeSpec("t", unit, zone))(column).tolist()


def refused(column, unit="ns", zone=None) -> str:
    with pytest.raises(Unusable) as caught:
        to_ns(column, unit, zone)
    assert caught.value.reason is Reason.BAD_TIME
    return caught.value.detail


@given(UNITS, st.lists(st.integers(-LAST_NS, LAST_NS), max_size=5))
def test_whole_numbers_are_exact(unit, numbers) -> None:
    times = [number // SCALE_NS[unit] for number in numbers]
    times = [max(time, -(LAST_NS // SCALE_NS[unit])) for time in times]
    expected = [time * SCALE_NS[unit] for time in times]
    assert to_ns(times, unit) == expected
    assert to_ns(np.array(times, ">i8"), unit) == expected


@given(UNITS, st.lists(st.integers(-(2**64), 2**64), min_size=1, max_size=5))
def test_few_times_are_what_they_are_among_many(unit, times) -> None:
    def told(column: list[int]) -> list[int] | str:
        try:
            return to_ns(column, unit)[: len(times)]
        except Unusable as error:
            return f"{error.reason}: {error.detail}"

    assert told(times) == told(times + [0] * 100)


@given(UNITS, st.integers(-(2**62), 2**62))
def test_fractions_are_exact_to_a_nanosecond_of_the_float(unit, number) -> None:
    scale = SCALE_NS[unit]
    time = number / scale
    assert abs(to_ns([time], unit)[0] - Fraction(time) * scale) <= Fraction(1, 2)


@given(UNITS, st.integers(2**53, LAST_NS))
def test_floats_beside_whole_numbers_cost_them_no_digit(unit, number) -> None:
    time = number // SCALE_NS[unit]
    assert to_ns([time, 0.5], unit) == [time * SCALE_NS[unit], round(0.5 * SCALE_NS[unit])]


@pytest.mark.parametrize("unit", sorted(SCALE_NS))
def test_what_leaves_int64_is_refused(unit) -> None:
    beyond = LAST_NS // SCALE_NS[unit] + 1
    for time in (beyond, -beyond, 10**30, float(beyond), -1e300):
        assert "outside" in refused([0, time] if type(time) is int else [0.0, time], unit)
    refused(np.array([2**64 - 1], np.uint64), unit)


@pytest.mark.parametrize("column", [[None], [1, None], ["1"], [True], [[1]], [{}]])
def test_what_is_no_number_is_refused(column) -> None:
    refused(column)


@pytest.mark.parametrize("time", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_refused(time) -> None:
    refused([time])
    refused(np.array([time], np.float32))


@given(
    st.lists(
        st.tuples(
            st.datetimes(datetime(1700, 1, 1), datetime(2250, 1, 1)),  # noqa: DTZ001
            st.integers(-23 * 60, 23 * 60),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_iso_times_agree_with_the_standard_library(moments) -> None:
    moments = [m.replace(tzinfo=timezone(timedelta(minutes=offset))) for m, offset in moments]
    microsecond = timedelta(microseconds=1)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    expected = [(moment - epoch) // microsecond * 1000 for moment in moments]
    assert to_ns([moment.isoformat() for moment in moments], "iso8601") == expected


def test_iso_times_keep_nine_digits_and_know_the_common_spellings() -> None:
    assert to_ns(["1970-01-01T00:00:01.123456789Z"], "iso8601") == [1_123_456_789]
    spellings = ["1970-01-01 00:01Z", "1970-01-01t00:01:00z", "1970-01-01T02:01:00,0+02:00"]
    assert to_ns([*spellings, "1969-12-31T23:01:00-0100"], "iso8601") == [60 * 10**9] * 4


def test_iso_times_without_an_offset_need_a_zone() -> None:
    assert "zone" in refused(["2026-07-01T12:00:00"], "iso8601")
    summer, winter = to_ns(
        ["2026-07-01T12:00:00", "2026-01-01T12:00:00"], "iso8601", "Europe/Helsinki"
    )
    assert [summer, winter] == to_ns(
        ["2026-07-01T12:00:00+03:00", "2026-01-01T12:00:00+02:00"], "iso8601"
    )


@pytest.mark.parametrize(
    "text",
    ["", "now", "NaT", "2026", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "20260101T000000Z",
     "2026-01-01T25:00:00Z", "2026-01-01T00:00:00+99:00", "9999-01-01T00:00:00Z",
     "0000-01-01T00:00:00", "2026-01-01T00:00:00.1234567890Z", "\uff12026-01-01T00:00:00Z",
     5, None],
)  # fmt: skip
def test_what_is_no_iso_time_is_refused(text) -> None:
    refused([text], "iso8601", "UTC")


def test_numpy_datetimes_say_their_own_unit() -> None:
    times = np.array(["2026-01-01T00:00:01", "2026-01-01T00:00:02"], ">M8[ms]")
    expected = times.astype("M8[ns]").astype(np.int64).tolist()
    assert to_ns(times, "iso8601") == to_ns(times, "s") == expected
    refused(np.array(["NaT"], "M8[ms]"))
    refused(np.array(["2026-01"], "M8[M]"))


def test_a_zone_or_unit_that_is_not_there_is_a_setting_error() -> None:
    for zone in ("Mars/Olympus", "../etc/passwd", ""):
        with pytest.raises(SettingError, match="zone"):
            converter(TimeSpec("t", "iso8601", zone))
    with pytest.raises(SettingError, match="unit"):
        converter(TimeSpec("t", "minutes"))
