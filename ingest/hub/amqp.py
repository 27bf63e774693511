"""AMQP 1.0 types to bytes and back; where the wire's width matters, a subclass of int says it."""

import struct
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

_BYTE_VALUES = 256
_FIXED_BYTES = {0x4: 0, 0x5: 1, 0x6: 2, 0x7: 4, 0x8: 8, 0x9: 16}
_BYTE_SIZED = (0xA, 0xC, 0xE)
_WORD_SIZED = (0xB, 0xD, 0xF)
Decoder = Callable[[bytes, int], tuple[Any, int]]


class CodecError(ValueError):
    """Bytes that are no AMQP value, or a value that AMQP has no type for."""


class Symbol(str):
    """ASCII name from a constrained domain."""

    __slots__ = ()


class UByte(int):
    """Unsigned, 1 byte."""


class UShort(int):
    """Unsigned, 2 bytes."""


class UInt(int):
    """Unsigned, 4 bytes."""


class ULong(int):
    """Unsigned, 8 bytes."""


class Int(int):
    """Signed, 4 bytes; a plain int is a long of 8 bytes."""


class Timestamp(int):
    """Milliseconds UTC since the epoch."""


class Encoded(bytes):
    """A value that is encoded already."""


class Symbols(tuple[str, ...]):
    """An array of symbols."""

    __slots__ = ()


class Strings(tuple[str, ...]):
    """An array of strings."""

    __slots__ = ()


class Described(NamedTuple):
    """A value under a descriptor: a number for types of the standard, else a symbol."""

    descriptor: Any
    value: Any


# Reading


def decode(raw: bytes, start: int = 0) -> tuple[Any, int]:
    """Read the value that begins at `start`.

    Returns:
        The value and the position after it. All integers and timestamps become int, arrays
        and lists become list.

    Raises:
        CodecError: no value stands there.

    """
    try:
        return _decode(raw, start)
    except (IndexError, KeyError, struct.error, TypeError, ValueError, RecursionError) as error:
        raise CodecError(f"no AMQP value at byte {start}: {error!r}") from error


def skip(raw: bytes, start: int) -> int:
    """Find the position after the value at `start` without reading it.

    Raises:
        CodecError: the value is cut off.

    """
    try:
        at = start
        while raw[at] == 0x00:  # a descriptor, and then what it describes
            at = _end(raw, at + 1)
        end = _end(raw, at)
    except IndexError as error:
        raise CodecError(f"value at byte {start} is cut off") from error
    if end > len(raw):
        raise CodecError(f"value at byte {start} is cut off")
    return end


def _end(raw: bytes, at: int) -> int:
    kind = raw[at] >> 4  # the upper half of a constructor tells how the size is written
    if kind in _FIXED_BYTES:
        return at + 1 + _FIXED_BYTES[kind]
    if kind in _BYTE_SIZED:
        return at + 2 + raw[at + 1]
    if kind not in _WORD_SIZED:
        raise CodecError(f"no AMQP type at byte {at}")
    return at + 5 + int.from_bytes(raw[at + 1 : at + 5], "big")


def _decode(raw: bytes, at: int) -> tuple[Any, int]:
    constructor = raw[at]
    if constructor:
        return _DECODERS[constructor](raw, at + 1)
    if not raw[at + 1]:
        raise CodecError("a descriptor is described itself")
    descriptor, at = _decode(raw, at + 1)
    value, at = _decode(raw, at)
    return Described(descriptor, value), at


def _fixed(layout: str) -> Decoder:
    packed = struct.Struct(layout)

    def read(raw: bytes, at: int) -> tuple[Any, int]:
        return packed.unpack_from(raw, at)[0], at + packed.size

    return read


def _constant(value: Any) -> Decoder:
    return lambda _raw, at: (value, at)


def _variable(width: int, build: Callable[[bytes], Any]) -> Decoder:
    def read(raw: bytes, at: int) -> tuple[Any, int]:
        begin = at + width
        end = begin + int.from_bytes(raw[at:begin], "big")
        if begin > len(raw) or end > len(raw):
            raise CodecError("cut off")
        return build(raw[begin:end]), end

    return read


def _items(width: int) -> Callable[[bytes, int], tuple[list[Any], int]]:
    def read(raw: bytes, at: int) -> tuple[list[Any], int]:
        count, end, at = _extent(raw, at, width)
        items = []
        for _ in range(count):
            item, at = _decode(raw, at)
            items.append(item)
        if at != end:
            raise CodecError("items and size disagree")
        return items, at

    return read


def _map(width: int) -> Decoder:
    items_of = _items(width)

    def read(raw: bytes, at: int) -> tuple[dict[Any, Any], int]:
        items, at = items_of(raw, at)
        if len(items) % 2:
            raise CodecError("a key without a value")
        return dict(zip(items[::2], items[1::2], strict=True)), at

    return read


def _array(width: int) -> Decoder:
    def read(raw: bytes, at: int) -> tuple[list[Any], int]:
        count, end, at = _extent(raw, at, width)
        if not count:
            return [], end
        item_of = _DECODERS[raw[at]]
        at += 1
        items = []
        for _ in range(count):
            item, at = item_of(raw, at)
            items.append(item)
        if at != end:
            raise CodecError("items and size disagree")
        return items, at

    return read


def _extent(raw: bytes, at: int, width: int) -> tuple[int, int, int]:
    """Count of items, end of the value, start of the items."""
    end = at + width + int.from_bytes(raw[at : at + width], "big")
    count = int.from_bytes(raw[at + width : at + 2 * width], "big")
    if end > len(raw) or count > len(raw):  # items without width must not fill the memory
        raise CodecError("cut off")
    return count, end, at + 2 * width


