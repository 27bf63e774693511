"""Columns read straight to arrays are what the other path reads, or are left to it."""

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.decode import formats, json_body
from ingest.decode.json_arrays import LARGEST_BYTES, JsonArrays
from ingest.decode.problem import Unusable
from ingest.decode.shapes import Shapes
from ingest.decode.spec import DecodeSpec
from ingest.decode.times import converter
from tests.ingest.decode.given import spec, told

UNITS = ("ns", "us", "ms", "s", "iso8601")
DTYPES = ("float64", "float32", "int64", "int32", "int16")
ODD = """
0 -0 -0.0 1.0 1E5 1e22 1e23 5e-324 1e-400 1e400 -1e400 01 1. .5 +1 1e - 32767 32768 2147483648
1.7976931348623157e308 1.7976931348623159e308 0.30000000000000004 100000000000000000000.0
9007199254740992 9007199254740993 -9007199254740993 9223372036854775807 9223372036854775808
-9223372036854775808 18446744073709551615 18446744073709551616 123456789012345678901234567890
9223372036854775 9223372036854776 9223372036854 9223372036 9223372036.5 null true false NaN
Infinity -Infinity "a" "[" "{" "\\ud800" "\\u0041" "\t" [1] [] {} {"t":1} "2026-05-09T07:29:33.5Z"
"2026-05-09T07:29:33" "2026-02-30"
""".split()  # noqa: SIM905, so that it can be read
NAMES = ("t", "x", "y", "id", "z", "a", "\\u0078", "x ", "é", "", "\\ud800", "[", "{")
plain = st.one_of(
    st.integers(-(2**64), 2**65).map(str),
    st.integers(-3000, 3000).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.from_regex(r"-?(0|[1-9][0-9]{0,30})\.[0-9]{1,30}([eE][-+]?[0-9]{1,3})?", fullmatch=True),
)
tokens = st.one_of(plain, st.sampled_from(ODD))


def readers(decode: DecodeSpec, *sender: str) -> tuple[JsonArrays, Shapes]:
    to_ns = converter(decode.time)
    return JsonArrays(decode, to_ns, sender), Shapes(decode, to_ns, sender)


def compare(decode: DecodeSpec, body: bytes, *sender: str) -> bool:
    """Tell whether the body was read straight; it must then be readable, and give the same."""
    arrays, shapes = readers(decode, *sender)
    straight = arrays.read(body)
    if straight is None:
        return False
    assert told(straight) == told(shapes.read(json_body.parse(body, decode.max_samples)))
    return True


@st.composite
def bodies(draw: st.DrawFn, cells: st.SearchStrategy[str]) -> bytes:
    rows = draw(st.integers(0, 4))
    column = st.lists(cells, min_size=rows, max_size=rows).map(lambda c: f"[{', '.join(c)}]")
    stamps = st.lists(st.just('"2026-05-09T07:29:33.5Z"'), min_size=rows, max_size=rows)
    fields = {"t": draw(column | stamps.map(lambda c: f"[{','.join(c)}]")), "x": draw(column)}
    more = draw(st.lists(st.tuples(st.sampled_from(NAMES), column | tokens), max_size=3))
    pairs = draw(st.permutations([*fields.items(), *more]))
    return ("{" + ",".join(f'"{name}":{value}' for name, value in pairs) + "}").encode()


settings = st.builds(
    spec,
    unit=st.sampled_from(UNITS),
    dtype=st.sampled_from(DTYPES),
    zone=st.just("Europe/Helsinki"),
    max_samples=st.just(3),
)
senders = st.sampled_from([(), ("id",), ("a", "b")])


@given(decode=settings, body=bodies(tokens), sender=senders)
def test_any_columns_are_read_as_by_the_other_path(decode, body, sender) -> None:
    compare(decode, body, *sender)


@given(decode=settings, body=bodies(plain), sender=senders)
def test_columns_of_numbers_are_read_as_by_the_other_path(decode, body, sender) -> None:
    compare(decode, body, *sender)


