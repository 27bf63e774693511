"""A plan says of each batch what its chunks say, and its bundles hold them."""

from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from batching.bundle import chunks_of, open_bundle
from batching.chunk import (
    DEAD_LETTER,
    SAMPLES,
    UNWRITABLE,
    Encoded,
    dead_letter_of,
    decoded,
    encode_samples,
    read,
    samples_of,
)
from batching.layout import Plan, StreamFormat, lay_out
from batching.model import Entry, EntryKind, Manifest, SealReason, dump
from batching.names import DEAD_STREAM, IGNORED_STREAM, Key
from batching.policy import NEVER_NS
from batching.ports import SealedBuffer
from batching.states import NEVER_US
from batching.view import View
from tests.batching.given import chunks, encoded

FORMATS = {"s": StreamFormat(("x", "y"), "rules-1"), "t": StreamFormat(("x",))}
STREAMS = (*FORMATS, "gone", DEAD_STREAM, IGNORED_STREAM)


class Place(NamedTuple):
    """What a layout asks of the log: whose it is."""

    hub: str = "hub"
    partition: str = "7"


def a_chunk(stream: str, number: int) -> st.SearchStrategy[bytes]:
    """Give what fits the stream, mostly."""
    any_kind = encoded(st.just(number))
    if stream not in FORMATS:
        return any_kind
    channels = st.just(len(FORMATS[stream].channels))
    fits = chunks(channels, st.just(number)).map(lambda chunk: encode_samples(*chunk))
    return st.integers(0, 9).flatmap(lambda odd: any_kind if odd == 9 else fits)


@st.composite
def sealed(draw: st.DrawFn) -> list[SealedBuffer]:
    """Buffers of all kinds of streams, whose numbers rise from one to the next."""
    made: list[SealedBuffer] = []
    number = 0
    for k in range(draw(st.integers(0, 6))):
        elements = []
        stream = draw(st.sampled_from(STREAMS))
        for _ in range(draw(st.integers(0, 3))):
            several = draw(st.integers(1, 3))
            body = b"".join(draw(a_chunk(stream, number + i)) for i in range(several))
            number += several
            elements.append((2, b".." + body))
        made.append(
            SealedBuffer(
                k=k,
                key=Key(stream, draw(st.sampled_from("ab"))),
                last=number - 1,
                due_us=draw(st.sampled_from([NEVER_US, 99])),
                reason=draw(st.sampled_from(SealReason)),
                sealed_us=draw(st.integers(0, 2**50)),
                state=b"",
                elements=tuple(elements),
            )
        )
    return made


def first_of(buffer: SealedBuffer) -> int:
    begin, raw = buffer.elements[0]
    return next(iter(read(raw[begin:]))).sequence_number


def planned(buffers: list[SealedBuffer]) -> Plan:
    more = {"formats": FORMATS, "compression": None}
    return lay_out(Place(), View(-1, 0), buffers, {}, **more)  # type: ignore[arg-type]


def kind(stream: str, held: list[Encoded]) -> EntryKind:
    if stream == IGNORED_STREAM:
        return EntryKind.IGNORED
    if stream == DEAD_STREAM:
        return EntryKind.BATCH
    channels = len(FORMATS[stream].channels) if stream in FORMATS else -1
    right = all(chunk.kind == SAMPLES and chunk.channels == channels for chunk in held)
    return EntryKind.BATCH if right else EntryKind.DEAD


@given(sealed())
def test_an_entry_says_what_its_chunks_say(buffers: list[SealedBuffer]) -> None:
    entries = iter(planned(buffers).entries)
    for buffer in buffers:
        held = [chunk for at, raw in buffer.elements for chunk in read(raw[at:])]
        if not held:
            continue
        entry = next(entries)
        assert entry.kind == kind(buffer.key.stream, held).value
        assert entry.key == buffer.key
        assert entry.reason == buffer.reason.value
        assert entry.sealed == buffer.sealed_us * 1_000
        assert entry.due == (None if buffer.due_us == NEVER_US else 99_000)
        assert entry.opened == held[0].enqueued_ns
        assert (entry.first, entry.last) == (held[0].sequence_number, held[-1].sequence_number)
        assert entry.events == len(held)
        assert entry.samples == sum(chunk.samples for chunk in held)
        assert entry.bytes == sum(len(decoded(chunk)) for chunk in held)
    assert not list(entries)


