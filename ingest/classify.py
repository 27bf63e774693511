"""From an event to elements of the buffer: its stream, its sensors, their samples, or why not.

A pure function of the event: the same event gives the same elements, on every owner and in
every replay, and no event makes it raise. What cannot be used becomes a dead letter.
"""

import fnmatch
import re
from collections.abc import Collection, Sequence
from typing import Literal, NamedTuple

import numpy as np

from batching.chunk import DeadLetter, encode_dead_letter, encode_ignored, encode_samples
from batching.errors import SettingError
from batching.model import Element
from batching.names import DEAD, DEAD_STREAM, IGNORED, IGNORED_STREAM, Key
from ingest import sensors
from ingest.decode.columns import Decoded, Part
from ingest.decode.formats import Reader, media_type
from ingest.decode.problem import Reason, Unusable
from ingest.decode.spec import StreamRules
from ingest.event import Event
from ingest.headers import clean, spell, spell_all

MAX_DEAD_BODY_BYTES = 2**20
MAX_DETAIL = 500


class Classified(NamedTuple):
    """What became of one event, and what metrics want to know of it.

    `stream` is `_dead` with a reason for a dead letter, `_ignored` for an event that is only
    counted. `of` is the stream that could not use it, or whose headers it fits while the body
    cannot be read to tell its sensor; empty where no stream wants it.
    `unknown_channels` counts distinct names in the body that are no channels.
    """

    elements: list[Element]
    stream: str
    reason: Reason | None = None
    samples: int = 0
    unknown_channels: int = 0
    body_bytes: int = 0
    of: str = ""


class _Reading(NamedTuple):
    """What one event says to one stream: the parts of each sensor, in order of arrival."""

    series: dict[str, list[Part]]
    unknown: int


class _Doubtful(Unusable):
    """Cannot be used, and so cannot tell its sensor, by which it may be this stream's."""


class _Refused(Exception):
    """A stream cannot use an event that is its own, or may be."""

    def __init__(self, stream: str, why: Unusable) -> None:
        super().__init__(why.detail)
        self.stream, self.why = stream, why


class _Stream:
    """One stream's rules, ready to be applied."""

    def __init__(self, rules: StreamRules, *, iot_hub: bool) -> None:
        sensors.check(rules, iot_hub=iot_hub)
        self.name = rules.name
        self._sender = sensors.sender_of(rules.sensor)
        self._sensors = [_pattern(sensors.sensor_name(text)) for text in rules.match.sensors]
        self._properties = [(name, _pattern(text)) for name, text in rules.match.properties.items()]
        content_type = rules.match.content_type
        self._media = None if content_type is None else media_type(content_type)
        try:
            self._reader = Reader(
                rules.decode, rules.sensor.name if rules.sensor.by == "field" else None
            )
        except SettingError as error:
            raise SettingError(f"streams.{rules.name}.{error}") from error

    def wants_headers(self, event: Event, media: str) -> bool:
        """Tell whether content type and properties are those of the stream."""
        if self._media is not None and media != self._media:
            return False
        return not self._properties or all(
            pattern.fullmatch(spell(event.properties[name])) is not None
            if name in event.properties
            else False
            for name, pattern in self._properties
        )

    def _wants_sensors(self, names: Collection[str]) -> bool:
        """Tell whether every sensor of the event is one of the stream's."""
        return all(any(pattern.fullmatch(name) for pattern in self._sensors) for name in names)

    def read(self, event: Event, media: str) -> _Reading | None:
        """Name and decode what the event brings; None if its sensors are another stream's.

        Raises:
            _Doubtful: the sensors decide whether it is this stream's, and cannot be read.
            Unusable: it is this stream's and cannot be used, and why.

        """
        if not self._sensors:
            return self._decode(event, media, self._sender(event))
        try:
            sender = self._sender(event)
            if sender is None or self._reader.format_of(media) == "senml":  # the body names it
                reading = self._decode(event, media, sender)
                return reading if self._wants_sensors(reading.series) else None
        except Unusable as error:
            if error.reason is Reason.NO_SENSOR:
                return None
            raise _Doubtful(error.reason, error.detail) from None
        return self._decode(event, media, sender) if self._wants_sensors([sender]) else None

    def _decode(self, event: Event, media: str, sender: str | None) -> _Reading:
        decoded = self._reader.read(event.body, media, event.content_encoding, event.arrived_ns)
        return _Reading(_by_sensor(sender, decoded), decoded.unknown)


