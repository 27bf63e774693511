"""NumPy's `.npy` files, read in place and without pickle: named columns, or a plain table."""

import ast
import struct
import warnings
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.decode.columns import Decoded, Part, check_rows, values_of
from ingest.decode.problem import Reason, Unusable
from ingest.decode.spec import DecodeSpec
from ingest.decode.times import ToNanoseconds

MAGIC = b"\x93NUMPY"
_MAX_HEADER_BYTES = 10_000
_LENGTHS = {1: struct.Struct("<H"), 2: struct.Struct("<I"), 3: struct.Struct("<I")}
_VERSION_AT, _LENGTH_AT = 6, 8
_TABLE = 2


def read(body: bytes, spec: DecodeSpec, to_ns: ToNanoseconds) -> Decoded:
    """Read a structured array with named columns, or a table: the time, then each channel.

    Byte order and Fortran order are as the file says; NaN stands for a missing value.

    Raises:
        Unusable: bad_npy, bad_shape, bad_time, bad_value, no_samples or too_large.

    """
    array = load(body)
    columns = _named(array) if array.dtype.names else _table(array, spec)
    if spec.time.field not in columns:
        raise Unusable(Reason.BAD_TIME, f"the array has no column {spec.time.field}")
    if columns.keys().isdisjoint(spec.channels):
        wanted = ", ".join(spec.channels)
        raise Unusable(Reason.NO_SAMPLES, f"the array has none of the channels {wanted}")
    rows = len(array)
    check_rows(rows, spec)
    unknown = columns.keys() - {spec.time.field, *spec.channels}
    times_ns = to_ns(columns[spec.time.field])
    return Decoded([Part(None, times_ns, values_of(columns, rows, spec))], len(unknown))


def _named(array: NDArray[Any]) -> dict[str, NDArray[Any]]:
    columns = {name: array[name] for name in array.dtype.names or ()}
    if any(column.ndim != 1 for column in columns.values()):
        raise Unusable(Reason.BAD_SHAPE, "a structured array must be a list of plain rows")
    return columns


def _table(array: NDArray[Any], spec: DecodeSpec) -> dict[str, NDArray[Any]]:
    names = (spec.time.field, *spec.channels)
    if array.ndim != _TABLE or array.shape[1] != len(names):
        raise Unusable(
            Reason.BAD_SHAPE,
            f"the array has shape {array.shape}, not (samples, {len(names)}) for "
            f"{', '.join(names)}",
        )
    return {name: array[:, place] for place, name in enumerate(names)}


def load(body: bytes) -> NDArray[Any]:
    """Read an array as a view of the body, whose length must be what the header says.

    Raises:
        Unusable: bad_npy.

    """
    dtype, fortran, shape, start = _header(body)
    if dtype.hasobject or not dtype.itemsize:
        raise _bad("it holds Python objects or nothing")
    if prod(shape) * dtype.itemsize != len(body) - start:
        raise _bad("its data are longer or shorter than its header says")
    flat = np.frombuffer(body, dtype, offset=start) if len(body) > start else np.empty(0, dtype)
    try:
        return flat.reshape(shape, order="F" if fortran else "C")
    except ValueError:
        raise _bad("its shape is too large") from None


def _header(body: bytes) -> tuple[np.dtype[Any], bool, tuple[int, ...], int]:
    if not body.startswith(MAGIC) or len(body) <= _LENGTH_AT:
        raise _bad("it does not begin like one")
    length = _LENGTHS.get(body[_VERSION_AT])
    if length is None or len(body) < _LENGTH_AT + length.size:
        raise _bad("its version is unknown, or it is cut off")
    start = _LENGTH_AT + length.size
    end = start + length.unpack_from(body, _LENGTH_AT)[0]
    if end > len(body) or end - start > _MAX_HEADER_BYTES:
        raise _bad("its header is cut off or too long")
    return *_fields(body[start:end]), end


@lru_cache(maxsize=256)  # senders repeat a few headers, and reading one takes longer than the data
def _fields(header: bytes) -> tuple[np.dtype[Any], bool, tuple[int, ...]]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a stranger's header makes Python think of
            fields = ast.literal_eval(header.decode())
            dtype = np.lib.format.descr_to_dtype(fields["descr"])
        shape, fortran = fields["shape"], fields["fortran_order"]
    except Exception as error:  # noqa: BLE001, a header is a stranger's Python literal
        raise _bad(f"its header cannot be read ({type(error).__name__})") from None
    if not (
        type(fortran) is bool
        and type(shape) is tuple
        and all(type(size) is int and 0 <= size < 2**63 for size in shape)
    ):
        raise _bad("its header has a bad shape or order")
    return dtype, fortran, shape


def _bad(detail: str) -> Unusable:
    return Unusable(Reason.BAD_NPY, f"the body is no .npy file that can be read: {detail}")
