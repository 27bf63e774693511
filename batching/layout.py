"""What one manifest says and what its bundles hold, laid out from sealed buffers."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from operator import or_
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batching import names
from batching.bundle import DeadLetters, samples_file
from batching.chunk import (
    DEAD_LETTER,
    IGNORED_EVENT,
    SAMPLES,
    UNWRITABLE,
    Encoded,
    dead_letter_of,
    decoded,
)
from batching.fresh import Fresh, Held, bounds, fresh
from batching.model import Entry, EntryKind
from batching.names import DEAD_STREAM, IGNORED_STREAM, Key
from batching.parking.reads import Fronts
from batching.policy import NEVER_NS
from batching.ports import SealedBuffer
from batching.states import due_ns
from batching.view import Indexes, Log, View


@dataclass(frozen=True, slots=True)
class StreamFormat:
    """How batches of a stream are written: its channels, and a short name of its rules."""

    channels: tuple[str, ...]
    policy: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one manifest would say, and the bundles that must be there before it."""

    entries: tuple[Entry, ...]
    data: tuple[tuple[str, list[Any]], ...]  # name and parts
    indexes: Indexes = field(default_factory=dict)  # of the objects that it parks


def lay_out(
    record: Log,
    view: View,
    sealed: Sequence[SealedBuffer],
    fronts: Fronts,
    *,
    formats: Mapping[str, StreamFormat],
    compression: str | None,
) -> Plan:
    """Lay out what is in no batch yet: parked pieces whole, then each event once, rising.

    Raises:
        CorruptBuffer: a chunk in the buffer cannot be read.
        CorruptObject: a parked piece cannot be read.

    """
    found = fresh(list(_held(sealed, fronts)), view.mark)
    if not found.which:
        return Plan((), ())
    buffers = [sealed[i] for i in found.which]
    return _Writing(record, formats, view.next, buffers, found).plan(compression)


def _held(sealed: Sequence[SealedBuffer], fronts: Fronts) -> Iterator[Held]:
    """Give what buffers hold, parked pieces of a key before the first that goes on with them."""
    begun: set[Key] = set()
    for buffer in sealed:
        pieces = [] if buffer.key in begun else fronts.get(buffer.key, [])
        if pieces and buffer.last < pieces[0].piece.first:
            pieces = []  # a buffer from before them, back by a roll-back
        if pieces:
            begun.add(buffer.key)
        yield Held(buffer.key, buffer.elements, pieces)


