"""AMQP 1.0 frames: performatives by name, out of the bytes of a socket and back into them."""

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from ingest.hub.amqp import (
    CodecError,
    Described,
    Symbol,
    Symbols,
    UByte,
    UInt,
    ULong,
    UShort,
    decode,
    encode,
)

MAX_FRAME_BYTES = 2**20
SASL_HEADER = b"AMQP\x03\x01\x00\x00"
AMQP_HEADER = b"AMQP\x00\x01\x00\x00"
EMPTY_FRAME = b"\x00\x00\x00\x08\x02\x00\x00\x00"  # says that we are alive
ACCEPTED = Described(0x24, [])
_HEAD = struct.Struct(">IBBH")


class FramingError(Exception):
    """What came is no frame, or one that does not belong there; the connection ends."""


class Open(NamedTuple):
    """Limits of a connection."""

    container_id: str
    hostname: str | None = None
    max_frame_size: int | None = None
    channel_max: int | None = None
    idle_time_out: int | None = None  # milliseconds
    outgoing_locales: Any = None
    incoming_locales: Any = None
    offered_capabilities: Any = None
    desired_capabilities: Any = None
    properties: Any = None


class Begin(NamedTuple):
    """Start of a session."""

    remote_channel: int | None
    next_outgoing_id: int
    incoming_window: int
    outgoing_window: int
    handle_max: int | None = None
    offered_capabilities: Any = None
    desired_capabilities: Any = None
    properties: Any = None


class Attach(NamedTuple):
    """Start of a link; `role` is true at the end that receives."""

    name: str
    handle: int
    role: bool
    snd_settle_mode: int | None = None
    rcv_settle_mode: int | None = None
    source: Any = None
    target: Any = None
    unsettled: Any = None
    incomplete_unsettled: Any = None
    initial_delivery_count: int | None = None
    max_message_size: int | None = None
    offered_capabilities: Any = None
    desired_capabilities: Any = None
    properties: Any = None


class Flow(NamedTuple):
    """Windows of a session and, with a handle, credit of a link."""

    next_incoming_id: int | None
    incoming_window: int
    next_outgoing_id: int
    outgoing_window: int
    handle: int | None = None
    delivery_count: int | None = None
    link_credit: int | None = None
    available: int | None = None
    drain: bool | None = False
    echo: bool | None = False
    properties: Any = None


class Transfer(NamedTuple):
    """A message or, where `more` follows, a part of one."""

    handle: int
    delivery_id: int | None = None
    delivery_tag: bytes | None = None
    message_format: int | None = None
    settled: bool | None = None
    more: bool | None = None
    rcv_settle_mode: int | None = None
    state: Any = None
    resume: bool | None = None
    aborted: bool | None = None
    batchable: bool | None = None


class Disposition(NamedTuple):
    """What became of deliveries."""

    role: bool
    first: int
    last: int | None = None
    settled: bool | None = None
    state: Any = None
    batchable: bool | None = False


class Detach(NamedTuple):
    """End of a link."""

    handle: int
    closed: bool | None = None
    error: Any = None


class End(NamedTuple):
    """End of a session."""

    error: Any = None


class Close(NamedTuple):
    """End of a connection."""

    error: Any = None


class SaslMechanisms(NamedTuple):
    """How a client may sign in."""

    mechanisms: Symbols


class SaslInit(NamedTuple):
    """How the client signs in; tokens come later, through `$cbs`."""

    mechanism: str
    initial_response: bytes | None = None
    hostname: str | None = None


class SaslOutcome(NamedTuple):
    """0: signed in."""

    code: int
    additional_data: bytes | None = None


_KIND: dict[int, type[Any]] = {
    0x10: Open,
    0x11: Begin,
    0x12: Attach,
    0x13: Flow,
    0x14: Transfer,
    0x15: Disposition,
    0x16: Detach,
    0x17: End,
    0x18: Close,
    0x40: SaslMechanisms,
    0x41: SaslInit,
    0x44: SaslOutcome,
}
_CODE = {kind: code for code, kind in _KIND.items()}
_SASL = 0x40
_WIDTHS: dict[str, type[int]] = {  # the wire's width of each number, by field
    **dict.fromkeys(("channel_max", "remote_channel"), UShort),
    **dict.fromkeys(("snd_settle_mode", "rcv_settle_mode", "code"), UByte),
    "max_message_size": ULong,
}


class Frame(NamedTuple):
    """One frame as it came; `performative` is None for a sign of life."""

    channel: int
    performative: Any
    payload: bytes


def frame(channel: int, performative: Any, payload: bytes = b"") -> bytes:
    """Write a frame with every field of the performative, since the SDK reads by position."""
    kind = type(performative)
    fields = [
        _WIDTHS.get(name, UInt)(value) if type(value) is int else value
        for name, value in zip(kind._fields, performative, strict=True)
    ]
    code = _CODE[kind]
    body = encode(Described(code, fields)) + payload
    return _HEAD.pack(len(body) + 8, 2, int(code >= _SASL), channel) + body


_TRANSFER = struct.Struct(">IBBH6sBIBI2sI8s")
TRANSFER_BYTES = _TRANSFER.size
_TRANSFER_LIST = b"\x00\x53\x14\xc0\x19\x0b"  # transfer: a list of 25 bytes, 11 fields
_TRANSFER_REST = b"\x43\x41\x42\x40\x40\x40\x40\x42"  # format 0, settled, no more, ..., false


def transfer_head(channel: int, handle: int, delivery_id: int, size_bytes: int) -> bytes:
    """Write all but the message of a settled one-frame transfer: the path of every event."""
    return _TRANSFER.pack(
        TRANSFER_BYTES + size_bytes,
        2,
        0,
        channel,
        _TRANSFER_LIST,
        0x70,
        handle,
        0x70,
        delivery_id,
        b"\xa0\x04",
        delivery_id,
        _TRANSFER_REST,
    )


def error(condition: str, text: str) -> Described:
    """Write an AMQP error."""
    return Described(0x1D, [Symbol(condition), text, None])


class FrameReader:
    """Cuts what a socket gives into protocol headers (bytes) and frames."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[bytes | Frame]:
        """Take in bytes, give what is complete.

        Raises:
            FramingError: the bytes are no AMQP.

        """
        raw = self._rest + data if self._rest else data
        at = 0
        try:
            while len(raw) - at >= _HEAD.size:
                size = _HEAD.size if raw[at : at + 4] == b"AMQP" else _frame_bytes(raw, at)
                if len(raw) - at < size:
                    break
                piece = raw[at : at + size]
                at += size
                yield piece if piece[:4] == b"AMQP" else _parse(piece)
        finally:
            self._rest = raw[at:]


def _frame_bytes(raw: bytes, at: int) -> int:
    size = int.from_bytes(raw[at : at + 4], "big")
    if not _HEAD.size <= size <= MAX_FRAME_BYTES:
        raise FramingError(f"a frame of {size} bytes; 8 to {MAX_FRAME_BYTES} are possible")
    return size


def _parse(piece: bytes) -> Frame:
    _, words, _, channel = _HEAD.unpack_from(piece)
    start = words * 4
    if start < _HEAD.size or start > len(piece):
        raise FramingError(f"a frame whose body starts at byte {start}")
    if start == len(piece):
        return Frame(channel, None, b"")
    try:
        described, end = decode(piece, start)
        kind = _KIND[described.descriptor]
        return Frame(channel, kind(*described.value[: len(kind._fields)]), piece[end:])
    except (CodecError, KeyError, AttributeError, TypeError) as broken:
        raise FramingError(f"a frame that is no performative: {broken}") from broken
