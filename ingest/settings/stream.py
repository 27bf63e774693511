"""A stream: which events are its own, how they are decoded, when their batches are sealed."""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    model_serializer,
    model_validator,
)

from batching.policy import SealPolicy
from ingest.decode.spec import (
    DecodeSpec,
    MatchSpec,
    SensorSpec,
    StopRule,
    StreamRules,
    TimeSpec,
)
from ingest.settings.job import Run
from ingest.settings.kinds import (
    Accepts,
    Bytes,
    Count,
    Hidden,
    Part,
    Share,
    Span,
    Text,
    Texts,
    Zone,
    at_most,
)
from ingest.units import Duration, Size

LARGEST_BATCH = Size(256 * 2**20)
MOST_OVER = 100_000
WORDS = ("partition_key", "senml")
SENSOR = "partition_key, senml, or one of what follows"


def _few(value: int) -> int:
    if value > MOST_OVER:
        raise ValueError(f"must be at most {MOST_OVER:,}, got {value:,}")
    return value


def _columns(value: Any) -> Any:
    """Take columns as a mapping, or as a list of mappings of one each: their order counts."""
    if isinstance(value, list):
        pairs = [pair for item in value if isinstance(item, dict) for pair in item.items()]
        if len(pairs) == len(value):
            return tuple(pairs)
    elif isinstance(value, dict):
        return tuple(value.items())
    elif isinstance(value, tuple):
        return value
    raise ValueError("must be a mapping of column names to NumPy types, such as {t: int64, x: f4}")


Columns = Annotated[
    tuple[tuple[str, str], ...],
    BeforeValidator(_columns),
    PlainSerializer(dict),
    Accepts("a mapping of column names to NumPy types, in the order of a row"),
]


class Match(Part):
    """Which events belong to the stream; what is not set matches everything."""

    property: dict[str, Text] = Field(
        default={}, description="Application properties: name and pattern (`press-*`), all of them."
    )
    sensors: Texts = Field(default=(), description="Patterns of sensors, one of which must match.")
    content_type: Text | None = Field(default=None, description="The event's content type.")

    def spec(self) -> MatchSpec:
        """Give what the classifier takes."""
        return MatchSpec(self.sensors, dict(self.property), self.content_type)


class Sensor(Part):
    """Who sent it: one of its settings, or the word `partition_key` or `senml`."""

    word: Annotated[Literal["partition_key", "senml"] | None, Hidden()] = None
    annotation: Text | None = Field(
        default=None, description="Annotation, written by the hub: iothub-connection-device-id."
    )
    property: Text | None = Field(default=None, description="Application property.")
    field: Text | None = Field(default=None, description="Field of a JSON or CBOR body, dotted.")

    @model_validator(mode="before")
    @classmethod
    def _read_word(cls, plain: Any) -> Any:
        if isinstance(plain, str):
            if plain not in WORDS:
                raise ValueError(
                    f"must be partition_key, senml, or a mapping of annotation, property or field "
                    f"to a name, got {plain!r}"
                )
            return {"word": plain}
        return plain

    @model_validator(mode="after")
    def _one(self) -> Self:
        if len(self.model_fields_set) != 1 or None in self._values():
            raise ValueError("name one of annotation, property, field (or a word: partition_key)")
        return self

    def _values(self) -> list[str | None]:
        return [getattr(self, name) for name in self.model_fields_set]

    @model_serializer
    def _spell(self) -> str | dict[str, str | None]:
        by = self.spec()
        return by.by if by.name is None else {by.by: by.name}

    def spec(self) -> SensorSpec:
        """Give what the classifier takes."""
        if self.word is not None:
            return SensorSpec(self.word)
        if self.annotation is not None:
            return SensorSpec("annotation", self.annotation)
        if self.property is not None:
            return SensorSpec("property", self.property)
        return SensorSpec("field", self.field)


class Time(Part):
    """Where a sample's time stands in the body."""

    field: Text = Field(default="t", description="Field or column of the times.")
    unit: Literal["ns", "us", "ms", "s", "iso8601"] = Field(
        description="Unit since 1970 UTC, or ISO 8601 text."
    )
    zone: Zone | None = Field(
        default=None, description="Zone of ISO 8601 times without one; otherwise those are errors."
    )

    @model_validator(mode="after")
    def _zone_of_text(self) -> Self:
        if self.zone is not None and self.unit != "iso8601":
            raise ValueError(f"zone goes with unit iso8601; times in {self.unit} are UTC")
        return self


