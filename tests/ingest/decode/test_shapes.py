"""JSON and CBOR bodies: the same shapes, so the same tests."""

import json
from decimal import Decimal
from typing import Any

import cbor2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.decode import cbor_body, json_body
from ingest.decode.formats import Reader
from ingest.decode.problem import Reason, Unusable
from tests.ingest.decode.given import only, parts, problem, rows, spec

WRITE = {"json": lambda document: json.dumps(document).encode(), "cbor": cbor2.dumps}
both = pytest.mark.parametrize("form", ["json", "cbor"])
times = st.integers(-(2**63) + 1, 2**63 - 1)
numbers = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.none())
tables = st.lists(st.tuples(times, numbers, numbers), min_size=1, max_size=20)


def read(form, document, **more: Any) -> tuple[list[int], list[Any]]:
    return only(spec(form, **more), WRITE[form](document))


def reason(form, document, **more: Any) -> Reason:
    with pytest.raises(Unusable) as caught:
        parts(spec(form, **more), document if type(document) is bytes else WRITE[form](document))
    assert len(caught.value.detail) < 300
    return caught.value.reason


@both
@given(table=tables)
def test_columns_and_rows_say_the_same(form, table) -> None:
    expected = [time for time, *_ in table], [list(row) for _, *row in table]
    t, x, y = map(list, zip(*table, strict=True))
    assert read(form, {"t": t, "x": x, "y": y}) == expected
    assert read(form, [{"t": time, "x": a, "y": b} for time, a, b in table]) == expected


@both
def test_one_sample_has_scalars(form) -> None:
    assert read(form, {"t": 5, "x": 1, "y": 2.5}) == ([5], [[1, 2.5]])


@both
def test_what_misses_or_is_null_is_nan_and_what_is_unknown_is_counted(form) -> None:
    sparse = {"t": [1, 2], "x": [1, None], "z": "any"}
    assert read(form, sparse) == ([1, 2], [[1, None], [None, None]])
    body = WRITE[form]([{"t": 1, "x": 1, "id": "a"}, {"t": 2, "y": 2, "id": 1, "z": []}])
    decoded = Reader(spec(form)).read(body, "", "", 0)
    assert decoded.unknown == 2
    assert rows(decoded.parts[0].values) == [[1, None], [None, 2]]


@both
def test_times_keep_the_order_in_which_they_came(form) -> None:
    assert read(form, {"t": [3, 1, 2, 1], "x": [1, 2, 3, 4]})[0] == [3, 1, 2, 1]


@both
def test_a_path_leads_to_the_samples(form) -> None:
    document = {"head": {"v": 1}, "data": {"samples": [{"t": 1, "x": 2, "y": 3}]}}
    assert read(form, document, path="data.samples") == ([1], [[2, 3]])
    assert reason(form, document, path="data.nowhere") is Reason.BAD_SHAPE


@both
def test_a_gateways_message_feeds_several_sensors(form) -> None:
    document = {
        "site": {"name": "hall 7"},
        "data": [
            {"id": "a", "t": 1, "x": 1},
            {"id": "b", "t": [2, 3], "x": [2, 3]},
            {"id": "a", "t": 4, "x": 4},
            {"id": 9, "t": 5, "x": 5},
        ],
    }
    found = parts(spec(form, path="data"), WRITE[form](document), sender="id")
    assert [(part.sender, part.times_ns.tolist()) for part in found] == [
        ("a", [1]), ("b", [2, 3]), ("a", [4]), (9, [5]),
    ]  # fmt: skip
    found = parts(spec(form, path="data"), WRITE[form](document), sender="site.name")
    assert [part.sender for part in found] == ["hall 7"] * 3


@both
def test_documents_that_are_no_samples_are_refused(form) -> None:
    assert reason(form, 3) is Reason.BAD_SHAPE
    assert reason(form, "text") is Reason.BAD_SHAPE
    assert reason(form, [{"t": 1, "x": 1}, 3]) is Reason.BAD_SHAPE
    assert reason(form, {"t": [1], "x": 1}) is Reason.BAD_SHAPE
    assert reason(form, {"t": [1, 2], "x": [1]}) is Reason.BAD_SHAPE
    assert reason(form, {"t": 1, "x": [1]}) is Reason.BAD_VALUE
    assert reason(form, {"x": [1]}) is Reason.BAD_TIME
    assert reason(form, {"x": 1}) is Reason.BAD_TIME
    assert reason(form, {"t": None, "x": 1}) is Reason.BAD_TIME
    assert reason(form, {"t": [1, None], "x": [1, 2]}) is Reason.BAD_TIME
    assert reason(form, {"t": 2**63, "x": 1}) is Reason.BAD_TIME
    for empty in ([], {}, {"t": [], "x": []}, {"t": 1, "temperature": 2}):
        assert reason(form, empty) is Reason.NO_SAMPLES
    assert reason(form, {"t": [1, 2], "x": [1, 2]}, max_samples=1) is Reason.TOO_LARGE


