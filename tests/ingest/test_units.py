import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.units import DURATION_UNITS, SIZE_UNITS, Duration, Size


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("5 min", 300),
        ("1 h", 3600),
        ("90 d", 90 * 86400),
        ("250ms", 0.25),
        ("1.5 s", 1.5),
        ("1_000", 1000),
        (".5 h", 1800),
        (7, 7),
        (0.25, 0.25),
        ("0", 0),
    ],
)
def test_a_duration_is_seconds_or_has_a_unit(written: object, seconds: float) -> None:
    assert Duration.read(written) == seconds


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("8 MiB", 8 * 2**20),
        ("10 MB", 10_000_000),
        ("1.5 KiB", 1536),
        ("64kB", 64_000),
        ("2 GiB", 2**31),
        (4096, 4096),
        (1e3, 1000),
    ],
)
def test_a_size_is_bytes_or_has_a_unit(written: object, size: int) -> None:
    assert Size.read(written) == size


def test_a_wrong_unit_lists_the_right_ones_and_the_one_that_was_meant() -> None:
    with pytest.raises(ValueError, match=r"takes ms, s, min, h, d; did you mean min\?"):
        Duration.read("5 mins")
    with pytest.raises(ValueError, match=r"B, kB, MB, GB, KiB, MiB, GiB; did you mean MiB\?"):
        Size.read("8 mib")


@pytest.mark.parametrize(
    "written",
    [
        "",
        "min",
        "-5 s",
        -5,
        "5 5",
        True,
        float("nan"),
        float("inf"),
        [5],
        "1e400",
        "\u0665 s",
        "5 s s",
    ],
)
def test_what_is_no_duration_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match=r"not a duration|takes ms"):
        Duration.read(written)


def test_half_a_byte_and_a_thousand_years_are_refused() -> None:
    with pytest.raises(ValueError, match="no whole number of bytes"):
        Size.read("0.3 B")
    with pytest.raises(ValueError, match="at most 100 years"):
        Duration.read("365_000 d")
    with pytest.raises(ValueError, match="too large"):
        Size.read(2**60)


def test_null_is_told_that_it_cannot_switch_this_off() -> None:
    with pytest.raises(ValueError, match="cannot be switched off"):
        Size.read(None)


def test_the_longest_duration_still_ends_within_int64_nanoseconds() -> None:
    assert Duration.read("36600 d").ns + 2 * 10**18 < 2**63


@given(st.integers(0, 10**6), st.sampled_from(sorted(DURATION_UNITS)))
def test_a_duration_reads_back_as_it_is_spelled(number: int, unit: str) -> None:
    duration = Duration.read(f"{min(number, 36_000)} {unit}")
    assert Duration.read(str(duration)) == duration


@given(st.integers(0, 10**6), st.sampled_from(sorted(SIZE_UNITS)))
def test_a_size_reads_back_as_it_is_spelled(number: int, unit: str) -> None:
    size = Size.read(f"{number} {unit}")
    assert Size.read(str(size)) == size


@given(st.one_of(st.text(), st.floats(), st.integers(), st.none(), st.binary()))
def test_anything_else_gives_a_value_error_and_nothing_worse(written: object) -> None:
    for kind in (Duration, Size):
        with contextlib.suppress(ValueError):
            assert kind.read(written) >= 0
