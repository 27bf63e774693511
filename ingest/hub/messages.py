"""Messages of senders made ready for the log: sections checked, batches opened, marks stamped."""

import struct
from typing import Any, NamedTuple

from ingest.hub.amqp import CodecError, Symbol, binary, counted, decode, encode, skip

BATCH_FORMAT = 0x80013700
MAX_MESSAGE_BYTES = 2**20
HEADER, DELIVERY, MESSAGE, PROPERTIES, APPLICATION, DATA, SEQUENCE, VALUE, FOOTER = range(
    0x70, 0x79
)
PARTITION_KEY = "x-opt-partition-key"
PUBLISHER = "x-opt-publisher"
_OURS = frozenset(
    ("x-opt-sequence-number", "x-opt-offset", "x-opt-enqueued-time", PUBLISHER)
)  # written by the hub alone
_REPEATED = (DATA, SEQUENCE)
_MAPS = (DELIVERY, MESSAGE, APPLICATION, FOOTER)
_LISTS = (HEADER, PROPERTIES, SEQUENCE)
_SECTION = b"\x00\x53"
_SEQUENCE_KEY = encode(Symbol("x-opt-sequence-number")) + b"\x81"
_OFFSET_KEY = encode(Symbol("x-opt-offset")) + b"\xa1"
_TIME_KEY = encode(Symbol("x-opt-enqueued-time")) + b"\x83"
_SMALL_MAP = 0xC1
_SMALL_HEAD, _LARGE_HEAD = 3, 9  # bytes before the first key of a map
_LONG = struct.Struct(">q").pack


class Section(NamedTuple):
    """A section of a message: its code, where it begins, where its value does, its end."""

    code: int
    start: int
    value: int
    end: int


class Event(NamedTuple):
    """A sender's event, ready to be stamped; annotations hold encoded values."""

    head: bytes
    annotations: dict[str, bytes]
    rest: bytes


def sections(raw: bytes) -> list[Section]:
    """Find the sections of a message and check that each can be read, once and in order.

    A second annotations section would override the hub's own marks at the reader, so the
    order is strict.

    Raises:
        CodecError: it is no AMQP message.

    """
    found: list[Section] = []
    at, last = 0, HEADER - 1
    while at < len(raw):
        if raw[at : at + 2] != _SECTION or at + 3 >= len(raw):
            raise CodecError(f"no section at byte {at}")
        code = raw[at + 2]
        if not last < code <= FOOTER and not (code == last and code in _REPEATED):
            raise CodecError(f"section 0x{code:02x} at byte {at} is out of order")
        end = _checked(raw, code, at + 3)
        found.append(Section(code, at, at + 3, end))
        at, last = end, code
    return found


def _checked(raw: bytes, code: int, start: int) -> int:
    if code == DATA:
        if raw[start] not in (0xA0, 0xB0):
            raise CodecError("a data section without bytes")
        return skip(raw, start)
    value, end = decode(raw, start)
    if (code in _MAPS and type(value) is not dict) or (code in _LISTS and type(value) is not list):
        raise CodecError(f"section 0x{code:02x} holds a {type(value).__name__}")
    return end


def annotations(raw: bytes, start: int) -> dict[str, bytes]:
    """Read a map of annotations, values still encoded; keys become text, whatever they were."""
    _, end = decode(raw, start)
    at = start + (_SMALL_HEAD if raw[start] == _SMALL_MAP else _LARGE_HEAD)
    found = {}
    while at < end:
        key, value_at = decode(raw, at)
        at = skip(raw, value_at)
        found[key.decode() if type(key) is bytes else str(key)] = raw[value_at:at]
    return found


def parse(raw: bytes) -> Event:
    """Split a message; delivery annotations and marks that only the hub writes are dropped.

    Raises:
        CodecError: it is no AMQP message.

    """
    head, marks, body_at = b"", {}, len(raw)
    found = sections(raw)
    for section in found:
        if section.code == HEADER:
            head = raw[: section.end]
        elif section.code == MESSAGE:
            marks = annotations(raw, section.value)
        elif section.code > MESSAGE:
            body_at = section.start
            break
    if not any(DATA <= section.code <= VALUE for section in found):
        raise CodecError("an event without a body")
    kept = {name: value for name, value in marks.items() if name.lower() not in _OURS}
    return Event(head, kept, raw[body_at:])


def unpack(raw: bytes, message_format: int) -> list[Event]:
    """Read what one transfer brought: an event, or a batch of them with their common key.

    Raises:
        CodecError: it is no AMQP message, or a batch without events.

    """
    if message_format != BATCH_FORMAT:
        return [parse(raw)]
    outer: dict[str, bytes] = {}
    events = []
    for section in sections(raw):
        if section.code == MESSAGE:
            outer = annotations(raw, section.value)
        elif section.code == DATA:
            events.append(parse(decode(raw, section.value)[0]))
    if not events:
        raise CodecError("a batch without events")
    key = outer.get(PARTITION_KEY)
    for event in events:
        event.annotations.pop(PARTITION_KEY, None)  # the batch's key holds for all of it
        if key is not None:
            event.annotations[PARTITION_KEY] = key
    return events


def partition_key(event: Event) -> str | None:
    """Read the partition key; None if there is none."""
    raw = event.annotations.get(PARTITION_KEY)
    key = decode(raw)[0] if raw else None
    if key is None:
        return None
    return key.decode() if type(key) is bytes else str(key)


def stamp(event: Event, sequence_number: int, offset: int, enqueued_ms: int) -> bytes:
    """Write the message as receivers get it, with the marks of the hub first."""
    place = str(offset).encode()
    body = b"".join(
        (
            _SEQUENCE_KEY,
            _LONG(sequence_number),
            _OFFSET_KEY,
            bytes((len(place),)),
            place,
            _TIME_KEY,
            _LONG(enqueued_ms),
            *(
                binary(name.encode(), 0xA3, 0xB3) + value
                for name, value in event.annotations.items()
            ),
        )
    )
    count = 6 + 2 * len(event.annotations)
    marks = counted(body, count, 0xC1, 0xD1)
    return event.head + b"\x00\x53\x72" + marks + event.rest


def with_delivery_annotations(message: bytes, delivery: bytes) -> bytes:
    """Put a delivery annotations section where it belongs: behind the header."""
    at = skip(message, 3) if message[2] == HEADER else 0
    return message[:at] + delivery + message[at:]


def section(code: int, value: Any) -> bytes:
    """Write one section."""
    return _SECTION + bytes((code,)) + encode(value)
