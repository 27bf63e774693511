"""Many chunks at once: their heads as columns, their samples gathered without a loop over them.

The layout is that of `batching.chunk`, whose walk says what is right: this reader gives the same
chunks, and the same errors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from batching.arrow import pa
from batching.bundle import chunk_table
from batching.chunk import (
    HEAD_BYTES,
    LENGTH,
    PLAIN,
    SAMPLES,
    SHORT_STEPS,
    STEPS,
    TIME_BYTES,
    Encoded,
    read,
    read_one,
)
from batching.errors import CorruptBuffer
from batching.model import DTYPES

_HEAD = np.dtype(
    [
        ("length", "<u4"),
        ("version", "u1"),
        ("kind", "u1"),
        ("dtype", "u1"),
        ("zero", "u1"),
        ("sequence_number", "<i8"),
        ("enqueued_ns", "<i8"),
        ("samples", "<u4"),
        ("channels", "<u2"),
        ("name", "<u2"),
    ]
)
_DTYPES = [np.dtype(name) for name in DTYPES]
_ITEM_BYTES = np.array([dtype.itemsize for dtype in _DTYPES])
_TIME_BYTES = np.array(TIME_BYTES)
ALIKE = 32  # chunks of a size, on average, from which on they are copied at once
GOES_ON = 0x80  # upper two bits of each byte of a character but its first, in UTF-8
Body = bytes | memoryview


@dataclass(frozen=True, slots=True)
class Chunks:
    """Chunks one after another in `content`; each column has shape (chunks,).

    `at` says where each begins, int64, rising; `heads` is a structured array.
    """

    content: bytes
    at: NDArray[np.int64]
    heads: NDArray[np.void]

    def __len__(self) -> int:
        return len(self.at)

    def only(self, kept: NDArray[np.bool_]) -> "Chunks":
        """Give those that a mask of shape (chunks,) chooses."""
        return self if kept.all() else Chunks(self.content, self.at[kept], self.heads[kept])

    def one(self, i: int) -> Encoded:
        """Give the i-th chunk."""
        return read_one(memoryview(self.content), int(self.at[i]))[0]

    @property
    def numbers(self) -> NDArray[np.int64]:
        """Sequence numbers."""
        return np.ascontiguousarray(self.heads["sequence_number"])

    @property
    def ends(self) -> NDArray[np.int64]:
        """Where each ends."""
        return self.at + (self.heads["length"].astype(np.int64) + LENGTH.size)

    @property
    def samples(self) -> NDArray[np.int64]:
        """Samples in each."""
        return self.heads["samples"].astype(np.int64)

    @property
    def payload_bytes(self) -> NDArray[np.int64]:
        """Bytes of each behind its message id."""
        length, name = (self.heads[field].astype(np.int64) for field in ("length", "name"))
        return length + (LENGTH.size - HEAD_BYTES) - name

    @property
    def times_bytes(self) -> NDArray[np.int64]:
        """Of these, those of times, in chunks of samples."""
        each: NDArray[np.int64] = _TIME_BYTES[self.heads["version"]]
        return 8 + each * (self.samples - 1)

    @property
    def decoded_bytes(self) -> NDArray[np.int64]:
        """Bytes of each as `batching.chunk.decoded` gives it, however its times lie."""
        saved = 8 * self.samples - self.times_bytes
        return self.payload_bytes + np.where(self.heads["kind"] == SAMPLES, saved, 0)

    def table(self) -> Any:
        """Give the table of chunks of a bundle that holds these, one after another."""
        enqueued_ns = np.ascontiguousarray(self.heads["enqueued_ns"])
        return chunk_table(self.numbers, self.samples, enqueued_ns, self._message_ids())

    def _message_ids(self) -> Any:
        """Give the message ids as a pyarrow array of strings."""
        size = self.heads["name"].astype(np.int64)
        if not size.any():
            nothing = pa.py_buffer(bytes(4 * (len(self) + 1)))
            return pa.StringArray.from_buffers(len(self), nothing, pa.py_buffer(b""))
        names = _cut(self.content, self.at + HEAD_BYTES, size)
        if not _whole_characters(names, size):
            return pa.array([self.one(i).message_id for i in range(len(self))], pa.string())
        offsets = np.concatenate(([0], np.cumsum(size)), dtype=np.int32, casting="same_kind")
        buffers = pa.py_buffer(offsets), pa.py_buffer(names)
        return pa.StringArray.from_buffers(len(self), *buffers)

    def times_and_values(self, channels: int) -> tuple[NDArray[np.int64], NDArray[np.generic]]:
        """Gather the samples of all chunks, each of kind SAMPLES and of so many channels.

        Returns:
            Times of shape (samples,), int64 nanoseconds UTC, and values of shape
            (samples, channels) of the dtype that holds those of all chunks.

        """
        n = self.samples
        begin = self.at + HEAD_BYTES + self.heads["name"]
        values = self._values(begin + self.times_bytes, n, channels)
        return self._times(begin, n), values

    def _times(self, begin: NDArray[np.int64], n: NDArray[np.int64]) -> NDArray[np.int64]:
        parts = []
        for version in (PLAIN, STEPS, SHORT_STEPS):
            of = self.heads["version"] == version
            if of.any():
                where = self.content, begin[of], n[of]
                size = TIME_BYTES[version]
                parts.append((of, _plain(*where) if version == PLAIN else _summed(size, *where)))
        return _merged(parts, n)

    def _values(
        self, begin: NDArray[np.int64], n: NDArray[np.int64], channels: int
    ) -> NDArray[np.generic]:
        codes = self.heads["dtype"]
        parts = []
        for code in distinct(codes):
            of, dtype = codes == code, _DTYPES[code]
            size = n[of] * channels * dtype.itemsize
            values = _gathered(self.content, begin[of], size, dtype)
            parts.append((of, values.reshape(int(n[of].sum()), channels)))
        return _merged(parts, n)


def read_all(
    bodies: Sequence[Body], begins: Sequence[int] | None = None
) -> tuple[Chunks, NDArray[np.int64]]:
    """Read the chunks of some bodies.

    Args:
        bodies: each holds encoded chunks up to its end.
        begins: at which of its bytes the chunks of each body begin; None: they are all of it.

    Returns:
        The chunks of all bodies in their order, and bounds of shape (bodies + 1,): those of the
        i-th body are [bounds[i], bounds[i + 1]).

    Raises:
        CorruptBuffer: as `batching.chunk.read` does for the first body that is not right.

    """
    content = b"".join(bodies)
    edges = np.cumsum([0, *map(len, bodies)])
    begins = begins or [0] * len(bodies)
    found = _places(content, edges[:-1] + np.array(begins, np.int64), edges[1:])
    if found is None:
        _refuse(bodies, begins)
    at, counts = found
    chunks = Chunks(content, at, _heads(content, at))
    if not _right(chunks):
        _refuse(bodies, begins)
    return chunks, np.concatenate(([0], np.cumsum(counts)))


def _places(
    content: bytes, starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Find where chunks begin and how many each body has; None if one is cut."""
    sizes = ends - starts
    single = sizes >= HEAD_BYTES
    single[single] = _heads(content, starts[single])["length"] + LENGTH.size == sizes[single]
    if single.all():
        return starts, np.ones(len(starts), np.int64)
    counts = single.astype(np.int64)
    walked: list[int] = []
    for i in np.flatnonzero(~single).tolist():
        before = len(walked)
        if not _walk(content, int(starts[i]), int(ends[i]), walked):
            return None
        counts[i] = len(walked) - before
    return np.sort(np.concatenate((starts[single], np.array(walked, np.int64)))), counts


