"""Durations and sizes as people write them: with a unit, or as plain seconds and bytes."""

import difflib
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Self

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

DURATION_UNITS: Mapping[str, Decimal] = {
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "min": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86400),
}
SIZE_UNITS: Mapping[str, Decimal] = {
    "B": Decimal(1),
    "kB": Decimal(10**3),
    "MB": Decimal(10**6),
    "GB": Decimal(10**9),
    "KiB": Decimal(2**10),
    "MiB": Decimal(2**20),
    "GiB": Decimal(2**30),
}
LONGEST_SECONDS = 100 * 366 * 86400  # a due time so far ahead still fits an int64 of nanoseconds
LARGEST_BYTES = 2**50
_WRITTEN = re.compile(r"(?P<number>[0-9][0-9_]*(\.[0-9]+)?|\.[0-9]+)\s*(?P<unit>[^\W\d_]*)")
_SCHEMA_ANY = core_schema.any_schema()


class Duration(float):
    """A span of time in seconds."""

    ACCEPTS = "a duration such as 5 min (units ms, s, min, h, d; a plain number is seconds)"

    @classmethod
    def read(cls, value: Any) -> Self:
        """Read what somebody wrote.

        Raises:
            ValueError: no number, no known unit, negative, or over a hundred years.

        """
        seconds = _read(value, DURATION_UNITS, "a duration", "5 min")
        if seconds > LONGEST_SECONDS:
            raise ValueError(f"{value!r} is too long: at most 100 years (36600 d)")
        return cls(seconds)

    @property
    def ns(self) -> int:
        """Give it in nanoseconds."""
        return round(self * 10**9)

    def __str__(self) -> str:
        return _spell(Decimal(repr(float(self))), DURATION_UNITS, "s", smallest="ms")

    __repr__ = __str__

    @classmethod
    def __get_pydantic_core_schema__(cls, _: Any, __: GetCoreSchemaHandler) -> CoreSchema:
        return _schema(cls)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, _: CoreSchema, __: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": ["number", "string"], "description": cls.ACCEPTS}


class Kept(Duration):
    """How long something is kept; for ever is an infinite span, written `keep`."""

    ACCEPTS = "keep, or a duration such as 90 d"

    @classmethod
    def read(cls, value: Any) -> Self:
        """Read what somebody wrote.

        Raises:
            ValueError: neither the word keep nor a duration.

        """
        if isinstance(value, Kept) or value == "keep":
            return cls(math.inf if value == "keep" else value)
        try:
            return cls(Duration.read(value))
        except ValueError as error:
            raise ValueError(f"{error}; or the word keep") from None

    @property
    def age_ns(self) -> int | None:
        """Give it in nanoseconds; None: for ever."""
        return None if math.isinf(self) else self.ns

    def __str__(self) -> str:
        return "keep" if math.isinf(self) else Duration(self).__str__()

    __repr__ = __str__


class Size(int):
    """A number of bytes."""

    ACCEPTS = "a size such as 8 MiB (units B, kB, MB, GB, KiB, MiB, GiB; a plain number is bytes)"

    @classmethod
    def read(cls, value: Any) -> Self:
        """Read what somebody wrote.

        Raises:
            ValueError: no number, no known unit, negative, or no whole number of bytes.

        """
        size = _read(value, SIZE_UNITS, "a size", "8 MiB")
        if size > LARGEST_BYTES:
            raise ValueError(f"{value!r} is too large: at most 1048576 GiB")
        if size != int(size):
            raise ValueError(f"{value!r} is no whole number of bytes")
        return cls(size)

    def __str__(self) -> str:
        return _spell(Decimal(int(self)), SIZE_UNITS, "B", smallest="B")

    __repr__ = __str__

    @classmethod
    def __get_pydantic_core_schema__(cls, _: Any, __: GetCoreSchemaHandler) -> CoreSchema:
        return _schema(cls)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, _: CoreSchema, __: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": ["integer", "string"], "description": cls.ACCEPTS}


def _schema(kind: type[Duration | Size]) -> CoreSchema:
    spell = core_schema.plain_serializer_function_ser_schema(str, when_used="always")
    return core_schema.no_info_before_validator_function(
        kind.read, _SCHEMA_ANY, serialization=spell
    )


def _read(value: Any, units: Mapping[str, Decimal], what: str, example: str) -> Decimal:
    """Give a number of base units."""
    number, unit = _split(value, what, units, example)
    if unit and unit not in units:
        raise ValueError(
            f"{value!r} has the unit {unit!r}, {what} takes {', '.join(units)}{_hint(unit, units)}"
        )
    return number * units[unit] if unit else number


def _split(
    value: Any, what: str, units: Mapping[str, Decimal], example: str
) -> tuple[Decimal, str]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        if math.isfinite(value) and value >= 0:
            return Decimal(repr(value) if type(value) in (int, float) else repr(value + 0)), ""
    elif isinstance(value, str) and (found := _WRITTEN.fullmatch(value.strip())):
        return Decimal(found["number"].replace("_", "")), found["unit"]
    if value is None:
        raise ValueError(f"must be {what}, not null: this cannot be switched off")
    raise ValueError(
        f"{value!r} is not {what}; write a number, or one with {', '.join(units)}, such as "
        f"{example}"
    )


def _hint(unit: str, units: Mapping[str, Decimal]) -> str:
    """Suggest a unit: another case of one first, then a similar one."""
    same = [name for name in units if name.lower() == unit.lower()]
    near = same or difflib.get_close_matches(unit, units, n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""


def _spell(amount: Decimal, units: Mapping[str, Decimal], base: str, *, smallest: str) -> str:
    """Use the largest unit that leaves a whole number."""
    if not amount:
        return f"0 {base}"
    for unit, factor in sorted(units.items(), key=lambda item: -item[1]):
        if amount >= factor and amount % factor == 0:
            return f"{int(amount / factor)} {unit}"
    unit = base if amount >= units[base] else smallest
    return f"{(amount / units[unit]).normalize():f} {unit}"
