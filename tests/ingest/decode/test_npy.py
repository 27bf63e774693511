import io
import pickle
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as extra

from ingest.decode.problem import Reason
from tests.ingest.decode.given import only, problem, rows, spec

TABLE = np.array([[1, 0.5, 2.5], [2, np.nan, -1]])
EXPECTED = [1, 2], [[0.5, 2.5], [None, -1]]


def npy(array, version=None) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=version, allow_pickle=True)
    return file.getvalue()


def headed(header, data=b"", version=1) -> bytes:
    text = header.encode("latin1")
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text + data


def read(array, **more: Any) -> tuple:
    return only(spec("npy", **more), npy(array))


@pytest.mark.parametrize("dtype", ["<f8", ">f8", "<f4", ">f4", "<f2"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_a_table_is_the_time_and_then_each_channel(dtype, order, version) -> None:
    table = np.array(TABLE, dtype, order=order)
    assert only(spec("npy"), npy(table, version)) == EXPECTED


@given(
    extra.arrays(
        [("t", ">i8"), ("y", "<f4"), ("x", ">f8")],
        st.integers(1, 20),
        elements={"allow_nan": True, "allow_infinity": False},
    )
)
def test_named_columns_come_out_as_they_went_in(array) -> None:
    array["t"] //= 2
    found, values = read(array)
    assert found == array["t"].tolist()
    assert values == rows(np.stack([array["x"], array["y"].astype("f8")], axis=1))


def test_names_beyond_latin_letters_and_unknown_columns_are_fine() -> None:
    array = np.array([(1, 5, 7)], [("zeit \N{HOT BEVERAGE}", "i8"), ("x", "i2"), ("q", "u1")])
    decode = spec("npy")
    decode = type(decode)("npy", type(decode.time)("zeit \N{HOT BEVERAGE}", "ns"), ("x", "y"))
    assert only(decode, npy(array, (3, 0))) == ([1], [[5, None]])


def test_numpys_own_times_are_understood() -> None:
    array = np.array([("2026-01-01T00:00:01", 1)], [("t", "M8[ms]"), ("x", "f8")])
    assert read(array, unit="iso8601")[0] == [1_767_225_601 * 10**9]


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros(3), Reason.BAD_SHAPE), (np.float64(1), Reason.BAD_SHAPE),
        (np.zeros((2, 2)), Reason.BAD_SHAPE), (np.zeros((2, 3, 1)), Reason.BAD_SHAPE),
        (np.zeros((1, 1), [("t", "i8"), ("x", "f8")]), Reason.BAD_SHAPE),
        (np.zeros(1, [("t", "i8"), ("x", "f8", 3)]), Reason.BAD_SHAPE),
        (np.zeros(1, [("x", "f8")]), Reason.BAD_TIME),
        (np.zeros(1, [("t", "i8"), ("temperature", "f8")]), Reason.NO_SAMPLES),
        (np.zeros((0, 3)), Reason.NO_SAMPLES), (np.zeros((3, 3), "?"), Reason.BAD_TIME),
        (np.zeros((3, 3), "c16"), Reason.BAD_TIME), (np.zeros((3, 3), "U4"), Reason.BAD_TIME),
        (np.zeros(1, [("t", "i8"), ("x", "U4")]), Reason.BAD_VALUE),
        (np.full((1, 3), np.inf), Reason.BAD_TIME),
        (np.array([(1, np.inf)], [("t", "i8"), ("x", "f8")]), Reason.BAD_VALUE),
        (np.array([[{}]], object), Reason.BAD_NPY),
    ],
)  # fmt: skip
def test_other_arrays_are_refused(array, reason) -> None:
    assert problem(spec("npy"), npy(np.asarray(array))) is reason


class Boom:
    def __reduce__(self) -> tuple:
        return pytest.fail, ("a pickle was opened",)


GOOD = "{'descr': '<f8', 'fortran_order': False, 'shape': (1, 3)}"


@pytest.mark.parametrize(
    "body",
    [
        b"\x93NUMPY", b"\x93NUMPX\x01\x00\x00\x00", headed(GOOD), headed(GOOD, bytes(23)),
        headed(GOOD, bytes(25)), headed(GOOD, bytes(24), version=4), headed(GOOD, bytes(24))[:30],
        headed("", bytes(24)), headed("{}"), headed("[" * 9_000), headed("-" * 9_000 + "1"),
        headed("__import__('os').abort()"), headed(GOOD + " " * 10_000, bytes(24)),
        headed(GOOD.replace("(1, 3)", "(-1, -3)"), bytes(24)),
        headed(GOOD.replace("(1, 3)", "(1.0, 3)"), bytes(24)),
        headed(GOOD.replace("(1, 3)", f"({2**62}, {2**62})"), bytes(24)),
        headed(GOOD.replace("(1, 3)", f"({10**30}, 0)")),
        headed(GOOD.replace("(1, 3)", str((1,) * 100)), bytes(8)),
        headed(GOOD.replace("False", "0"), bytes(24)),
        headed(GOOD.replace("'<f8'", "'V0'").replace("1, 3", f"{2**40},")),
        headed(GOOD.replace("'<f8'", "'|O'"), bytes(24)), headed(GOOD.replace("'<f8'", "'1'")),
        headed(GOOD.replace("'<f8'", "5"), bytes(24)), headed(GOOD.replace("'<f8'", "[1, 2]")),
        headed(GOOD.replace("'<f8'", "'|O'"), pickle.dumps(Boom())),
    ],
)  # fmt: skip
def test_files_that_are_broken_or_hostile_are_refused(body) -> None:
    assert problem(spec("npy"), body) is Reason.BAD_NPY


@given(st.text("{}()[]',:<>=|fiuOVM8delscrhapotn_ 0123\\\"", max_size=60), st.binary(max_size=30))
def test_no_header_makes_the_reader_fail_otherwise(header, data) -> None:
    assert problem(spec("npy"), headed(header, data)) is Reason.BAD_NPY