def _walk(content: bytes, at: int, end: int, walked: list[int]) -> bool:
    """Note where chunks begin from `at` on; False if none ends at `end`."""
    while at + HEAD_BYTES <= end:
        walked.append(at)
        at += LENGTH.size + LENGTH.unpack_from(content, at)[0]
    return at == end


def _heads(content: bytes, at: NDArray[np.int64]) -> NDArray[np.void]:
    """Copy the heads that begin at these places, none behind `len(content) - HEAD_BYTES`."""
    # as plain bytes: numpy copies fields one by one
    return _windows(content, HEAD_BYTES)[at].view(_HEAD)


def _right(chunks: Chunks) -> bool:
    """Tell whether all chunks are what `read` would give."""
    heads, payload = chunks.heads, chunks.payload_bytes
    of_samples = heads["kind"] == SAMPLES
    steps = (heads["version"] == STEPS) | (heads["version"] == SHORT_STEPS)
    known = (heads["version"] == PLAIN) | (steps & of_samples & (heads["samples"] > 0))
    if not known.all() or (heads["dtype"] >= len(DTYPES)).any():
        return False
    rows = chunks.samples * heads["channels"] * _ITEM_BYTES[heads["dtype"]]
    wrong = of_samples & (payload != chunks.times_bytes + rows)
    return not (wrong | (payload < 0)).any()