class _Writing:
    """The bundles of one manifest while they are laid out, one a stream."""

    def __init__(
        self,
        record: Log,
        formats: Mapping[str, StreamFormat],
        n: int,
        buffers: Sequence[SealedBuffer],
        found: Fresh,
    ) -> None:
        self._log, self._formats, self._n = record, formats, n
        self._buffers, self._found = buffers, found
        self._nonce = secrets.token_hex(4)
        self._dead = DeadLetters()
        self._more: list[dict[str, Any]] = [{} for _ in buffers]  # of each entry
        self._streams: dict[str, list[int]] = {}

    def plan(self, compression: str | None) -> Plan:
        """Write the bundles."""
        self._sort()
        data = [
            (self._name(stream), self._samples(stream, which, compression))
            for stream, which in self._streams.items()
        ]
        if self._dead.rows:
            data.append((self._name(DEAD_STREAM), self._dead.write(compression)))
        about = map(or_, self._found.totals(), self._more)
        return Plan(tuple(map(_entry, self._buffers, about)), tuple(data))

    def _sort(self) -> None:
        """Tell what each batch is: samples, dead letters, or a count of ignored events."""
        forms = [self._formats.get(buffer.key.stream) for buffer in self._buffers]
        fit = self._fit([len(form.channels) if form else 0 for form in forms])
        for i, (buffer, form) in enumerate(zip(self._buffers, forms, strict=True)):
            if buffer.key.stream == IGNORED_STREAM:
                self._more[i] = {"kind": EntryKind.IGNORED.value}
            elif buffer.key.stream == DEAD_STREAM:
                self._set_aside(EntryKind.BATCH, i, "")
            elif form is None:
                self._set_aside(EntryKind.DEAD, i, "the stream is no longer configured")
            elif not fit[i]:
                self._set_aside(EntryKind.DEAD, i, "the stream's channels were changed")
            else:
                self._streams.setdefault(buffer.key.stream, []).append(i)

    def _fit(self, channels: Sequence[int]) -> list[bool]:
        """Tell whose chunks are all samples of so many channels."""
        heads, ends = self._found.chunks.heads, self._found.bounds
        wanted = np.repeat(channels, np.diff(ends))
        fit = (heads["kind"] == SAMPLES) & (heads["channels"] == wanted)
        return list(np.logical_and.reduceat(fit, ends[:-1]).tolist())

    def _set_aside(self, kind: EntryKind, i: int, why: str) -> None:
        first = self._dead.rows
        for chunk in self._found.of(i):
            self._dead.add(
                _letter(chunk, why),
                sequence_number=chunk.sequence_number,
                enqueued_ns=chunk.enqueued_ns,
                message_id=chunk.message_id,
            )
        rows, data = (first, self._dead.rows), self._name(DEAD_STREAM)
        self._more[i] = {"kind": kind.value, "data": data, "rows": rows, "chunks": rows}

    def _samples(self, stream: str, which: list[int], compression: str | None) -> list[Any]:
        """Write the samples of one stream's batches."""
        form, found = self._formats[stream], self._found.only(which)
        chunks = found.chunks
        times_ns, values = chunks.times_and_values(len(form.channels))
        rows = bounds(chunks.samples)[found.bounds]
        spans = pairwise(rows.tolist()), pairwise(found.bounds.tolist()), *_times(times_ns, rows)
        for i, span, of_table, first_ns, last_ns in zip(which, *spans, strict=True):
            self._more[i] = {
                "kind": EntryKind.BATCH.value,
                "data": self._name(stream),
                "rows": span,
                "chunks": of_table,
                "time_first_ns": first_ns,
                "time_last_ns": last_ns,
                "policy": form.policy,
            }
        sensors = [self._buffers[i].key.sensor for i in which]
        return samples_file(
            times_ns,
            values,
            list(zip(sensors, np.diff(rows).tolist(), strict=True)),
            chunks.table(),
            channels=form.channels,
            compression=compression,
        )

    def _name(self, stream: str) -> str:
        return names.data(stream, self._log.hub, self._log.partition, self._n, self._nonce)


def _entry(buffer: SealedBuffer, about: Mapping[str, Any]) -> Entry:
    due = due_ns(buffer.due_us)
    return Entry(
        stream=buffer.key.stream,
        sensor=buffer.key.sensor,
        due=None if due == NEVER_NS else due,
        sealed=buffer.sealed_us * 1_000,
        reason=buffer.reason.value,
        **about,
    )


def _times(times_ns: NDArray[np.int64], rows: NDArray[np.int64]) -> tuple[list[int], list[int]]:
    """Give the earliest and the latest time of each batch; never and before ever without rows."""
    some = np.diff(rows) > 0
    earliest = np.full(len(some), NEVER_NS)
    latest = -earliest
    if some.any():
        begins = rows[:-1][some]
        earliest[some] = np.minimum.reduceat(times_ns, begins)
        latest[some] = np.maximum(latest[some], np.maximum.reduceat(times_ns, begins))
    return earliest.tolist(), latest.tolist()


def _letter(chunk: Encoded, why: str) -> dict[str, Any]:
    """Give the columns of a dead letter, also for samples that can no longer be written."""
    if chunk.kind == DEAD_LETTER:
        letter = dead_letter_of(chunk)
        return {name: getattr(letter, name) for name in letter.__struct_fields__}
    kind = "ignored event" if chunk.kind == IGNORED_EVENT else "samples"
    shape = f"{chunk.samples} times int64, then {chunk.samples} x {chunk.channels} {chunk.dtype}"
    body = decoded(chunk)
    return {
        "reason": UNWRITABLE,
        "detail": f"{why}; the body is the {kind} as decoded: {shape}",
        "body": body,
        "body_bytes": len(body),
    }
