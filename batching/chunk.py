"""How one event's part lies in a buffer: encoded and read back without copying samples.

Layout, little-endian, chunks one after another in an element's body:

    u32  length of what follows       u8  version   u8  kind      u8  dtype   u8  0
    i64  sequence number              i64 enqueued, nanoseconds UTC
    u32  samples                      u16 channels  u16 bytes of message id
    then the message id, times, values as samples x channels
    (a dead letter: its JSON; an ignored event: nothing)

The version says how times lie: 1 each as int64; 2 and 3 the first as int64, then of each other how
much later it is than the one before, in four bytes or in three. That takes half or less, and costs
some two microseconds, so it is for chunks of some size whose times rise by less than 4.3 s, or
16.8 ms. Which one is written follows from the samples alone; all are read, since parked pieces
outlive an upgrade.
"""

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from batching.errors import CorruptBuffer
from batching.model import DTYPES

PLAIN, STEPS, SHORT_STEPS = 1, 2, 3  # versions: how times lie
TIME_BYTES = (0, 8, 4, 3)  # by version: of each time but the first, which has eight
STEPS_FROM = 16  # samples: with fewer, the bytes saved are worth less than the work
SAMPLES, DEAD_LETTER, IGNORED_EVENT = 1, 2, 3
_DTYPES = {name: np.dtype(name) for name in DTYPES}
_DTYPE_CODES = {np.dtype(name): code for code, name in enumerate(DTYPES)}
_ITEM_BYTES = tuple(np.dtype(name).itemsize for name in DTYPES)
UNWRITABLE = "unwritable"  # the reason of samples that no longer fit their stream
CUT = "cut"  # in place of a header's type: its text is not all that came
_HEAD = struct.Struct("<IBBBBqqIHH")
LENGTH = struct.Struct("<I")  # of what follows it
HEAD_BYTES = _HEAD.size
_BEHIND_LENGTH = _HEAD.size - LENGTH.size
_TIMES = np.dtype(np.int64)
_NAME_BYTES = 1024  # of a message id


class DeadLetter(msgspec.Struct, frozen=True):
    """An event set aside: what came, where, and why it could not be used."""

    reason: str  # one of a small closed set, the metric's label
    detail: str  # one sentence for a person
    body: bytes  # up to 1 MiB of it
    body_bytes: int  # how long it was
    content_type: str = ""
    properties: dict[str, str] = {}
    annotations: dict[str, str] = {}
    content_encoding: str = ""
    partition_key: str = ""
    property_types: dict[str, str] = {}  # of values that were no text, or CUT
    annotation_types: dict[str, str] = {}
    stream: str = ""  # whose rules it broke; empty: no stream wanted it
    arrived_ns: int = 0  # when the hub got it, also if it was re-driven since; 0: not known


class Encoded(NamedTuple):
    """One chunk as it lies in a buffer, its payload not yet looked at."""

    version: int
    kind: int
    sequence_number: int
    enqueued_ns: int
    samples: int
    message_id: str
    dtype: str
    channels: int
    payload: memoryview


def encode_samples(
    sequence_number: int,
    enqueued_ns: int,
    message_id: str,
    times_ns: NDArray[Any],
    values: NDArray[Any],
) -> bytes:
    """Encode samples, given as a `Chunk` has them."""
    samples, channels = values.shape
    if times_ns.dtype is not _TIMES:
        times_ns = times_ns.astype(_TIMES)
    version, times = _steps(times_ns) if samples >= STEPS_FROM else (PLAIN, times_ns.tobytes())
    rows = values.tobytes()
    name = message_id.encode()[:_NAME_BYTES] if message_id else b""
    length = _BEHIND_LENGTH + len(name) + len(times) + len(rows)
    code = _DTYPE_CODES[values.dtype]
    head = _HEAD.pack(  # each by itself: `*` takes longer
        length,
        version,
        SAMPLES,
        code,
        0,
        sequence_number,
        enqueued_ns,
        samples,
        channels,
        len(name),
    )
    return b"".join((head, name, times, rows))


def _steps(times_ns: NDArray[np.int64]) -> tuple[int, bytes]:
    """Encode the first time and the steps to each other, all of so many bytes; give the version.

    Differences are those of int64 that wraps around, and so are the sums of who reads them.
    """
    steps = times_ns[1:] - times_ns[:-1]
    bits = int(np.bitwise_or.reduce(steps))
    if not 0 <= bits < 2**32:
        return PLAIN, times_ns.tobytes()
    version = SHORT_STEPS if bits < 2**24 else STEPS
    low = np.ndarray(steps.shape, f"V{TIME_BYTES[version]}", steps, 0, (8,))
    return version, times_ns[:1].tobytes() + low.tobytes()


