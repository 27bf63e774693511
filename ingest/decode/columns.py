"""Columns of numbers, as a format gave them, to one array of the stream's channels and dtype."""

import struct
from collections.abc import Mapping, Sequence
from itertools import chain
from math import isfinite
from types import NoneType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from batching.model import DTYPES
from ingest.decode.problem import Reason, Unusable
from ingest.decode.spec import DecodeSpec
from ingest.decode.times import Column, Times

MAX_PARTS = 10_000  # objects of one list, sensors of one pack
COLUMN_TYPES = frozenset({list, np.ndarray})
_NUMBERS = {int, float, NoneType}
_DTYPES = {name: np.dtype(name) for name in DTYPES}
_BIGGEST_ITEM_BYTES = 8
_FEW_ROWS = 1_000
_FEW_VALUES = 64


class Part(NamedTuple):
    """What one event says of one sensor.

    `sender` is what the body says of the sensor's name, not yet checked (None: nothing);
    `times_ns` is int64 of shape (n,), `values` has shape (n, channels).
    """

    sender: Any
    times_ns: Times
    values: NDArray[Any]


class Decoded(NamedTuple):
    """What a body held, and how many names in it are no channels of the stream."""

    parts: list[Part]
    unknown: int = 0


def bad_value(detail: str) -> Unusable:
    """Say what is wrong with a value."""
    return Unusable(Reason.BAD_VALUE, detail)


def check_rows(rows: int, spec: DecodeSpec) -> None:
    """Bound what one event unfolds to, before memory is taken for it.

    Raises:
        Unusable: too_large, or no_samples if there are none.

    """
    if not rows:
        raise Unusable(Reason.NO_SAMPLES, "the body holds no samples")
    if rows > spec.max_samples:
        raise Unusable(
            Reason.TOO_LARGE, f"the body holds {rows} samples, {spec.max_samples} are allowed"
        )
    size_bytes = rows * (8 + len(spec.channels) * _DTYPES[spec.dtype].itemsize)
    if size_bytes > spec.max_decoded_bytes:
        raise Unusable(
            Reason.TOO_LARGE,
            f"the samples take {size_bytes} bytes, {spec.max_decoded_bytes} are allowed",
        )


def check_parts(parts: int) -> None:
    """Bound the sensors that one event may feed.

    Raises:
        Unusable: too_large.

    """
    if parts > MAX_PARTS:
        raise Unusable(Reason.TOO_LARGE, f"the body feeds more than {MAX_PARTS} sensors or lists")


def values_of(columns: Mapping[str, Column | None], rows: int, spec: DecodeSpec) -> NDArray[Any]:
    """Put the stream's channels side by side.

    Args:
        columns: a list of numbers and None, or an array, by channel; NaN where there is none.
        rows: length that each column must have.
        spec: channels and dtype.

    Returns:
        Values of shape (rows, channels) in the stream's dtype.

    Raises:
        Unusable: bad_shape for another length; bad_value for what is no number, is infinite,
            or does not fit the dtype exactly (missing values fit floats alone).

    """
    dtype = _DTYPES[spec.dtype]
    if dtype == np.float64 and rows <= _FEW_ROWS:
        together = _few_rows([columns.get(channel) for channel in spec.channels], rows)
        if together is not None:
            return together
    values = np.empty((rows, len(spec.channels)), dtype)
    for place, channel in enumerate(spec.channels):
        column = columns.get(channel)
        if column is None:
            values[:, place] = _missing(channel, dtype)
            continue
        if len(column) != rows:
            raise Unusable(
                Reason.BAD_SHAPE,
                f"channel {channel} has {len(column)} values, but there are {rows} times",
            )
        values[:, place] = _numbers(channel, column, dtype)
    return values


def _few_rows(columns: Sequence[Column | None], rows: int) -> NDArray[Any] | None:
    """Read faultless lists of a small event at once: a call of NumPy costs more than they do.

    Gives None for anything else, which is then read, or refused by name, column by column.
    """
    lists = [[None] * rows if column is None else column for column in columns]
    for column in lists:
        if type(column) is not list or len(column) != rows:
            return None
    together = list(chain.from_iterable(lists))
    kinds = set(map(type, together))
    if not kinds <= _NUMBERS:
        return None
    try:
        if NoneType in kinds:
            values = np.array(together, np.float64)
        else:
            values = np.frombuffer(struct.pack(f"={len(together)}d", *together), np.float64)
    except (OverflowError, struct.error):
        return None
    if not _all_finite(together, values, kinds):
        return None
    return values.reshape(len(lists), rows).T


def _all_finite(numbers: list[Any], values: NDArray[Any], kinds: set[type]) -> bool:
    """Tell whether no number is infinite; NaN, which no format gives in a list but CBOR, may be."""
    if len(numbers) <= _FEW_VALUES and kinds == {float} and isfinite(sum(numbers)):
        return True
    return not np.logical_or.reduce(np.isinf(values), axis=None)


def _missing(channel: str, dtype: np.dtype[Any]) -> float:
    if dtype.kind != "f":
        raise bad_value(f"channel {channel} misses a value, which {dtype.name} cannot say")
    return float("nan")


def _numbers(channel: str, column: Column, dtype: np.dtype[Any]) -> NDArray[Any]:
    array = column if isinstance(column, np.ndarray) else _array(channel, column, dtype)
    if array.dtype.kind not in "iuf" or array.dtype.itemsize > _BIGGEST_ITEM_BYTES:
        raise bad_value(f"channel {channel} has values of type {array.dtype.name}")
    if array.dtype.kind == "f" and np.isinf(array).any():
        raise bad_value(f"channel {channel} has an infinite value")
    if dtype.kind == "f":
        return _floats(channel, array, dtype)
    return _integers(channel, array, dtype)


def _array(channel: str, column: Sequence[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Read a list of numbers and None; a float64 array, or int64 if the dtype is an integer."""
    kinds = set(map(type, column))
    if not kinds <= _NUMBERS:
        names = ", ".join(sorted(kind.__name__ for kind in kinds - _NUMBERS))
        raise bad_value(f"channel {channel} holds what is no number ({names})")
    try:
        if dtype.kind == "f":
            return np.array(column, np.float64)
        if kinds == {int}:
            return np.array(column, np.int64)
        return np.array([_whole(channel, value, dtype) for value in column], np.int64)
    except OverflowError:
        raise bad_value(f"channel {channel} has a number too large for {dtype.name}") from None


def _whole(channel: str, value: float | None, dtype: np.dtype[Any]) -> int:
    if value is None:
        _missing(channel, dtype)
    elif isinstance(value, int) or value.is_integer():
        return int(value)
    raise bad_value(f"channel {channel} has a value that is no whole number, as {dtype.name} asks")


def _floats(channel: str, array: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    if array.dtype == dtype:
        return array
    with np.errstate(all="ignore"):
        floats = array.astype(dtype)
    if dtype.itemsize < _BIGGEST_ITEM_BYTES and np.isinf(floats).any():
        raise bad_value(f"channel {channel} has a number too large for {dtype.name}")
    return floats


def _integers(channel: str, array: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    if array.dtype.kind == "f" and not (np.floor(array) == array).all():  # NaN is unlike itself
        raise bad_value(f"channel {channel} misses a value or has one that is no whole number")
    limits = np.iinfo(dtype)
    if array.size and (int(array.max()) > limits.max or int(array.min()) < limits.min):
        raise bad_value(f"channel {channel} has a number too large for {dtype.name}")
    return array.astype(dtype)
