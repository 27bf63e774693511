from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.decode.columns import check_rows, values_of
from ingest.decode.problem import Reason, Unusable
from tests.ingest.decode.given import rows, spec

INTEGERS = ("int64", "int32", "int16")
finite = st.floats(allow_nan=False, allow_infinity=False)


def values(columns, dtype="float64", channels=("x",)) -> list[Any]:
    count = len(next(iter(columns.values())))
    found = values_of(columns, count, spec(channels=channels, dtype=dtype))
    assert found.dtype == dtype
    return rows(found)


def reason(columns, dtype="float64", channels=("x",)) -> Reason:
    with pytest.raises(Unusable) as caught:
        values(columns, dtype, channels)
    return caught.value.reason


@given(st.lists(st.one_of(finite, st.integers(-(2**53), 2**53), st.none()), min_size=1))
def test_numbers_of_any_kind_become_float64(column) -> None:
    expected = [[None if value is None else float(value)] for value in column]
    assert values({"x": column}) == expected
    array = np.array(column, np.float64)
    assert values({"x": array}) == expected
    assert values({"x": array.astype(">f8")}) == expected


@given(st.integers(900, 1_100), st.data())
def test_few_and_many_rows_give_the_same(count, data) -> None:
    column = data.draw(st.lists(st.sampled_from([1, 2.5, None]), min_size=count, max_size=count))
    columns = {"x": column, "y": column[::-1]}
    two = values(columns, channels=("x", "none", "y"))
    assert two == [[x, None, y] for x, y in zip(column, column[::-1], strict=True)]


anything = st.one_of(
    st.floats(), st.floats(1e307, 1.79e308), st.integers(), st.integers(2**1000, 2**1030), st.none()
)


def told(column: list[Any], count: int) -> tuple[Reason, str] | bytes:
    """Read a column that nothing but zeros follows; give the bytes of its own rows, or why not."""
    longer = column + [0] * (count - len(column))
    try:
        return values_of({"x": longer}, count, spec(channels=("x",)))[: len(column)].tobytes()
    except Unusable as error:
        return error.reason, error.detail


@given(st.lists(anything, min_size=1, max_size=80))
def test_few_rows_are_the_same_to_the_bit_or_refused_in_the_same_words(column) -> None:
    assert told(column, len(column)) == told(column, 1_001)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_an_integer_dtype_takes_exactly_what_fits(dtype) -> None:
    limits = np.iinfo(dtype)
    edges = [int(limits.min), int(limits.max)]
    assert values({"x": edges}, dtype) == [[edge] for edge in edges]
    assert values({"x": [3.0, 4]}, dtype) == [[3], [4]]
    assert values({"x": np.array([3.0, -4.0])}, dtype) == [[3], [-4]]
    for value in (edges[0] - 1, edges[1] + 1, 2.5, 1e300, None):
        assert reason({"x": [value]}, dtype) is Reason.BAD_VALUE
        assert reason({"x": [1, value]}, dtype) is Reason.BAD_VALUE
    assert reason({"x": np.array([0.5])}, dtype) is Reason.BAD_VALUE
    assert reason({"x": np.array([np.nan])}, dtype) is Reason.BAD_VALUE
    assert reason({"x": np.array([2**64 - 1], np.uint64)}, dtype) is Reason.BAD_VALUE
    assert reason({"x": [1]}, dtype, ("x", "y")) is Reason.BAD_VALUE


@pytest.mark.parametrize("dtype", ["float64", "float32", *INTEGERS])
@pytest.mark.parametrize("count", [1, 2_000])
def test_what_is_infinite_or_no_number_is_refused(dtype, count) -> None:
    for value in (float("inf"), -float("inf"), 10**400, True, "1", [1], {}, b"1", 1j):
        column = [1] * (count - 1) + [value]
        assert reason({"x": column}, dtype) is Reason.BAD_VALUE, value
    for array in (np.array([np.inf]), np.array([True]), np.array(["1"]), np.array([1j])):
        assert reason({"x": np.repeat(array, count)}, dtype) is Reason.BAD_VALUE


def test_float32_rounds_but_does_not_overflow() -> None:
    assert values({"x": [0.1]}, "float32") == [[np.float32(0.1)]]
    assert reason({"x": [1e39]}, "float32") is Reason.BAD_VALUE


@pytest.mark.parametrize("dtype", ["float64", "float32", "int16"])
@pytest.mark.parametrize("length", [0, 1, 3])
def test_columns_of_another_length_are_refused(dtype, length) -> None:
    for column in ([1] * length, np.ones(length)):
        with pytest.raises(Unusable, match="channel x") as caught:
            values_of({"x": column}, 2, spec(channels="x", dtype=dtype))
        assert caught.value.reason is Reason.BAD_SHAPE


def test_what_an_event_unfolds_to_is_bounded_before_memory_is_taken() -> None:
    wide = spec(channels=[f"c{n}" for n in range(1_000)])
    with pytest.raises(Unusable, match="bytes"):
        check_rows(10_000, wide)
    check_rows(8_000, wide)
    with pytest.raises(Unusable, match="samples"):
        check_rows(11, spec(max_samples=10))
    with pytest.raises(Unusable) as caught:
        check_rows(0, spec())
    assert caught.value.reason is Reason.NO_SAMPLES
