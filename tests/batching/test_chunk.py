import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batching.chunk import (
    DEAD_LETTER,
    IGNORED_EVENT,
    SAMPLES,
    DeadLetter,
    dead_letter_of,
    encode_dead_letter,
    encode_ignored,
    encode_samples,
    read,
    samples_of,
)
from batching.errors import CorruptBuffer
from batching.model import Chunk
from tests.batching.given import chunks, int64s, letters


@given(st.lists(chunks(), max_size=4))
def test_chunks_come_back_from_a_buffer_as_they_went_in(made: list[Chunk]) -> None:
    found = list(read(b"".join(encode_samples(chunk) for chunk in made)))
    assert len(found) == len(made)
    for chunk, back in zip(made, found, strict=True):
        times_ns, values = samples_of(back)
        assert back.kind == SAMPLES
        assert (back.sequence_number, back.enqueued_ns) == chunk[:2]
        assert (back.message_id, back.samples) == (chunk.message_id, len(chunk.times_ns))
        assert times_ns.tobytes() == chunk.times_ns.tobytes()
        assert (values.dtype, values.shape) == (chunk.values.dtype, chunk.values.shape)
        assert values.tobytes() == chunk.values.tobytes()  # NaN by its bits


def test_values_that_are_no_plain_block_are_encoded_in_their_order() -> None:
    values = np.arange(24, dtype=np.int16).reshape(4, 6)[::2, ::3].T
    chunk = Chunk(1, 2, "m", np.arange(4, dtype=np.int64)[::2], values)
    (back,) = read(encode_samples(chunk))
    assert np.array_equal(samples_of(back)[1], values)
    assert samples_of(back)[0].tolist() == [0, 2]


def test_samples_are_views_of_the_buffer() -> None:
    body = encode_samples(Chunk(1, 2, "id", np.arange(3), np.ones((3, 2))))
    (back,) = read(body)
    for array in samples_of(back):
        assert not array.flags.owndata
        assert not array.flags.writeable


@given(letters, st.integers(0, 2**63 - 1), int64s)
def test_a_dead_letter_comes_back_with_its_reason_and_body(
    letter: DeadLetter, number: int, enqueued_ns: int
) -> None:
    body = encode_dead_letter(
        letter, sequence_number=number, enqueued_ns=enqueued_ns, message_id="m-1"
    )
    (back,) = read(body)
    assert back.kind == DEAD_LETTER
    assert (back.sequence_number, back.enqueued_ns) == (number, enqueued_ns)
    assert (back.message_id, dead_letter_of(back)) == ("m-1", letter)


def test_an_ignored_event_is_its_number_alone() -> None:
    (back,) = read(encode_ignored(sequence_number=7, enqueued_ns=8))
    assert (back.kind, back.sequence_number, back.enqueued_ns) == (IGNORED_EVENT, 7, 8)
    assert (back.samples, len(back.payload)) == (0, 0)


def test_a_message_id_is_kept_up_to_1024_bytes() -> None:
    (back,) = read(encode_samples(Chunk(1, 2, "é" * 1_000, np.arange(1), np.ones((1, 1)))))
    assert back.message_id == "é" * 512
    assert samples_of(back)[1].tolist() == [[1.0]]


@given(chunks(), st.data())
def test_a_chunk_that_is_cut_anywhere_is_corrupt(chunk: Chunk, data: st.DataObject) -> None:
    whole = encode_samples(chunk)
    cut = whole[: data.draw(st.integers(1, len(whole) - 1))]
    with pytest.raises(CorruptBuffer):
        list(read(cut))


@given(chunks(), st.data())
def test_no_bytes_make_the_reader_fail_in_another_way(chunk: Chunk, data: st.DataObject) -> None:
    broken = bytearray(encode_samples(chunk))
    for place in data.draw(st.lists(st.integers(0, 31), min_size=1, max_size=4)):  # its head
        broken[place] = data.draw(st.integers(0, 255))
    try:
        for back in read(bytes(broken)):
            if back.kind == SAMPLES:
                samples_of(back)
    except CorruptBuffer:
        pass


def test_a_version_from_the_future_is_corrupt() -> None:
    body = bytearray(encode_ignored(sequence_number=7, enqueued_ns=8))
    body[4] = 2
    with pytest.raises(CorruptBuffer, match="version 2"):
        list(read(bytes(body)))
