"""Streams and events for tests of decoders and of the classifier."""

from typing import Any

import numpy as np

from batching import chunk
from ingest.decode.columns import Decoded, Part
from ingest.decode.formats import Reader
from ingest.decode.problem import Reason, Unusable
from ingest.decode.spec import DecodeSpec, MatchSpec, SensorSpec, StreamRules, TimeSpec
from ingest.event import Event

NOW_NS = 1_700_000_000_123_456_789


def spec(form="json", channels=("x", "y"), unit="ns", zone=None, **more: Any) -> DecodeSpec:
    return DecodeSpec(form, TimeSpec("t", unit, zone), tuple(channels), **more)


def rules(decode=None, sensor=None, match=None, name="vibration") -> StreamRules:
    return StreamRules(
        name, match or MatchSpec(), sensor or SensorSpec("partition_key"), decode or spec()
    )


def event(body: bytes, **more: Any) -> Event:
    return Event("0", 7, NOW_NS, body, **{"partition_key": "press-1", "message_id": "m7", **more})


def parts(decode: DecodeSpec, body: bytes, media="", encoding="", sender=None) -> list[Part]:
    return Reader(decode, sender).read(body, media, encoding, NOW_NS).parts


def only(decode: DecodeSpec, body: bytes, media="", encoding="") -> tuple[list[int], list[Any]]:
    """Times and rows of the one part that a body holds; None stands for NaN."""
    (part,) = parts(decode, body, media, encoding)
    return part.times_ns.tolist(), rows(part.values)


def problem(decode: DecodeSpec, body: bytes, media="", encoding="") -> Reason | None:
    """Why a body cannot be used; None if it can."""
    try:
        parts(decode, body, media, encoding)
    except Unusable as error:
        return error.reason
    return None


def told(decoded: Decoded) -> list[Any]:
    """Give all that follows from what a body held, to the bit."""
    found: list[Any] = [decoded.unknown]
    for sender, times, values in decoded.parts:
        found += [type(sender), sender, times.dtype, times.tobytes()]
        found += [values.dtype, values.shape, values.tobytes()]
    return found


def rows(values: np.ndarray) -> list[Any]:
    missing = np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, bool)
    return np.where(missing, None, values.astype(object)).tolist()


def samples(element) -> tuple[np.ndarray, np.ndarray]:
    """Times and values of an element that holds one chunk of samples."""
    (encoded,) = chunk.read(element.body)
    assert encoded.kind == chunk.SAMPLES
    assert encoded.samples == element.samples
    return chunk.samples_of(encoded)


def letter(classified) -> chunk.DeadLetter:
    """Give the dead letter that an event became."""
    (element,) = classified.elements
    (encoded,) = chunk.read(element.body)
    assert encoded.kind == chunk.DEAD_LETTER
    return chunk.dead_letter_of(encoded)