@given(decode=settings, body=bodies(plain), at=st.integers(0, 200), by=st.binary(max_size=2))
def test_a_damaged_body_is_read_as_by_the_other_path(decode, body, at, by) -> None:
    for damaged in (body[:at] + by + body[at:], body[:at] + by + body[at + 1 :]):
        compare(decode, damaged)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_faultless_columns_are_read_straight(unit, dtype) -> None:
    """The other tests would hold too if nothing ever was."""
    t = ["2026-05-09T07:29:33.5Z", "2026-05-09T07:29:34Z"] if unit == "iso8601" else [1, 2]
    whole = {"t": t, "x": [1, -2], "y": [3, 4]}
    decode = spec(unit=unit, dtype=dtype)
    assert compare(decode, json.dumps(whole).encode())
    assert compare(decode, json.dumps(whole | {"id": "p", "note": "é", "n": [1]}).encode(), "id")
    if dtype.startswith("float"):
        assert compare(decode, json.dumps({"t": t, "y": [0.5, 2**60 + 1], "x": None}).encode())
    if unit != "iso8601":
        assert compare(decode, json.dumps(whole | {"t": [1.5, 2]}).encode())


@pytest.mark.parametrize(
    "body",
    [
        b"\xef\xbb\xbf" + b'{"t":[1],"x":[1]}',
        b'[{"t":[1],"x":[1]}]',
        b'{"t":[1],"x":[1],"x":[2]}',
        b'{"t":[1],"x":[1],"\\u0078":[2]}',
        b'{"t":[1,2],"x":[[1,2]]}',
        b'{"t":[1,2],"x":[[1],[2]]}',
        b'{"t":[1],"x":[null]}',
        b'{"t":[1],"x":[true]}',
        b'{"t":[1],"x":[1e400]}',
        b'{"t":[1],"x":[18446744073709551616]}',
        b'{"t":[1,2],"x":[1]}',
        b'{"t":[],"x":[]}',
        b'{"t":[1],"z":[1]}',
        b'{"t":1,"x":1}',
        b'{"t":[0.5,9007199254740993],"x":[1,1]}',
        b'{"t":[1],"x":[1],"z":"\xff"}',
        b'{"t":[1],"x":[1]} {}',
        b'{"t":[1],"x":[1],' + b",".join(b'"%d":0' % n for n in range(200)) + b"}",
        b'{"t":[1],"x":[1],"z":"%s"}' % (b"z" * LARGEST_BYTES),
    ],
)
def test_what_is_not_certain_is_left_to_the_other_path(body: bytes) -> None:
    arrays, _ = readers(spec(unit="ms"))
    assert arrays.read(body) is None
    assert arrays.read(b'{"t":[1],"x":[1]}') is not None  # and goes on


def test_a_missing_channel_has_the_same_nan() -> None:
    arrays, _ = readers(spec())
    decoded = arrays.read(b'{"t":[1],"x":[1]}')
    assert decoded is not None
    assert decoded.parts[0].values.tobytes() == struct.pack("<dd", 1.0, float("nan"))


def test_what_was_read_outlives_the_next_body() -> None:
    arrays, _ = readers(spec())
    first = arrays.read(b'{"t":[1,2],"x":[1,2],"y":[3,4]}')
    kept = told(first) if first else None
    for value in range(50):
        assert arrays.read(b'{"t":[9,9],"x":[%d,7],"y":[7,7]}' % value) is not None
    assert first is not None
    assert told(first) == kept


def test_a_stream_reads_large_bodies_straight_and_refuses_as_before(monkeypatch) -> None:
    """The other parser is not asked for what the first can read, and says what is wrong."""
    reader = formats.Reader(spec(unit="ms"))
    good = json.dumps({"t": list(range(500)), "x": [0.5] * 500}).encode()
    with pytest.raises(Unusable, match="NaN or Infinity"):
        reader.read(good.replace(b"0.5", b"NaN", 1), "", "", 0)
    expected = told(reader.read(good, "", "", 0))
    monkeypatch.setattr(json_body, "parse", None)
    assert told(reader.read(good, "", "", 0)) == expected


def test_without_the_library_all_is_read_by_the_other_path(monkeypatch) -> None:
    body = json.dumps({"t": list(range(500)), "x": [0.5] * 500}).encode()
    expected = told(formats.Reader(spec()).read(body, "", "", 0))
    monkeypatch.setattr("ingest.decode.json_arrays.Parser", None)
    assert readers(spec())[0].read(body) is None
    assert told(formats.Reader(spec()).read(body, "", "", 0)) == expected
