"""SenML packs (RFC 8428), JSON or CBOR: resolved records, grouped into samples by sensor and time.

A name ends in a channel of the stream (`press-1/x`, `urn:dev:ow:10e2:x`, or `x` alone); what
stands before it is the sensor. A stream whose one channel is `value` takes every name whole.
"""

from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import numpy as np

from ingest.decode.columns import (
    Decoded,
    Part,
    bad_value,
    check_parts,
    check_rows,
    values_of,
)
from ingest.decode.problem import Reason, Unusable
from ingest.decode.spec import DecodeSpec
from ingest.decode.times import LAST_NS

ANY_NAME = "value"
RELATIVE_SECONDS = 2**28  # times below are relative to now: section 4.5.3
VERSION = 10
SEPARATORS = "/:."
# section 6, table 4: integer labels of CBOR
LABELS = {
    -1: "bver",
    -2: "bn",
    -3: "bt",
    -4: "bu",
    -5: "bv",
    -6: "bs",
    0: "n",
    1: "u",
    2: "v",
    3: "vs",
    4: "vb",
    5: "s",
    6: "t",
    7: "ut",
    8: "vd",
}
_VALUES = ("v", "vb", "vs", "vd")
_KNOWN = frozenset(LABELS.values())


@dataclass
class _Sheet:
    """Samples of one sensor in order of arrival, a row for each time."""

    times_ns: list[int] = field(default_factory=list)
    rows: list[list[Any]] = field(default_factory=list)
    row_at: dict[int, list[Any]] = field(default_factory=dict)

    def put(self, time_ns: int, place: int, value: Any, width: int) -> None:
        """Fill the row of this time; a second value for one place opens another row."""
        row = self.row_at.get(time_ns)
        if row is None or row[place] is not None:
            row = [None] * width
            self.row_at[time_ns] = row
            self.times_ns.append(time_ns)
            self.rows.append(row)
        row[place] = value


@dataclass
class _Bases:
    """Base fields in force: each holds from its record to the end of the pack."""

    name: str = ""
    time_ns: int = 0
    value: float = 0

    def take(self, record: dict[str, Any]) -> None:
        if "bn" in record:
            self.name = _text(record, "bn")
        if "bt" in record:
            self.time_ns = _nanoseconds(_number(record, "bt"))
        if "bv" in record:
            self.value = _number(record, "bv")
        version = record.get("bver", VERSION)
        if type(version) is not int or not 0 < version <= VERSION:
            raise _bad(f"its version is {version!r}, versions up to {VERSION} are known")


