import struct
import uuid
from typing import Any

import pytest
from azure.eventhub._pyamqp._decode import _DECODE_BY_CONSTRUCTOR
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.hub.amqp import (
    CodecError,
    Described,
    Encoded,
    Int,
    Strings,
    Symbol,
    Symbols,
    Timestamp,
    UByte,
    UInt,
    ULong,
    UShort,
    decode,
    encode,
    skip,
)

LONG = st.integers(-(2**63), 2**63 - 1)
PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    LONG,
    LONG.map(Timestamp),
    st.integers(0, 255).map(UByte),
    st.integers(0, 2**16 - 1).map(UShort),
    st.integers(0, 2**32 - 1).map(UInt),
    st.integers(0, 2**64 - 1).map(ULong),
    st.integers(-(2**31), 2**31 - 1).map(Int),
    st.floats(allow_nan=False),
    st.binary(max_size=300),
    st.text(max_size=300),
    st.text(st.characters(max_codepoint=127), max_size=50).map(Symbol),
    st.uuids(),
)
ARRAYS = st.lists(st.text(max_size=20), max_size=5)
KEYS = st.one_of(st.text(max_size=20), LONG, st.uuids())
VALUES = st.recursive(
    PLAIN | ARRAYS.map(Strings),
    lambda inner: st.one_of(
        st.lists(inner, max_size=300 // 10),
        st.dictionaries(KEYS, inner, max_size=5),
        st.tuples(st.integers(0, 2**64 - 1), inner).map(lambda pair: Described(*pair)),
        st.tuples(st.text(max_size=9).map(Symbol), inner).map(lambda pair: Described(*pair)),
    ),
    max_leaves=30,
)


def plain(value: Any) -> Any:
    """Say what comes back: arrays and tuples as lists."""
    if isinstance(value, Described):
        return Described(plain(value.descriptor), plain(value.value))
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, Strings)):
        return [plain(item) for item in value]
    return value


@settings(deadline=None)
@given(VALUES, st.binary(max_size=4))
def test_what_was_written_is_read_back(value: Any, tail: bytes) -> None:
    raw = encode(value)
    assert decode(raw + tail) == (plain(value), len(raw))
    assert skip(raw + tail, 0) == len(raw)


@settings(deadline=None)
@given(st.one_of(LONG, st.floats(allow_nan=False), st.binary(max_size=300), st.booleans()))
def test_the_sdk_reads_what_was_written(value: Any) -> None:
    raw = memoryview(encode([value]))
    _, got = _DECODE_BY_CONSTRUCTOR[raw[0]](raw[1:])
    assert got == [value]


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_are_a_value_or_a_codec_error(raw: bytes) -> None:
    for read in (decode, skip):
        try:
            read(raw, 0)
        except CodecError:
            continue


@settings(deadline=None)
@given(VALUES, st.data())
def test_a_value_that_is_cut_off_is_a_codec_error(value: Any, data: st.DataObject) -> None:
    raw = encode(value)
    cut = data.draw(st.integers(0, len(raw) - 1))
    with pytest.raises(CodecError):
        decode(raw[:cut])
    with pytest.raises(CodecError):
        skip(raw[:cut], 0)


@pytest.mark.parametrize(
    "raw",
    [
        b"\xf0" + struct.pack(">II", 5, 2**32 - 1) + b"\x40",  # four billion nulls
        b"\x00\x53\x10" * 10_000,
        b"\xc0\x02\x01" * 10_000,
        b"\xc1\x03\x01\x40",
        b"\x74\x00\x00\x00\x00",  # a decimal, which the SDK cannot read either
        b"\xa1\x01\xff",
    ],
)
def test_bombs_and_nonsense_are_codec_errors(raw: bytes) -> None:
    with pytest.raises(CodecError):
        decode(raw)


@pytest.mark.parametrize(
    ("value", "raw"),
    [
        (UInt(0), b"\x43"),
        (UInt(255), b"\x52\xff"),
        (UInt(256), b"\x70\x00\x00\x01\x00"),
        (ULong(0), b"\x44"),
        ([], b"\x45"),
        ("x" * 255, b"\xa1\xff" + b"x" * 255),
        ("x" * 256, b"\xb1\x00\x00\x01\x00" + b"x" * 256),
        (Encoded(b"\x40"), b"\x40"),
        (Symbols(("a",)), b"\xf0\x00\x00\x00\x0a\x00\x00\x00\x01\xb3\x00\x00\x00\x01a"),
        (uuid.UUID(int=1), b"\x98" + bytes(15) + b"\x01"),
    ],
)
def test_values_take_the_shortest_form(value: Any, raw: bytes) -> None:
    assert encode(value) == raw


@pytest.mark.parametrize("value", [UInt(2**32), UByte(-1), 2**63, object(), {1, 2}])
def test_what_amqp_cannot_say_is_a_codec_error(value: Any) -> None:
    with pytest.raises(CodecError):
        encode(value)
