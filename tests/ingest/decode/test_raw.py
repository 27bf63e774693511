from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batching.errors import SettingError
from ingest.decode.problem import Reason
from ingest.decode.raw import layout
from tests.ingest.decode.given import only, problem, spec

COLUMNS = (("t", "uint32"), ("pad", "V2"), ("x", "int16"), ("y", "float32"))
ROW = np.dtype([("t", "<u4"), ("pad", "V2"), ("x", "<i2"), ("y", "<f4")])


def raw(columns=COLUMNS, **more: Any) -> object:
    return spec("raw", columns=columns, unit="ms", **more)


table = st.lists(
    st.tuples(
        st.integers(0, 2**32 - 1),
        st.integers(-(2**15), 2**15 - 1),
        st.floats(width=32, allow_infinity=False, allow_nan=False),
    ),
    min_size=1,
)


@given(table)
def test_rows_come_out_as_they_were_packed(samples) -> None:
    body = np.array([(t, b"ab", x, y) for t, x, y in samples], ROW).tobytes()
    assert len(body) == 12 * len(samples)
    expected = [t * 10**6 for t, *_ in samples], [[x, y] for _, x, y in samples]
    assert only(raw(), body) == expected


def test_big_endian_is_read_where_it_is_declared() -> None:
    body = np.array([(1, 2, 3)], ">i8,>i2,<f4").tobytes()
    columns = (("t", ">i8"), ("x", ">i2"), ("y", "f4"))
    assert only(raw(columns), body) == ([10**6], [[2, 3]])


def test_nan_is_a_missing_value_and_infinity_is_refused() -> None:
    rows = np.array([(1, b"", 2, np.nan)], ROW)
    assert only(raw(), rows.tobytes()) == ([10**6], [[2, None]])
    rows["y"] = np.inf
    assert problem(raw(), rows.tobytes()) is Reason.BAD_VALUE


def test_a_body_that_ends_within_a_row_is_refused() -> None:
    assert problem(raw(), bytes(23)) is Reason.BAD_RAW
    assert problem(raw(max_samples=1), bytes(24)) is Reason.TOO_LARGE
    assert problem(raw(), b"") is Reason.EMPTY_BODY


def test_gzip_is_opened_only_where_the_event_says_so() -> None:
    rows = np.array([(0x088B1F, b"", 1, 1)], ROW).tobytes()
    assert rows.startswith(b"\x1f\x8b\x08")
    assert only(raw(), rows) == ([0x088B1F * 10**6], [[1, 1]])
    assert problem(raw(), rows, encoding="gzip") is Reason.BAD_ENCODING


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ((), "must declare t, x, y"), ((("t", "i8"), ("x", "f8")), "must declare y"),
        ((("t", "i8"), ("x", "f8"), ("y", "f8"), ("y", "f8")), "twice"),
        ((("t", "i8"), ("x", "f8"), ("y", "spam")), "columns.y"),
        ((("t", "i8"), ("x", "O"), ("y", "f8")), "columns.x"),
        ((("t", "i8"), ("x", "V4"), ("y", "f8")), "columns.x"),
        ((("t", "i8"), ("x", "3f8"), ("y", "f8")), "columns.x"),
        ((("t", "M8[s]"), ("x", "f8"), ("y", "f8")), "columns.t"),
        ((("t", "i8"), ("x", "f8"), ("y", "f8"), ("z", "U0")), "columns.z"),
    ],
)  # fmt: skip
def test_a_layout_that_cannot_be_read_is_a_setting_error(columns, message) -> None:
    with pytest.raises(SettingError, match=message):
        layout(raw(columns))
