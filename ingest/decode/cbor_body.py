"""CBOR by cbor2, cut down to what samples need: numbers, texts, lists, maps, typed arrays."""

from io import BytesIO
from typing import Any, NoReturn

import cbor2
import numpy as np

from ingest.decode.problem import Reason, Unusable

MAX_BYTES = 4 * 2**20  # a byte of CBOR can become 80 in memory
MAX_DEPTH = 16
_LARGEST_EXPONENT = 400
_FRACTION = 2  # exponent and mantissa

# RFC 8746, section 2.1: arrays of numbers of one type, without an object for each number
TYPED_ARRAYS = {
    64: "u1",
    65: ">u2",
    66: ">u4",
    67: ">u8",
    68: "u1",
    69: "<u2",
    70: "<u4",
    71: "<u8",
    72: "i1",
    73: ">i2",
    74: ">i4",
    75: ">i8",
    77: "<i2",
    78: "<i4",
    79: "<i8",
    80: ">f2",
    81: ">f4",
    82: ">f8",
    84: "<f2",
    85: "<f4",
    86: "<f8",
}
# dates, big floats, references, ratios, patterns, mails, sets, addresses, complex numbers: costly
# or cyclic, and never a sample
_REFUSED = (0, 1, 5, 25, 28, 29, 30, 35, 36, 37, 43000, 52, 54, 100, 256, 258, 260, 261, 1004)


def parse(body: bytes) -> Any:
    """Parse one CBOR item; decimal fractions become floats, typed arrays NumPy arrays.

    Raises:
        Unusable: bad_cbor, or too_large.

    """
    if len(body) > MAX_BYTES:
        raise Unusable(Reason.TOO_LARGE, f"the body has {len(body)} bytes, CBOR may have 4 MiB")
    stream = BytesIO(body)
    decoder = cbor2.CBORDecoder(
        stream,
        tag_hook=_tag,
        semantic_decoders=_SEMANTICS,
        max_depth=MAX_DEPTH,
        allow_duplicate_keys=False,
    )
    try:
        document = decoder.decode()
    except (cbor2.CBORError, ValueError, TypeError, RecursionError) as error:
        raise Unusable(Reason.BAD_CBOR, f"the body is no CBOR for samples: {error}") from None
    if stream.tell() != len(body):
        raise Unusable(Reason.BAD_CBOR, "the body goes on after its CBOR item")
    return document


def _tag(tag: Any, immutable: bool) -> Any:  # noqa: ARG001, FBT001, cbor2 calls it so
    if tag.tag not in TYPED_ARRAYS or type(tag.value) is not bytes:
        raise ValueError(f"tag {tag.tag} has no meaning here")
    return np.frombuffer(tag.value, TYPED_ARRAYS[tag.tag])


def _fraction(value: Any, immutable: bool) -> float:  # noqa: ARG001, FBT001
    """Read a decimal fraction (tag 4) without unfolding a huge exponent."""
    if not (isinstance(value, list | tuple) and len(value) == _FRACTION):
        raise ValueError("a decimal fraction is no pair")
    exponent, mantissa = value
    if type(exponent) is not int or type(mantissa) is not int or abs(exponent) > _LARGEST_EXPONENT:
        raise ValueError("a decimal fraction is out of range")
    return float(f"{mantissa}e{exponent}")


def _refuse(value: Any, immutable: bool) -> NoReturn:  # noqa: ARG001, FBT001
    raise ValueError("a tag has no meaning here")


_SEMANTICS: dict[int, Any] = {4: _fraction, **dict.fromkeys(_REFUSED, _refuse)}