def _refuse(bodies: Sequence[Body], begins: Sequence[int]) -> NoReturn:
    """Read one chunk after another, up to the one that is not right: it says why."""
    for body, begin in zip(bodies, begins, strict=True):
        for _ in read(memoryview(body)[begin:]):
            pass
    raise CorruptBuffer("chunks in the buffer cannot be read together")


def _merged(
    parts: list[tuple[NDArray[np.bool_], NDArray[Any]]], n: NDArray[np.int64]
) -> NDArray[Any]:
    """Put rows of some chunks, each n of them, beside those of the others that a mask tells."""
    if len(parts) == 1:
        return parts[0][1]
    shape = (int(n.sum()), *parts[0][1].shape[1:])
    found = np.empty(shape, np.result_type(*(rows for _, rows in parts)))
    with np.errstate(invalid="ignore"):  # a NaN that signals stays a NaN
        for of, rows in parts:
            found[np.repeat(of, n)] = rows
    return found


def _plain(content: bytes, begin: NDArray[np.int64], n: NDArray[np.int64]) -> NDArray[np.int64]:
    return _gathered(content, begin, 8 * n, np.dtype("<i8"))


def _summed(
    size: int, content: bytes, begin: NDArray[np.int64], n: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Add up the steps of all chunks at once, and what lies between two chunks.

    Args:
        size: bytes of a step.
        content: where they lie.
        begin: of each chunk's times.
        n: how many it has.

    """
    first = _gathered(content, begin, np.full(len(n), 8), np.dtype("<i8"))
    # each from the end of its first time on, so that it has n
    steps = b"".join((_cut(content, begin + 8 - size, size * n), bytes(4 - size)))
    times = np.ndarray((int(n.sum()),), "<u4", steps, 0, (size,)).astype(np.int64)
    times &= 2 ** (8 * size) - 1
    at = np.cumsum(n) - n
    times[at] = 0
    lasts = first + np.add.reduceat(times, at)
    times[at] = first - np.concatenate(([0], lasts[:-1]))
    return np.cumsum(times, out=times)


def _gathered(
    content: bytes, begin: NDArray[np.int64], size: NDArray[np.int64], dtype: np.dtype[Any]
) -> NDArray[Any]:
    return np.frombuffer(_cut(content, begin, size), dtype)


def _cut(content: bytes, begin: NDArray[np.int64], size: NDArray[np.int64]) -> Body:
    """Copy so many bytes from each place, one after another.

    Events of one kind are alike: those of one size are copied at once, and only where nearly
    each has its own, pieces are cut one by one.
    """
    some = size > 0
    begin, size = begin[some], size[some]
    sizes = size[:1] if (size == size[:1]).all() else distinct(size)
    if len(sizes) * ALIKE > len(size):
        view, ends = memoryview(content), (begin + size).tolist()
        return b"".join([view[a:b] for a, b in zip(begin.tolist(), ends, strict=True)])
    if len(sizes) == 1:
        return _windows(content, sizes[0])[begin].data
    cut = np.empty(int(size.sum()), np.uint8)
    to = np.cumsum(size) - size
    for each in sizes:
        of = size == each
        _windows(cut, each)[to[of]] = _windows(content, each)[begin[of]]
    return cut.data


def _windows(content: Body | NDArray[np.uint8], size: int) -> NDArray[np.void]:
    """Give all pieces of a size, the i-th from byte i on, as one item each."""
    return np.ndarray((max(0, len(content) - size + 1),), f"V{size}", content, 0, (1,))


def distinct(numbers: NDArray[Any]) -> NDArray[Any]:
    """Give each number once, rising; `np.unique` would load numpy.ma."""
    rising = np.sort(numbers)
    return rising[np.flatnonzero(np.diff(rising, prepend=rising[:1] - 1))]


def _whole_characters(text: Body, size: NDArray[np.int64]) -> bool:
    """Tell whether each piece of a text, so many bytes, is UTF-8: none is cut in a character."""
    begins = (np.cumsum(size) - size)[size > 0]
    if (np.frombuffer(text, np.uint8)[begins] & 0xC0 == GOES_ON).any():
        return False
    try:
        str(text, "utf-8")
    except UnicodeDecodeError:
        return False
    return True
