"""Raw rows, one after another, little-endian unless declared otherwise: the stream says all."""

from typing import Any

import numpy as np

from batching.errors import SettingError
from ingest.decode.columns import Decoded, Part, check_rows, values_of
from ingest.decode.problem import Reason, Unusable
from ingest.decode.spec import DecodeSpec
from ingest.decode.times import ToNanoseconds

_NUMBER_KINDS = "iuf"
_OTHER_KINDS = "iufbSV"  # V4: four bytes of padding


def layout(spec: DecodeSpec) -> np.dtype[Any]:
    """Give the type of one row, packed, from the stream's declared columns.

    Raises:
        SettingError: a column has no fixed size, or time or a channel is not among them.

    """
    needed = {spec.time.field, *spec.channels}
    fields = [(name, _column(name, text, name in needed)) for name, text in spec.columns]
    names = [name for name, _ in fields]
    if len(set(names)) < len(names):
        raise SettingError("decode.columns: a column is there twice")
    if missing := sorted(needed.difference(names)):
        raise SettingError(f"decode.columns: must declare {', '.join(missing)} too")
    return np.dtype(fields)


def _column(name: str, text: str, needed: bool) -> np.dtype[Any]:  # noqa: FBT001
    try:
        dtype = np.dtype(text)
    except (TypeError, ValueError, SyntaxError):
        raise SettingError(
            f"decode.columns.{name}: {text!r} is no type, use float32, int16, uint8, ..."
        ) from None
    kinds = _NUMBER_KINDS if needed else _OTHER_KINDS
    if dtype.kind not in kinds or dtype.names or dtype.subdtype or not dtype.itemsize:
        raise SettingError(f"decode.columns.{name}: {text!r} is no type of a column")
    return dtype if text.startswith(">") else dtype.newbyteorder("<")


def read(body: bytes, row: np.dtype[Any], spec: DecodeSpec, to_ns: ToNanoseconds) -> Decoded:
    """Read rows of the layout; NaN stands for a missing value.

    Raises:
        Unusable: bad_raw, bad_time, bad_value or too_large.

    """
    if len(body) % row.itemsize:
        raise Unusable(
            Reason.BAD_RAW,
            f"the body has {len(body)} bytes, which is no multiple of a row's {row.itemsize}",
        )
    rows = np.frombuffer(body, row)
    check_rows(len(rows), spec)
    columns = {name: rows[name] for name in spec.channels}
    times_ns = to_ns(rows[spec.time.field])
    return Decoded([Part(None, times_ns, values_of(columns, len(rows), spec))])