@both
def test_a_body_with_ten_thousand_senders_is_too_large(form) -> None:
    body = WRITE[form]([{"t": 1, "x": 1, "id": n} for n in range(10_001)])
    with pytest.raises(Unusable, match="10000"):
        parts(spec(form), body, sender="id")
    assert reason(form, [{"t": [1], "x": [1]}] * 10_001) is Reason.TOO_LARGE


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{", Reason.BAD_JSON), (b"garbage", Reason.BAD_JSON), (b"\xff\xfe", Reason.BAD_JSON),
        (b"{} {}", Reason.BAD_JSON), (b'{"t":1,"x":NaN}', Reason.BAD_JSON),
        (b'{"t":1,"x":-Infinity}', Reason.BAD_JSON), (b'{"t":1,"x":1e999}', Reason.BAD_VALUE),
        (b'{"t":1,"x":-1e999}', Reason.BAD_VALUE), (b"[" * 50_000, Reason.BAD_JSON),
        (b'{"a":' * 50_000, Reason.BAD_JSON), (b'{"t":1,"x":"\\ud800"}', Reason.BAD_JSON),
        (b'{"t":1,"x":' + b"9" * 400 + b"}", Reason.BAD_VALUE),
        (b'{"t":1,"x":' + b"9" * 10_000 + b"}", Reason.BAD_VALUE),
    ],
)  # fmt: skip
def test_bad_json_is_refused(body, expected) -> None:
    assert reason("json", body) is expected


def test_nan_in_json_is_answered_with_what_to_write() -> None:
    with pytest.raises(Unusable, match="write null"):
        json_body.parse(b'{"t": NaN}', 10)


def test_json_that_unfolds_to_many_objects_is_stopped_before_it_is_parsed() -> None:
    with pytest.raises(Unusable, match="opens more than 1000000") as caught:
        json_body.parse(b"[" + b"{}," * 2_000_000 + b"{}]", 1_000_000)
    assert caught.value.reason is Reason.TOO_LARGE


def test_a_megabyte_of_json_is_read() -> None:
    count = 50_000
    document = {"t": list(range(count)), "x": [0.123456] * count, "y": [None] * count}
    body = json.dumps(document).encode()
    assert len(body) > 1_000_000
    found, table = only(spec(), body)
    assert found == document["t"]
    assert table[0] == table[-1] == [0.123456, None]


@pytest.mark.parametrize(("tag", "dtype"), cbor_body.TYPED_ARRAYS.items())
def test_typed_arrays_of_cbor_are_columns(tag, dtype) -> None:
    array = np.array([1, 0, 100], dtype)
    document = {"t": [1, 2, 3], "x": cbor2.CBORTag(tag, array.tobytes())}
    assert read("cbor", document) == ([1, 2, 3], [[1, None], [0, None], [100, None]])
    clock = {"t": cbor2.CBORTag(tag, array.tobytes()), "x": [1, 2, 3]}
    assert read("cbor", clock)[0] == [1, 0, 100]


def test_nan_in_cbor_is_a_missing_value_and_a_decimal_fraction_a_number() -> None:
    document = {"t": [1, 2], "x": [float("nan"), Decimal("1.25")], "y": [1, 2]}
    assert read("cbor", document) == ([1, 2], [[None, 1], [1.25, 2]])
    assert reason("cbor", {"t": 1, "x": float("inf")}) is Reason.BAD_VALUE


@pytest.mark.parametrize(
    "body",
    [
        b"\x01\x02", b"\xa0\xa0", b"\xff", b"\x81" * 100_000, b"\x81" * 17 + b"\x01",
        bytes.fromhex("9b000000ffffffffff01"), bytes.fromhex("5b000000ffffffffff01"),
        bytes.fromhex("a2617801617802"),  # x twice
        bytes.fromhex("d81c81d81d00"),  # a list that holds itself
        bytes.fromhex("c4821a3b9aca0001"),  # 1e1000000000
        bytes.fromhex("c5821a3b9aca0001"), bytes.fromhex("d8236161"), bytes.fromhex("c074"),
        bytes.fromhex("d8564101"),  # a typed array cut off
        bytes.fromhex("d9ffff01"),
    ],
)  # fmt: skip
def test_bad_cbor_is_refused(body) -> None:
    assert reason("cbor", body) is Reason.BAD_CBOR


@pytest.mark.parametrize("content", ["81f6", "6161", "01", "4161", "820102", "a0"])
def test_of_the_tags_that_cbor2_knows_only_numbers_pass(content) -> None:
    for tag in (*range(300), 1004, 1040, 43000, 43001, 55799):
        body = bytes.fromhex("a26174016178d9") + tag.to_bytes(2, "big") + bytes.fromhex(content)
        if problem(spec("cbor"), body) is None:
            assert tag in {2, 3, 4, *cbor_body.TYPED_ARRAYS, 55799}


def test_cbor_of_more_than_four_mebibytes_is_too_large() -> None:
    assert reason("cbor", bytes(4 * 2**20 + 1)) is Reason.TOO_LARGE


@both
@given(body=st.binary(max_size=100))
def test_no_bytes_make_a_parser_fail_otherwise(form, body) -> None:
    assert problem(spec(form), body) in {None, *Reason} - {Reason.INTERNAL}
