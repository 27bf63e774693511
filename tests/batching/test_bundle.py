from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batching.bundle import Builder, DeadLetters, chunks_of, open_bundle
from batching.errors import CorruptObject
from batching.names import DEAD_STREAM

CHANNELS = ["x", "größe in µm"]
texts = st.text(st.characters(codec="utf-8"), max_size=12)


class Part(NamedTuple):
    times_ns: list[int]
    values: list[list[float]]
    message_id: str


@st.composite
def parts(draw: st.DrawFn) -> Part:
    rows = draw(st.integers(0, 4))
    row = st.lists(st.floats(width=32), min_size=2, max_size=2)
    return Part(
        draw(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=rows, max_size=rows)),
        draw(st.lists(row, min_size=rows, max_size=rows)),
        draw(texts),
    )


batches = st.lists(st.tuples(texts, st.lists(parts(), min_size=1, max_size=3)), max_size=4)


def fill(builder: Builder, made: list[tuple[str, list[Part]]], dtype: str) -> list[range]:
    """Add batches; give the rows of each."""
    spans, number = [], 0
    for sensor, held in made:
        first = builder.rows
        for part in held:
            values = np.array(part.values, dtype).reshape(-1, 2)
            builder.add_chunk(
                np.array(part.times_ns, np.int64),
                values,
                sequence_number=number,
                enqueued_ns=number * 10,
                message_id=part.message_id,
            )
            number += 1
        builder.end_batch(sensor, first)
        spans.append(range(first, builder.rows))
    return spans


@given(batches, st.sampled_from([None, "zstd", "lz4"]), st.sampled_from(["float64", "float32"]))
def test_batches_of_several_sensors_come_back_row_for_row(
    made: list[tuple[str, list[Part]]], compression: str | None, dtype: str
) -> None:
    builder = Builder(CHANNELS)
    spans = fill(builder, made, dtype)
    (raw,) = builder.write(compression)
    table = open_bundle(raw)
    assert table.schema.names == ["time", *CHANNELS, "sensor"]
    assert table.schema.field("time").type == pa.timestamp("ns", tz="UTC")
    for (sensor, held), rows in zip(made, spans, strict=True):
        found = table.slice(rows.start, len(rows))
        assert found["sensor"].to_pylist() == [sensor] * len(rows)
        times = found["time"].cast(pa.int64()).to_pylist()
        assert times == [t for part in held for t in part.times_ns]
        wanted = np.array([v for part in held for v in part.values], dtype).reshape(-1, 2)
        for i, channel in enumerate(CHANNELS):
            assert np.array_equal(found[channel].to_numpy(), wanted[:, i], equal_nan=True)
    flat = [part for _, held in made for part in held]
    starts = np.cumsum([0, *(len(part.times_ns) for part in flat)]).tolist()
    assert chunks_of(table).to_pydict() == {
        "sequence_number": list(range(len(flat))),
        "first_row": starts[:-1],
        "rows": [len(part.times_ns) for part in flat],
        "enqueued_ns": [number * 10 for number in range(len(flat))],
        "message_id": [part.message_id for part in flat],
    }


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "int32", "int16"])
def test_a_streams_dtype_is_the_columns_type(dtype: str) -> None:
    builder = Builder(["x"])
    builder.add_chunk(
        np.arange(2), np.array([[1], [2]], dtype), sequence_number=1, enqueued_ns=2, message_id=""
    )
    builder.end_batch("a", 0)
    (raw,) = builder.write()
    assert open_bundle(raw)["x"].to_numpy().dtype == dtype


def test_an_uncompressed_bundle_is_read_without_a_copy() -> None:
    builder = Builder(["x"])
    builder.add_chunk(
        np.arange(1_000), np.ones((1_000, 1)), sequence_number=1, enqueued_ns=2, message_id=""
    )
    builder.end_batch("a", 0)
    (raw,) = builder.write()
    (column,) = open_bundle(raw)["x"].chunks
    assert raw.address <= column.buffers()[1].address < raw.address + raw.size


letters = st.fixed_dictionaries(
    {
        "reason": texts,
        "detail": texts,
        "body": st.binary(max_size=30),
        "body_bytes": st.integers(0, 2**40),
        "content_type": texts,
        "properties": st.dictionaries(texts, texts, max_size=2),
        "annotations": st.dictionaries(texts, texts, max_size=2),
        "content_encoding": texts,
        "partition_key": texts,
        "property_types": st.dictionaries(texts, texts, max_size=2),
        "annotation_types": st.dictionaries(texts, texts, max_size=2),
        "stream": texts,
        "arrived_ns": st.integers(0, 2**63 - 1),
    }
)


@given(st.lists(letters, max_size=4))
def test_dead_letters_come_back_with_all_they_had(made: list[dict[str, object]]) -> None:
    collected = DeadLetters()
    for number, letter in enumerate(made):
        collected.add(letter, sequence_number=number, enqueued_ns=number, message_id=f"m{number}")
    (raw,) = collected.write("zstd")
    table = open_bundle(raw, DEAD_STREAM)
    found = table.drop_columns(["time"]).to_pylist()
    headers = ("properties", "annotations", "property_types", "annotation_types")
    assert [{**row, **{h: dict(row[h]) for h in headers}} for row in found] == made
    assert chunks_of(table)["message_id"].to_pylist() == [f"m{n}" for n in range(len(made))]


@given(st.binary(max_size=40))
def test_bytes_that_are_no_bundle_are_refused_by_name(raw: bytes) -> None:
    with pytest.raises(CorruptObject, match=r"data/x\.arrow"):
        open_bundle(raw, "data/x.arrow")


def test_a_bundle_that_was_cut_is_refused() -> None:
    builder = Builder(["x"])
    builder.end_batch("a", 0)
    (raw,) = builder.write()
    with pytest.raises(CorruptObject):
        open_bundle(raw.to_pybytes()[:-20])