@given(sealed())
def test_a_bundle_holds_the_samples_of_its_batches_and_their_chunks(
    buffers: list[SealedBuffer],
) -> None:
    plan = planned(buffers)
    data = {name: open_bundle(b"".join(parts)) for name, parts in plan.data}
    assert set(data) == {e.data for e in plan.entries if e.data is not None}
    by_first = {first_of(b): b for b in buffers if b.elements}
    for entry in (entry for entry in plan.entries if entry.data is not None):
        held = [c for at, raw in by_first[entry.first].elements for c in read(raw[at:])]
        table = data[entry.data or ""]
        small = chunks_of(table).slice(entry.chunks[0], entry.chunks[1] - entry.chunks[0])
        assert small["sequence_number"].to_pylist() == [c.sequence_number for c in held]
        assert small["message_id"].to_pylist() == [c.message_id for c in held]
        assert small["enqueued_ns"].to_pylist() == [c.enqueued_ns for c in held]
        rows = table.slice(entry.rows[0], entry.rows[1] - entry.rows[0])
        if entry.stream in FORMATS and entry.kind == EntryKind.BATCH.value:
            check_samples(entry, rows, held)
        else:
            reasons = [
                dead_letter_of(c).reason if c.kind == DEAD_LETTER else UNWRITABLE for c in held
            ]
            assert rows["reason"].to_pylist() == reasons
            bodies = [dead_letter_of(c).body if c.kind == DEAD_LETTER else decoded(c) for c in held]
            assert rows["body"].to_pylist() == bodies
            assert rows["time"].cast(pa.int64()).to_pylist() == [c.enqueued_ns for c in held]


def check_samples(entry: Entry, rows: pa.Table, held: list[Encoded]) -> None:
    form = FORMATS[entry.stream]
    arrays = [samples_of(chunk) for chunk in held]
    times_ns = np.concatenate([times for times, _ in arrays])
    assert rows["time"].cast(pa.int64()).to_pylist() == times_ns.tolist()
    for i, channel in enumerate(form.channels):
        found = rows[channel].to_numpy()
        with np.errstate(invalid="ignore"):  # NaN of all kinds
            wanted = np.concatenate([values[:, i] for _, values in arrays]).astype(found.dtype)
        assert np.array_equal(found, wanted, equal_nan=found.dtype.kind == "f")
    assert rows["sensor"].to_pylist() == [entry.sensor] * len(times_ns)
    assert entry.time_first_ns == np.min(times_ns, initial=NEVER_NS)
    assert entry.time_last_ns == np.max(times_ns, initial=-NEVER_NS)
    assert entry.policy == form.policy


texts = st.text(st.characters(codec="utf-8"), max_size=20)
numbers = st.integers(-(2**63), 2**63 - 1)
entries = st.builds(
    Entry,
    kind=st.sampled_from(EntryKind).map(lambda kind: kind.value),
    stream=texts,
    sensor=texts,
    first=numbers,
    last=numbers,
    events=numbers,
    time_first_ns=st.none() | numbers,
    reason=st.none() | texts,
    data=st.none() | texts,
    rows=st.tuples(numbers, numbers),
    used=st.none() | texts,
)


@given(
    st.builds(Manifest, texts, texts, texts, numbers, numbers, texts, st.lists(entries).map(tuple))
)
def test_a_manifest_is_written_by_the_fast_encoder_as_by_that_of_flows(made: Manifest) -> None:
    assert msgspec.json.encode(made) == dump(made)