def encode_dead_letter(
    letter: DeadLetter, *, sequence_number: int, enqueued_ns: int, message_id: str
) -> bytes:
    """Encode an event that could not be used."""
    body, name = msgspec.msgpack.encode(letter), message_id.encode()[:_NAME_BYTES]
    length = _BEHIND_LENGTH + len(name) + len(body)
    numbers = (sequence_number, enqueued_ns, 0, 0, len(name))
    return _HEAD.pack(length, PLAIN, DEAD_LETTER, 0, 0, *numbers) + name + body


def encode_ignored(*, sequence_number: int, enqueued_ns: int) -> bytes:
    """Encode an event that is only counted."""
    numbers = (sequence_number, enqueued_ns, 0, 0, 0)
    return _HEAD.pack(_BEHIND_LENGTH, PLAIN, IGNORED_EVENT, 0, 0, *numbers)


def read(body: bytes | memoryview) -> Iterator[Encoded]:
    """Walk the chunks of an element's body.

    Raises:
        CorruptBuffer: the version is unknown or a chunk is cut; the partition's keys must be
            wiped and its events read again.

    """
    view, at = memoryview(body), 0
    while at < len(view):
        chunk, at = read_one(view, at)
        yield chunk


def read_one(view: memoryview, at: int) -> tuple[Encoded, int]:
    """Give the chunk that begins at a byte, and where it ends.

    Raises:
        CorruptBuffer: as `read` does.

    """
    try:
        length, version, kind, dtype, _, sequence_number, enqueued_ns, samples, channels, name = (
            _HEAD.unpack_from(view, at)
        )
    except struct.error as error:
        raise CorruptBuffer("a chunk in the buffer is cut off") from error
    end, start = at + LENGTH.size + length, at + _HEAD.size
    stepped = version in (STEPS, SHORT_STEPS) and kind == SAMPLES and samples
    known = version == PLAIN or stepped
    if not known or dtype >= len(DTYPES) or not start + name <= end <= len(view):
        raise CorruptBuffer(f"a chunk in the buffer is of version {version} or cut off")
    rows = samples * channels * _ITEM_BYTES[dtype]
    if kind == SAMPLES and end - start - name != times_bytes(version, samples) + rows:
        raise CorruptBuffer("a chunk in the buffer does not hold the samples that it names")
    chunk = Encoded(
        version,
        kind,
        sequence_number,
        enqueued_ns,
        samples,
        str(view[start : start + name], "utf-8", "replace"),
        DTYPES[dtype],
        channels,
        view[start + name : end],
    )
    return chunk, end


def times_bytes(version: int, samples: int) -> int:
    """Give how many bytes times take; there is one at least if not PLAIN."""
    return 8 + TIME_BYTES[version] * (samples - 1)


def samples_of(chunk: Encoded) -> tuple[NDArray[np.int64], NDArray[np.generic]]:
    """Times of shape (n,) and values of shape (n, channels); a view of the buffer if PLAIN."""
    n = chunk.samples
    begin = times_bytes(chunk.version, n)
    values = np.frombuffer(chunk.payload, dtype=_DTYPES[chunk.dtype], offset=begin)
    if chunk.version == PLAIN:
        times = np.frombuffer(chunk.payload, dtype="<i8", count=n)
    else:
        times, step = np.zeros(n, np.int64), f"V{TIME_BYTES[chunk.version]}"
        times[:1] = np.frombuffer(chunk.payload, dtype="<i8", count=1)
        low = np.frombuffer(chunk.payload, dtype=step, count=n - 1, offset=8)
        np.ndarray((n - 1,), step, times, 8, (8,))[:] = low
        np.cumsum(times, out=times)
    return times, values.reshape(n, chunk.channels)


def decoded(chunk: Encoded) -> bytes:
    """Give the payload as PLAIN has it: of samples, times as int64, then values."""
    if chunk.version == PLAIN:
        return bytes(chunk.payload)
    times, _ = samples_of(chunk)
    return times.tobytes() + chunk.payload[times_bytes(chunk.version, chunk.samples) :]


def dead_letter_of(chunk: Encoded) -> DeadLetter:
    """Read back what `encode_dead_letter` wrote."""
    return msgspec.msgpack.decode(chunk.payload, type=DeadLetter)
