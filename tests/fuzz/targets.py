"""What is fuzzed: each target takes any bytes, and raises only where a promise is broken.

An input of `event` begins with four bytes that choose the stream, the content type, the content
encoding and the partition key; the rest is the body, so that a seed is a body with a short head.
"""

import contextlib
import gzip
import io
import json
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from itertools import product

import cbor2
import numpy as np

from batching import chunk
from batching.chunks import read_all
from batching.errors import CorruptBuffer, CorruptObject, NewerFormat
from batching.model import Element, Manifest, Position, Result, RunRecord, Store, load
from batching.names import DEAD, Key
from ingest.classify import Classifier
from ingest.decode import json_body
from ingest.decode.formats import CONTENT_TYPES
from ingest.decode.json_arrays import JsonArrays
from ingest.decode.problem import Reason
from ingest.decode.shapes import Shapes
from ingest.decode.spec import DecodeSpec, Format, MatchSpec, SensorSpec, StreamRules, TimeSpec
from ingest.decode.times import converter
from ingest.event import Event
from ingest.hub import amqp
from ingest.sensors import MAX_NAME_BYTES
from tests.ingest.decode.given import told

HEAD = 4
CHANNELS = ("x", "y")
MAX_SAMPLES, MAX_BODY, MAX_DECODED = 5_000, 2**18, 2**20
COLUMNS = (("t", "<i8"), ("x", "<f4"), ("y", "<i2"))
MEDIA = ("", "text/plain", "image/png", *CONTENT_TYPES, "application/x+json", "application/x+cbor")
ENCODINGS = ("", "gzip", "utf-8", "br")
KEYS = ("press-1", "", "../../etc/passwd", "$(touch x)", "a\nb", "\ud800", "ü" * 128, "x" * 257)
FORMATS: tuple[Format, ...] = ("json", "cbor", "senml", "npy", "raw")
SENSORS = (SensorSpec("partition_key"), SensorSpec("field", "id"), SensorSpec("senml"))
TIMES = (TimeSpec("t", "ms"), TimeSpec("t", "iso8601", "Europe/Helsinki"))


def _classifiers() -> Iterator[Classifier]:
    for form, sensor, time, dtype in product(FORMATS, SENSORS, TIMES, ("float64", "int16")):
        table = form in ("npy", "raw")  # rows of numbers: no texts, no names
        if (sensor.by == "senml") != (form == "senml"):
            continue
        if table and (time.unit == "iso8601" or sensor.by == "field"):
            continue
        decode = DecodeSpec(
            form,
            time,
            CHANNELS,
            dtype,
            columns=COLUMNS if form == "raw" else (),
            max_body_bytes=MAX_BODY,
            max_samples=MAX_SAMPLES,
            max_decoded_bytes=MAX_DECODED,
        )
        rules = StreamRules("s", MatchSpec(), sensor, decode)
        yield Classifier([rules], unmatched="dead_letter", iot_hub=False)


CLASSIFIERS = tuple(_classifiers())


def _json_readers() -> Iterator[tuple[JsonArrays, Shapes]]:
    for sender, time, dtype in product(((), ("id",)), TIMES, ("float64", "float32", "int16")):
        decode = DecodeSpec("json", time, CHANNELS, dtype, max_samples=MAX_SAMPLES)
        to_ns = converter(time)
        yield JsonArrays(decode, to_ns, sender), Shapes(decode, to_ns, sender)


JSON_READERS = tuple(_json_readers())


def event(data: bytes) -> None:
    """Any event is samples within the bounds, or one dead letter with a reason; always the same."""
    if len(data) < HEAD:
        return
    made = event_of(data)
    classifier = CLASSIFIERS[data[0] % len(CLASSIFIERS)]
    found = classifier.classify(made)
    assert found.reason is not Reason.INTERNAL, chunk.dead_letter_of(_only(found.elements[0]))
    assert found == classifier.classify(made), "the same event gave something else"
    for element in found.elements:
        _sound(element)


def event_of(data: bytes) -> Event:
    """Read an input as an event: its head chooses from lists, the rest is its body."""
    _, media, encoding, key = data[:HEAD]
    return Event(
        "0",
        7,
        1_700_000_000_123_456_789,
        data[HEAD:],
        content_type=MEDIA[media % len(MEDIA)],
        content_encoding=ENCODINGS[encoding % len(ENCODINGS)],
        partition_key=KEYS[key % len(KEYS)],
    )


def _sound(element: Element) -> None:
    one = _only(element)
    assert (one.sequence_number, one.samples) == (element.sequence_number, element.samples)
    assert Key.parse(element.key.text()) == element.key
    if element.key == DEAD:
        assert chunk.dead_letter_of(one).reason
        return
    name = element.key.sensor
    assert 0 < len(name.encode()) <= MAX_NAME_BYTES
    assert not any(unicodedata.category(c) == "Cc" for c in name)
    assert "/" not in element.key.text().partition("/")[2]
    times, values = chunk.samples_of(one)
    assert 0 < len(times) <= MAX_SAMPLES
    assert values.shape == (len(times), len(CHANNELS))
    assert times.nbytes + values.nbytes <= MAX_DECODED
    assert not np.isinf(values).any()


def _only(element: Element) -> chunk.Encoded:
    (one,) = chunk.read(element.body)
    return one