def _text(raw: bytes) -> str:
    return raw.decode()


def _symbol(raw: bytes) -> Symbol:
    return Symbol(raw.decode())


def _uuid(raw: bytes, at: int) -> tuple[uuid.UUID, int]:
    return uuid.UUID(bytes=raw[at : at + 16]), at + 16


def _boolean(raw: bytes, at: int) -> tuple[bool, int]:
    return raw[at] == 1, at + 1


_DECODERS: dict[int, Decoder] = {
    0x40: _constant(None),
    0x41: _constant(True),
    0x42: _constant(False),
    0x43: _constant(0),
    0x44: _constant(0),
    0x45: lambda _raw, at: ([], at),
    0x56: _boolean,
    0x98: _uuid,
    **dict.fromkeys((0x50, 0x52, 0x53), _fixed(">B")),
    **dict.fromkeys((0x51, 0x54, 0x55), _fixed(">b")),
    0x60: _fixed(">H"),
    0x61: _fixed(">h"),
    0x70: _fixed(">I"),
    0x71: _fixed(">i"),
    0x72: _fixed(">f"),
    0x80: _fixed(">Q"),
    0x81: _fixed(">q"),
    0x82: _fixed(">d"),
    0x83: _fixed(">q"),
    0xA0: _variable(1, bytes),
    0xA1: _variable(1, _text),
    0xA3: _variable(1, _symbol),
    0xB0: _variable(4, bytes),
    0xB1: _variable(4, _text),
    0xB3: _variable(4, _symbol),
    0xC0: _items(1),
    0xC1: _map(1),
    0xD0: _items(4),
    0xD1: _map(4),
    0xE0: _array(1),
    0xF0: _array(4),
}

# Writing


def encode(value: Any) -> bytes:
    """Write a value as the AMQP type that its Python type stands for.

    Raises:
        CodecError: there is no such AMQP type, or the number does not fit.

    """
    try:
        return _ENCODERS[type(value)](value)
    except KeyError as error:
        raise CodecError(f"no AMQP type for {type(value).__name__}") from error
    except (struct.error, OverflowError, ValueError) as error:
        raise CodecError(f"{type(value).__name__} is out of range: {error}") from error


def _packed(constructor: int, layout: str) -> Callable[[Any], bytes]:
    packed = struct.Struct(">B" + layout)
    return lambda value: packed.pack(constructor, value)


def _shortest(zero: int, small: int, large: int, layout: str) -> Callable[[int], bytes]:
    packed = struct.Struct(">B" + layout)

    def write(value: int) -> bytes:
        if value == 0:
            return bytes((zero,))
        return bytes((small, value)) if 0 < value < _BYTE_VALUES else packed.pack(large, value)

    return write


def binary(raw: bytes, small: int = 0xA0, large: int = 0xB0) -> bytes:
    """Write bytes behind their length, one byte wide where that is enough."""
    size = len(raw)
    if size < _BYTE_VALUES:
        return bytes((small, size)) + raw
    return bytes((large,)) + size.to_bytes(4, "big") + raw


def counted(raw: bytes, count: int, small: int, large: int) -> bytes:
    """Write encoded items behind their size and count: a list or a map by its constructors."""
    if len(raw) < _BYTE_VALUES - 1 and count < _BYTE_VALUES:
        return bytes((small, len(raw) + 1, count)) + raw
    return struct.pack(">BII", large, len(raw) + 4, count) + raw


def _list(value: list[Any] | tuple[Any, ...]) -> bytes:
    if not value:
        return b"\x45"
    return counted(b"".join([encode(item) for item in value]), len(value), 0xC0, 0xD0)


def _dict(value: dict[Any, Any]) -> bytes:
    encoded = [encode(item) for pair in value.items() for item in pair]
    return counted(b"".join(encoded), len(encoded), 0xC1, 0xD1)


def _texts(constructor: int) -> Callable[[tuple[str, ...]], bytes]:
    def write(value: tuple[str, ...]) -> bytes:
        items = b"".join(struct.pack(">I", len(t)) + t for t in (v.encode() for v in value))
        return struct.pack(">BIIB", 0xF0, len(items) + 5, len(value), constructor) + items

    return write


def _described(value: Described) -> bytes:
    number = value.descriptor
    head = encode(ULong(number)) if type(number) is int else encode(number)
    return b"\x00" + head + encode(value.value)


_ENCODERS: dict[type, Callable[[Any], bytes]] = {
    type(None): lambda _: b"\x40",
    bool: lambda value: b"\x41" if value else b"\x42",
    int: _packed(0x81, "q"),
    float: _packed(0x82, "d"),
    UByte: _packed(0x50, "B"),
    UShort: _packed(0x60, "H"),
    UInt: _shortest(0x43, 0x52, 0x70, "I"),
    ULong: _shortest(0x44, 0x53, 0x80, "Q"),
    Int: _packed(0x71, "i"),
    Timestamp: _packed(0x83, "q"),
    Encoded: bytes,
    bytes: binary,
    str: lambda value: binary(value.encode(), 0xA1, 0xB1),
    Symbol: lambda value: binary(value.encode(), 0xA3, 0xB3),
    Symbols: _texts(0xB3),
    Strings: _texts(0xB1),
    uuid.UUID: lambda value: b"\x98" + value.bytes,
    list: _list,
    tuple: _list,
    dict: _dict,
    Described: _described,
}