class Decode(Part):
    """How the stream's bodies are written; channels are fixed by the stream."""

    format: Literal["json", "senml", "cbor", "npy", "raw"] = Field(
        description="Format of a body whose content type does not say another."
    )
    time: Time = Field(description="Where a sample's time stands.")
    channels: Texts = Field(description="Channels, in this order; null or missing becomes NaN.")
    dtype: Literal["float64", "float32", "int64", "int32", "int16"] = Field(
        default="float64", description="Type of all values."
    )
    columns: Columns = Field(default=(), description="For raw: the columns of a row.")
    path: Text | None = Field(
        default=None, description="Where the samples lie in a JSON or CBOR body, dotted."
    )
    max_body: Bytes = Field(default=Size(16 * 2**20), description="Largest body, once unfolded.")
    max_samples: Count = Field(default=1_000_000, description="Most samples in one event.")
    max_decoded: Bytes = Field(
        default=Size(64 * 2**20), description="Largest size of one event's times and values."
    )

    def spec(self) -> DecodeSpec:
        """Give what the decoders take."""
        return DecodeSpec(
            format=self.format,
            time=TimeSpec(self.time.field, self.time.unit, self.time.zone),
            channels=self.channels,
            dtype=self.dtype,
            columns=self.columns,
            max_body_bytes=int(self.max_body),
            max_samples=self.max_samples,
            max_decoded_bytes=int(self.max_decoded),
            path=self.path,
        )


class Seal(Part):
    """When a batch is sealed: by the first trigger that holds. `null` switches one off."""

    max_samples: Count | None = Field(default=100_000, description="Samples in a batch.")
    max_bytes: Annotated[Bytes, AfterValidator(at_most(LARGEST_BATCH))] = Field(
        default=Size(8 * 2**20),
        description="Encoded bytes of a batch, as in Redis or parked; at most 256 MiB, always on.",
    )
    max_chunks: Count | None = Field(default=None, description="Chunks (events) in a batch.")
    max_age: Span | None = Field(
        default=Duration(300), description="Age of its first event, since it reached the hub."
    )

    def policy(self) -> SealPolicy:
        """Give what the owner of a partition decides by."""
        return SealPolicy(
            max_samples=self.max_samples,
            max_bytes=int(self.max_bytes),
            max_chunks=self.max_chunks,
            max_age_ns=None if self.max_age is None else self.max_age.ns,
        )


class DeadLetters(Part):
    """When a stream stops a partition's intake instead of setting ever more events aside."""

    stop_above: Share | None = Field(
        default=None,
        description="Stop when more than this share of its last events cannot be used; null: "
        "never, since dead letters can be driven again.",
    )
    over: Annotated[Count, AfterValidator(_few)] = Field(
        default=100, description="How many of its last events that is judged by, in a partition."
    )

    def rule(self) -> StopRule | None:
        """Give what a consumer judges by; None: it never stops."""
        return None if self.stop_above is None else StopRule(self.stop_above, self.over)


class Stream(Part):
    """What its events have in common. An event belongs to the first stream that matches."""

    match: Match = Field(default=Match(), description="Which events are its own.")
    sensor: Annotated[Sensor, Accepts(SENSOR)] = Field(
        default=Sensor(word="partition_key"),
        description="Who sent it; behind an IoT Hub always the device that the hub vouches for.",
    )
    decode: Decode = Field(description="How its bodies are written.")
    seal: Seal = Field(default=Seal(), description="When its batches are sealed.")
    dead_letters: DeadLetters = Field(
        default=DeadLetters(), description="When too many dead letters stop the intake."
    )
    run: Run | None = Field(
        default=None, description="A flow over this stream: short for a job of the stream's name."
    )

    def rules(self, name: str) -> StreamRules:
        """Give what the classifier takes."""
        return StreamRules(name, self.match.spec(), self.sensor.spec(), self.decode.spec())