def columns(data: bytes) -> None:
    """What is read from JSON straight to arrays is what the other path reads, to the bit."""
    for arrays, shapes in JSON_READERS:
        straight = arrays.read(data)
        if straight is not None:
            assert told(straight) == told(shapes.read(json_body.parse(data, MAX_SAMPLES)))


def buffer(data: bytes) -> None:
    """What lies in Redis is chunks, or CorruptBuffer, whether they are read one by one or not."""
    walked = _walked(data)
    assert walked == _read_at_once(data)
    for one in walked if isinstance(walked, list) else ():
        if one.kind == chunk.SAMPLES:
            times, values = chunk.samples_of(one)
            assert len(times) == len(values) == one.samples


def _walked(data: bytes) -> list[chunk.Encoded] | str:
    try:
        return list(chunk.read(data))
    except CorruptBuffer as error:
        return str(error)


def _read_at_once(data: bytes) -> list[chunk.Encoded] | str:
    try:
        found, _ = read_all([data])
    except CorruptBuffer as error:
        return str(error)
    for channels in np.unique(found.heads["channels"]).tolist():
        kept = (found.heads["kind"] == chunk.SAMPLES) & (found.heads["channels"] == channels)
        if kept.any():
            times, values = found.only(kept).times_and_values(channels)
            assert values.shape == (len(times), channels)
            each = [chunk.samples_of(found.one(i))[0] for i in np.flatnonzero(kept)]
            assert times.tobytes() == np.concatenate(each).tobytes()
    return [found.one(i) for i in range(len(found))]


def document(data: bytes) -> None:
    """An object of the store is what its name says, or an error of ours."""
    for kind in (Manifest, Position, RunRecord, Result, Store):
        with contextlib.suppress(CorruptObject, NewerFormat):
            load(kind, "name", data)


def frame(data: bytes) -> None:
    """What a client sends the hub is AMQP, or CodecError; a skip ends where a read does."""
    try:
        _, end = amqp.decode(data)
    except amqp.CodecError:
        return
    assert 0 < end <= len(data)
    assert amqp.skip(data, 0) == end


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    "event": event,
    "columns": columns,
    "buffer": buffer,
    "document": document,
    "frame": frame,
}


def seeds(target: str) -> Iterator[bytes]:
    """Give a few inputs that are right, for the fuzzer to begin with."""
    yield from _SEEDS[target]()


def _bodies() -> Iterator[bytes]:
    rows = np.array([(1, 2, 3), (2, 3, 4)], list(COLUMNS))
    values = {"x": [1, 2], "y": [3, 4], "id": "press-2"}
    columns = {"t": [1, 2], **values}
    times = {"t": ["2026-03-29T02:30:00", "2026-03-29T04:30:00Z"], **values}
    pack = [{"bn": "d/", "bt": 1_700_000_000, "n": "x", "v": 2}, {"n": "y", "v": 3}]
    for plain in (columns, times, pack, [{"t": 1, "x": 2.5, "y": None}]):
        yield json.dumps(plain).encode()
        yield cbor2.dumps(plain)
    yield cbor2.dumps({"t": [1], "x": cbor2.CBORTag(85, b"\0\0\x80?"), "y": [1]})
    yield rows.tobytes()
    for array in (rows, np.array([[1.0, 2.0, 3.0]])):
        file = io.BytesIO()
        np.save(file, array)
        yield file.getvalue()


def _events() -> Iterator[bytes]:
    for number, body in enumerate(_bodies()):
        for which in range(len(CLASSIFIERS)):
            yield bytes([which, number % len(MEDIA), 0, 0]) + body
        yield bytes([number, 0, 1, 0]) + gzip.compress(body)


def _columns() -> Iterator[bytes]:
    yield from (body for body in _bodies() if body.startswith(b"{"))
    yield b'{"t":[0.5,9007199254740993],"x":[-0.0,1e-400],"y":[18446744073709551615,5e-324]}'
    yield b'{"t": [1], "x": [[1]], "x": [true], "\\u0079": [null], "z": "[{", "id": -0}'


def _buffers() -> Iterator[bytes]:
    for data in _events():
        found = CLASSIFIERS[data[0] % len(CLASSIFIERS)].classify(event_of(data))
        yield b"".join(element.body for element in found.elements)
    times = np.arange(chunk.STEPS_FROM)
    for made in (times, times * 2**24, times[::-1]):
        yield chunk.encode_samples(7, 8, "m", made, np.ones((len(made), 2), np.int16)) * 2


def _documents() -> Iterator[bytes]:
    yield b'{"format":1,"checkpoint":5,"first":0}'
    yield (
        b'{"format":1,"log":"i","hub":"h","partition":"0","n":0,"written":1,"writer":"w","entries":'
        b'[{"kind":"batch","stream":"s","sensor":"a","first":0,"last":1,"events":2,"rows":[0,2]}]}'
    )
    yield (
        b'{"format":1,"job":"j","n":0,"flow":"F","store":"i","hub":"h","written":1,"from":{},'
        b'"to":{"0":1},"batches":[]}'
    )


def _frames() -> Iterator[bytes]:
    for value in (None, True, 5, 2**40, "text", b"bytes", [1, "a"], {"a": 1}, amqp.Symbol("s")):
        yield amqp.encode(value)
    yield amqp.encode(amqp.Described(amqp.ULong(0x10), ["c", "h"]))


_SEEDS = {
    "event": _events,
    "columns": _columns,
    "buffer": _buffers,
    "document": _documents,
    "frame": _frames,
}
