"""Times as they were sent, to int64 nanoseconds UTC: exact for integers and ISO 8601."""

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from ingest.decode.checks import SCALE_NS, zone_of
from ingest.decode.problem import Reason, Unusable
from ingest.decode.spec import TimeSpec

Column: TypeAlias = Sequence[Any] | NDArray[Any]
Times: TypeAlias = NDArray[np.int64]
ToNanoseconds: TypeAlias = Callable[[Column], Times]

LAST_NS = 2**63 - 1
_FEW = 16
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001, local times are told apart by their zone below
_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d)(:\d\d)?(?:[.,](\d{1,9}))?"
    r"([Zz]|[+-][01]\d:?[0-5]\d|[+-]2[0-3]:?[0-5]\d)?",
    re.ASCII,
)


def converter(spec: TimeSpec) -> ToNanoseconds:
    """Give the function that turns a column of times into int64 nanoseconds, shape (n,).

    The function raises Unusable (bad_time) for what is no time or is outside int64.

    Raises:
        SettingError: unit or zone is not known.

    """
    zone = zone_of(spec)
    if spec.unit == "iso8601":
        return lambda column: _from_arrays(column, 0) if _is_array(column) else _iso(column, zone)
    scale = SCALE_NS[spec.unit]
    return lambda column: (
        _from_arrays(column, scale) if _is_array(column) else _from_numbers(column, scale)
    )


def _is_array(column: Column) -> bool:
    return isinstance(column, np.ndarray)


def _bad(detail: str) -> Unusable:
    return Unusable(Reason.BAD_TIME, detail)


def _from_numbers(column: Column, scale: int) -> Times:
    kinds = set(map(type, column))
    if kinds == {int} and len(column) <= _FEW:  # a call of NumPy costs more than they do
        limit = LAST_NS // scale
        if max(column) > limit or min(column) < -limit:
            raise _outside()
        return np.array([time * scale for time in column], np.int64)
    if kinds <= {int}:
        return _from_integers(_int64(column), scale)
    if kinds == {float}:
        return _from_floats(np.array(column, np.float64), scale)
    if kinds != {int, float}:
        raise _bad("a time is missing" if type(None) in kinds else "a time is no number")
    whole = np.fromiter((type(value) is int for value in column), bool, len(column))
    times = np.empty(len(column), np.int64)
    times[whole] = _from_integers(_int64([v for v in column if type(v) is int]), scale)
    floats = np.array([v for v in column if type(v) is float], np.float64)
    times[~whole] = _from_floats(floats, scale)
    return times


def _from_arrays(column: Column, scale: int) -> Times:
    times = np.asarray(column)
    if times.dtype.kind == "M":  # says its own unit
        return _from_datetimes(times)
    if not scale:
        raise _bad("times are numbers, the stream expects ISO 8601")
    if times.dtype.kind in "iu":
        if times.dtype.kind == "u" and times.size and int(times.max()) > LAST_NS:
            raise _outside()
        return _from_integers(times.astype(np.int64), scale)
    if times.dtype.kind == "f":
        return _from_floats(times.astype(np.float64), scale)
    raise _bad("times are no numbers")


def _from_datetimes(times: NDArray[Any]) -> Times:
    unit, step = np.datetime_data(times.dtype)
    if unit not in SCALE_NS or np.isnat(times).any():
        raise _bad("a time is NaT, or its unit is not ns, us, ms or s")
    counts = times.astype(times.dtype.newbyteorder("="), copy=False).view(np.int64)
    return _from_integers(counts, SCALE_NS[unit] * step)


def _int64(column: Column) -> Times:
    try:
        return np.array(column, np.int64)
    except OverflowError:
        raise _outside() from None


def _from_integers(times: Times, scale: int) -> Times:
    limit = LAST_NS // scale
    if times.size and (np.maximum.reduce(times) > limit or np.minimum.reduce(times) < -limit):
        raise _outside()
    return times * scale


def _from_floats(times: NDArray[np.float64], scale: int) -> Times:
    """Round to nanoseconds; whole and fraction apart, so that no digit of the float is lost."""
    if not np.isfinite(times).all():
        raise _bad("a time is missing or infinite")
    if (np.abs(times) >= LAST_NS // scale).any():
        raise _outside()
    whole = np.floor(times)
    rest = np.rint((times - whole) * scale)
    return whole.astype(np.int64) * np.int64(scale) + rest.astype(np.int64)


def _outside() -> Unusable:
    return _bad("a time is outside the years 1677 to 2262")


def _iso(column: Column, zone: ZoneInfo | None) -> Times:
    matches = [_ISO.fullmatch(text) if type(text) is str else None for text in column]
    found = [match.groups() for match in matches if match]
    if len(found) < len(column):
        raise _bad("a time is not ISO 8601, such as 2026-05-09T07:29:33.5Z")
    texts = [f"{date}T{minute}{second or ':00'}" for date, minute, second, _, _ in found]
    try:
        seconds = np.array(texts, "datetime64[s]").astype(np.int64)
    except ValueError:
        raise _bad("a time names a day or an hour that does not exist") from None
    fractions = np.array([int((row[3] or "").ljust(9, "0")) for row in found], np.int64)
    seconds -= np.array(
        [_offset(row[4], second, zone) for row, second in zip(found, seconds, strict=True)],
        np.int64,
    )
    if seconds.size and (np.abs(seconds) >= LAST_NS // 10**9).any():
        raise _outside()
    return seconds * np.int64(10**9) + fractions


def _offset(text: str | None, local_seconds: Any, zone: ZoneInfo | None) -> int:
    """Give the offset from UTC in seconds."""
    if text is None:
        return _zone_offset(int(local_seconds), zone)
    if text in "Zz":
        return 0
    seconds = int(text[1:3]) * 3600 + int(text[-2:]) * 60
    return -seconds if text[0] == "-" else seconds


def _zone_offset(local_seconds: int, zone: ZoneInfo | None) -> int:
    if zone is None:
        raise _bad("a time has no offset from UTC; send one, or set decode.time.zone")
    try:
        local = (_EPOCH + timedelta(seconds=local_seconds)).replace(tzinfo=zone)
    except OverflowError:
        raise _outside() from None
    offset = local.utcoffset()
    return 0 if offset is None else round(offset.total_seconds())