class Packs:
    """Reads packs of one stream."""

    def __init__(self, spec: DecodeSpec) -> None:
        self._spec = spec
        longest_first = sorted(enumerate(spec.channels), key=lambda item: -len(item[1]))
        self._channels = [(channel, place) for place, channel in longest_first]
        self._any_name = spec.channels == (ANY_NAME,)

    def read(self, document: Any, now_ns: int) -> Decoded:
        """Resolve a pack and group it.

        Args:
            document: the parsed JSON or CBOR.
            now_ns: what relative times count from: when the hub got the event.

        Raises:
            Unusable: bad_senml, bad_time, bad_value, no_samples or too_large.

        """
        if not isinstance(document, list):
            raise _bad("a pack is a list of records")
        bases, sheets, unknown = _Bases(), dict[str, _Sheet](), set[str]()
        width, places = len(self._spec.channels), dict[str, tuple[str, int | None]]()
        for item in document:
            record = _record(item)
            bases.take(record)
            name = bases.name + (_text(record, "n") if "n" in record else "")
            given = _given(record)
            if given is None:
                continue
            if name not in places:
                places[name] = self._split(name)
            sensor, place = places[name]
            if place is None or given == "s":
                unknown.add(name)
                continue
            value = _value(name, record, given, bases.value)
            time_ns = _time(record, bases.time_ns, now_ns)
            sheets.setdefault(sensor, _Sheet()).put(time_ns, place, value, width)
        if not sheets:
            raise self._nothing(unknown)
        return Decoded(self._parts(sheets), len(unknown))

    def _split(self, name: str) -> tuple[str, int | None]:
        """Tell sensor and channel of a name apart; the place is None if it ends in no channel."""
        for channel, place in self._channels:
            if not name.endswith(channel):
                continue
            rest = name[: len(name) - len(channel)]
            if not rest or rest[-1] in SEPARATORS:
                return rest[:-1], place
        return name, 0 if self._any_name else None

    def _nothing(self, unknown: set[str]) -> Unusable:
        if not unknown:
            return Unusable(Reason.NO_SAMPLES, "the pack holds no samples")
        return Unusable(
            Reason.NO_SAMPLES,
            f"no name in the pack, such as {min(unknown)[:80]!r}, is a value of one of the "
            f"channels {', '.join(self._spec.channels)}",
        )

    def _parts(self, sheets: dict[str, _Sheet]) -> list[Part]:
        check_parts(len(sheets))
        check_rows(sum(len(sheet.rows) for sheet in sheets.values()), self._spec)
        return [self._part(sensor, sheet) for sensor, sheet in sheets.items()]

    def _part(self, sensor: str, sheet: _Sheet) -> Part:
        columns = dict(zip(self._spec.channels, zip(*sheet.rows, strict=True), strict=True))
        values = values_of(columns, len(sheet.rows), self._spec)
        return Part(sensor or None, np.array(sheet.times_ns, np.int64), values)


def _record(item: Any) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise _bad("a record is no object")
    if item.keys() <= _KNOWN:
        return item
    if any(type(key) is int for key in item):
        item = {LABELS.get(key, key) if type(key) is int else key: item[key] for key in item}
    record: dict[str, Any] = item
    for key in record:
        if type(key) is str and key.endswith("_"):
            raise _bad(f"field {key[:40]!r} must be understood, and is not")
    return record


def _given(record: dict[str, Any]) -> str | None:
    """Give the field that holds the value, `s` for a sum alone, None for base fields alone."""
    found = [name for name in _VALUES if name in record]
    if len(found) > 1:
        raise _bad(f"a record has two values, {' and '.join(found)}")
    if found:
        return found[0]
    if "s" in record:
        return "s"
    if "n" in record:
        raise _bad("a record has a name but no value")
    return None


def _value(name: str, record: dict[str, Any], given: str, base: float) -> float:
    if given == "v":
        value = _number(record, "v")
        return value + base if base else value
    if given == "vb" and type(record["vb"]) is bool:
        return int(record["vb"])
    raise bad_value(f"the value of {name[:80]!r} is no number or truth value")


def _time(record: dict[str, Any], base_ns: int, now_ns: int) -> int:
    time_ns = base_ns + (_nanoseconds(_number(record, "t")) if "t" in record else 0)
    if time_ns < RELATIVE_SECONDS * 10**9:
        time_ns += now_ns
    if abs(time_ns) > LAST_NS:
        raise Unusable(Reason.BAD_TIME, "a time is outside the years 1677 to 2262")
    return time_ns


def _nanoseconds(seconds: float) -> int:
    """Convert whole and fraction apart, so that no digit of a float is lost."""
    whole = int(seconds // 1)
    return whole * 10**9 + round((seconds - whole) * 10**9)


def _number(record: dict[str, Any], key: str) -> float:
    value = record[key]
    if type(value) is int or (type(value) is float and isfinite(value)):
        return value
    raise _bad(f"field {key} is no finite number")


def _text(record: dict[str, Any], key: str) -> str:
    value = record[key]
    if type(value) is str:
        return value
    raise _bad(f"field {key} is no text")


def _bad(detail: str) -> Unusable:
    return Unusable(Reason.BAD_SENML, f"the body is no SenML: {detail}")
