"""Kinds of values that settings are made of: each checks itself and says what it accepts."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, StrictBool

from batching.runs.jobs import NAME
from ingest.units import Duration, Kept, Size

LONGEST_SHOWN = 60


class Part(BaseModel):
    """A group of settings: what it does not know is an error, and nothing changes later."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, validate_default=True
    )


@dataclass(frozen=True, slots=True)
class Accepts:
    """What a kind of value accepts, for messages and the reference page."""

    text: str


@dataclass(frozen=True, slots=True)
class Hidden:
    """Marks a field that is part of another one's spelling."""


def shown(value: Any) -> str:
    """Spell a wrong value for a message, shortened."""
    text = "null" if value is None else repr(value)
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 3] + "..."


def _whole(low: int, high: int | None = None) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if isinstance(value, str) and re.fullmatch(r"[0-9][0-9_]*", value.strip()):
            value = int(value)
        plain = isinstance(value, int) and not isinstance(value, bool)
        if not plain or value < low or (high is not None and value > high):
            span = f"from {low} on" if high is None else f"from {low} to {high}"
            raise ValueError(f"must be a whole number {span}, got {shown(value)}")
        return int(value)

    return read


def _share(value: Any) -> float:
    """Take a share, also as the environment's text."""
    try:
        share = float(value) if isinstance(value, int | float | str) else -1.0
    except ValueError:
        share = -1.0
    if isinstance(value, bool) or not 0 <= share < 1:
        raise ValueError(f"must be a share from 0 to below 1, such as 0.5, got {shown(value)}")
    return share


def _above_zero(value: Any) -> Any:
    if value <= 0:
        raise ValueError("must be above zero; null switches off what can be switched off")
    return value


def at_most(limit: Size) -> Callable[[Size], Size]:
    """Check that a size is not above a limit."""

    def check(value: Size) -> Size:
        if value > limit:
            raise ValueError(f"must be at most {limit}, got {value}")
        return value

    return check


def _text(value: Any) -> Any:
    """Take numbers and truth values as the text that they were written as."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def _filled(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    return value


def _several(value: Any) -> Any:
    """Take one text as a list of one."""
    return [value] if isinstance(value, str) else value


def _name(value: str) -> str:
    if NAME.fullmatch(value) is None:
        raise ValueError(
            f"{shown(value)} is no name: use a-z, 0-9 and _, beginning with a letter, at most 40"
        )
    return value


def _truth(value: Any) -> Any:
    """Take the environment's true and false; YAML has made truth values of its own."""
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"{shown(value)} is no time zone; write a name such as Europe/Helsinki or UTC"
        ) from None
    return value


Count = Annotated[int, BeforeValidator(_whole(1)), Accepts("a whole number from 1 on")]
Few = Annotated[int, BeforeValidator(_whole(1, 64)), Accepts("a whole number from 1 to 64")]
Priority = Annotated[
    int, BeforeValidator(_whole(0, 1_000)), Accepts("a whole number from 0 to 1000")
]
Share = Annotated[float, BeforeValidator(_share), Accepts("a share from 0 to below 1, such as 0.5")]
Port = Annotated[
    int, BeforeValidator(_whole(0, 65535)), Accepts("a port from 1 to 65535, or 0 for any free one")
]
Span = Annotated[Duration, AfterValidator(_above_zero), Accepts(Duration.ACCEPTS)]
Age = Annotated[Kept, AfterValidator(_above_zero), Accepts(Kept.ACCEPTS)]
Wait = Annotated[Duration, Accepts(Duration.ACCEPTS)]  # may be zero
Bytes = Annotated[Size, AfterValidator(_above_zero), Accepts(Size.ACCEPTS)]
Text = Annotated[str, BeforeValidator(_text), AfterValidator(_filled), Accepts("text")]
Name = Annotated[
    str, AfterValidator(_name), Accepts("a name of a-z, 0-9 and _, beginning with a letter")
]
Texts = Annotated[tuple[Text, ...], BeforeValidator(_several), Accepts("text, or a list of texts")]
Zone = Annotated[str, AfterValidator(_zone), Accepts("a time zone such as Europe/Helsinki")]
Flag = Annotated[StrictBool, BeforeValidator(_truth), Accepts("true or false")]
Place = Annotated[Path, Accepts("a path, relative to where headrace is started")]
