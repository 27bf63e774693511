"""What a stream says of its events: which are its own, whose they are, how they are written."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

TimeUnit = Literal["ns", "us", "ms", "s", "iso8601"]
Format = Literal["json", "senml", "cbor", "npy", "raw"]
SensorSource = Literal["annotation", "partition_key", "property", "field", "senml"]


@dataclass(frozen=True, slots=True)
class TimeSpec:
    """Where a sample's time stands: `field` of the body (column of a table), and its unit."""

    field: str
    unit: TimeUnit
    zone: str | None = None  # for iso8601 without an offset; without it such times are errors


@dataclass(frozen=True, slots=True)
class DecodeSpec:
    """How a stream's bodies are written. Channels are fixed by the stream, in this order."""

    format: Format
    time: TimeSpec
    channels: tuple[str, ...]
    dtype: str = "float64"
    columns: tuple[tuple[str, str], ...] = ()  # raw: (name, NumPy dtype) of each column of a row
    max_body_bytes: int = 16 * 2**20  # after decompression
    max_samples: int = 1_000_000
    max_decoded_bytes: int = 64 * 2**20  # times and values: many channels make much of little
    path: str | None = None  # dotted, where the samples lie in a JSON or CBOR body


@dataclass(frozen=True, slots=True)
class MatchSpec:
    """Which events are the stream's; what is empty matches everything."""

    sensors: tuple[str, ...] = ()  # shell patterns
    properties: Mapping[str, str] = field(default_factory=dict)  # values are shell patterns
    content_type: str | None = None


@dataclass(frozen=True, slots=True)
class SensorSpec:
    """Who sent it: the name of an annotation, property or field; none for the others."""

    by: SensorSource = "partition_key"
    name: str | None = None


@dataclass(frozen=True, slots=True)
class StopRule:
    """Stop when more than `share` of a stream's last `over` events cannot be used."""

    share: float
    over: int


@dataclass(frozen=True, slots=True)
class StreamRules:
    """Match, sensor and decode of one stream."""

    name: str
    match: MatchSpec
    sensor: SensorSpec
    decode: DecodeSpec