class Classifier:
    """Tells what each event is, by the streams in their order.

    Args:
        streams: rules of each stream; an event belongs to the first that matches.
        unmatched: what becomes of an event that matches none.
        iot_hub: the source is an IoT Hub, so sensors are named by its annotations alone.

    Raises:
        SettingError: a stream's rules contradict themselves, or trust what can be forged.

    """

    def __init__(
        self,
        streams: Sequence[StreamRules],
        *,
        unmatched: Literal["dead_letter", "count"],
        iot_hub: bool,
    ) -> None:
        self._streams = [_Stream(rules, iot_hub=iot_hub) for rules in streams]
        self._count_unmatched = unmatched == "count"

    def classify(self, event: Event) -> Classified:
        """Turn one event into elements: of its sensors, or one dead letter, or one ignored.

        Sequence number and enqueued time must fit int64, as every hub's do.
        """
        try:
            return self._sort(event)
        except _Refused as error:
            return _dead(event, error.why.reason, error.why.detail, error.stream)
        except Exception as error:  # noqa: BLE001, an event must never stop its partition
            return _dead(event, Reason.INTERNAL, f"{type(error).__name__}: {error}")

    def _sort(self, event: Event) -> Classified:
        media = media_type(event.content_type)
        doubt: _Refused | None = None
        for stream in self._streams:
            if not stream.wants_headers(event, media):
                continue
            try:
                reading = stream.read(event, media)
            except _Doubtful as error:
                doubt = doubt or _Refused(stream.name, error)  # it may be this stream's: never
                continue  # ignored
            except Unusable as error:
                raise _Refused(stream.name, error) from None
            if reading is not None:
                return _kept(event, stream.name, reading)
        if doubt is not None:
            raise doubt
        if self._count_unmatched:
            return _ignored(event)
        raise _Refused("", Unusable(Reason.NO_STREAM, "the event matches no stream"))


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(text))


def _by_sensor(sender: str | None, decoded: Decoded) -> dict[str, list[Part]]:
    series: dict[str, list[Part]] = {}
    for part in decoded.parts:
        if len(part.times_ns):
            series.setdefault(sensors.full_name(sender, part.sender), []).append(part)
    return series


def _kept(event: Event, stream: str, reading: _Reading) -> Classified:
    elements, samples = [], 0
    for sensor, parts in reading.series.items():
        element = _element(event, Key(stream, sensor), parts)
        elements.append(element)
        samples += element.samples
    return Classified(elements, stream, None, samples, reading.unknown, len(event.body), stream)


def _element(event: Event, key: Key, parts: Sequence[Part]) -> Element:
    _, times_ns, values = parts[0]
    if len(parts) > 1:
        times_ns = np.concatenate([part.times_ns for part in parts])
        values = np.concatenate([part.values for part in parts])
    number, enqueued_ns = event.sequence_number, event.enqueued_ns
    body = encode_samples(number, enqueued_ns, clean(event.message_id), times_ns, values)
    return Element(key, number, enqueued_ns, len(times_ns), body)


def _ignored(event: Event) -> Classified:
    number, enqueued_ns = event.sequence_number, event.enqueued_ns
    body = encode_ignored(sequence_number=number, enqueued_ns=enqueued_ns)
    element = Element(IGNORED, number, enqueued_ns, 0, body)
    return Classified([element], IGNORED_STREAM, body_bytes=len(event.body))


def _dead(event: Event, reason: Reason, detail: str, stream: str = "") -> Classified:
    properties, annotations = spell_all(event.properties), spell_all(event.annotations)
    letter = DeadLetter(
        reason=reason.value,
        detail=clean(detail)[:MAX_DETAIL],
        body=event.body[:MAX_DEAD_BODY_BYTES],
        body_bytes=len(event.body),
        content_type=clean(event.content_type),
        content_encoding=clean(event.content_encoding),
        partition_key=clean(event.partition_key),
        properties=properties.texts,
        property_types=properties.types,
        annotations=annotations.texts,
        annotation_types=annotations.types,
        stream=stream,
        arrived_ns=event.arrived_ns,
    )
    number, enqueued_ns = event.sequence_number, event.enqueued_ns
    body = encode_dead_letter(
        letter,
        sequence_number=number,
        enqueued_ns=enqueued_ns,
        message_id=clean(event.message_id),
    )
    element = Element(DEAD, number, enqueued_ns, 0, body)
    return Classified([element], DEAD_STREAM, reason, body_bytes=len(event.body), of=stream)
