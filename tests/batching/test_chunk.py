import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batching.chunk import (
    DEAD_LETTER,
    IGNORED_EVENT,
    PLAIN,
    SAMPLES,
    SHORT_STEPS,
    STEPS,
    STEPS_FROM,
    DeadLetter,
    dead_letter_of,
    decoded,
    encode_dead_letter,
    encode_ignored,
    encode_samples,
    read,
    samples_of,
)
from batching.chunks import read_all
from batching.errors import CorruptBuffer
from batching.model import Chunk
from tests.batching.given import chunks, int64s, letters


@given(st.lists(chunks(), max_size=4))
def test_chunks_come_back_from_a_buffer_as_they_went_in(made: list[Chunk]) -> None:
    found = list(read(b"".join(encode_samples(*chunk) for chunk in made)))
    assert len(found) == len(made)
    for chunk, back in zip(made, found, strict=True):
        times_ns, values = samples_of(back)
        assert back.kind == SAMPLES
        assert (back.sequence_number, back.enqueued_ns) == chunk[:2]
        assert (back.message_id, back.samples) == (chunk.message_id, len(chunk.times_ns))
        assert times_ns.tobytes() == chunk.times_ns.tobytes()
        assert (values.dtype, values.shape) == (chunk.values.dtype, chunk.values.shape)
        assert values.tobytes() == chunk.values.tobytes()  # NaN by its bits
        assert decoded(back) == times_ns.tobytes() + values.tobytes()


HIGHEST, LOWEST = 2**63 - 1, -(2**63)


@pytest.mark.parametrize(
    ("begin", "step", "samples", "version"),
    [
        (5, 1, STEPS_FROM - 1, PLAIN),
        (5, 1, STEPS_FROM, SHORT_STEPS),
        (5, 0, STEPS_FROM, SHORT_STEPS),
        (LOWEST, 2**24 - 1, STEPS_FROM, SHORT_STEPS),
        (LOWEST, 2**24, STEPS_FROM, STEPS),
        (LOWEST, 2**32 - 1, STEPS_FROM, STEPS),
        (5, 2**32, STEPS_FROM, PLAIN),
        (5, -1, STEPS_FROM, PLAIN),
        (HIGHEST - 3, 1, STEPS_FROM, SHORT_STEPS),  # and on from the lowest
        (HIGHEST - 3, 2**24, STEPS_FROM, STEPS),
        (-3, 2**31, STEPS_FROM, STEPS),
        (0, HIGHEST, STEPS_FROM, PLAIN),
    ],
)
def test_times_of_many_samples_lie_as_steps_where_each_has_few_bytes(
    begin: int, step: int, samples: int, version: int
) -> None:
    times_ns = np.cumsum(np.array([begin] + [step] * (samples - 1), np.int64))
    chunk = Chunk(1, 2, "m", times_ns, np.ones((samples, 1), np.float32))
    body = encode_samples(*chunk)
    (back,) = read(body)
    bytes_of_times = 8 + {PLAIN: 8, STEPS: 4, SHORT_STEPS: 3}[version] * (samples - 1)
    assert (back.version, len(back.payload)) == (version, bytes_of_times + 4 * samples)
    assert samples_of(back)[0].tolist() == times_ns.tolist()
    assert encode_samples(*chunk._replace(times_ns=np.repeat(times_ns, 2)[::2])) == body


@pytest.mark.parametrize("at", [1, STEPS_FROM // 2, STEPS_FROM - 1])
@pytest.mark.parametrize(("step", "version"), [(-1, PLAIN), (2**32, PLAIN), (2**24, STEPS)])
def test_one_step_that_does_not_fit_lets_all_have_more_bytes(
    at: int, step: int, version: int
) -> None:
    steps = np.ones(STEPS_FROM, np.int64)
    steps[at] = step
    times_ns = np.cumsum(steps)
    (back,) = read(encode_samples(1, 2, "", times_ns, np.ones((STEPS_FROM, 1))))
    assert back.version == version
    assert np.array_equal(samples_of(back)[0], times_ns)


def head(version: int, kind: int, samples: int, payload: int) -> bytes:
    """Spell the head of a chunk without a message id, its values one channel of float32."""
    return struct.pack("<IBBBBqqIHH", 28 + payload, version, kind, 1, 0, 7, 8, samples, 1, 0)


def test_every_version_is_read_whatever_would_be_written() -> None:
    """Parked pieces of older versions lie in the store for as long as they wait."""
    values = struct.pack("<3f", 1, 2, 3)
    plain = head(1, SAMPLES, 3, 36) + struct.pack("<3q", 5, 4, 2**40) + values
    steps = head(2, SAMPLES, 3, 28) + struct.pack("<qII", -5, 6, 2**32 - 1) + values
    single = head(2, SAMPLES, 1, 12) + struct.pack("<qf", -5, 1)
    short = head(3, SAMPLES, 3, 26) + struct.pack("<q3s3s", -5, b"\6\0\0", b"\xff" * 3) + values
    first, second, third, fourth = read(plain + steps + single + short)
    assert decoded(third) == single[32:]
    assert decoded(fourth) == struct.pack("<3q", -5, 1, 2**24) + values
    assert samples_of(first)[0].tolist() == [5, 4, 2**40]
    assert samples_of(second)[0].tolist() == [-5, 1, 2**32]
    for back in (first, second, fourth):
        assert samples_of(back)[1].tolist() == [[1], [2], [3]]
    assert decoded(first) == plain[32:]
    assert decoded(second) == struct.pack("<3q", -5, 1, 2**32) + values


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(("kind", "samples"), [(SAMPLES, 0), (DEAD_LETTER, 1), (IGNORED_EVENT, 1)])
def test_only_samples_have_steps(kind: int, samples: int, version: int) -> None:
    body = head(version, kind, samples, 4) + bytes(4)
    with pytest.raises(CorruptBuffer, match=f"version {version}"):
        list(read(body))
    with pytest.raises(CorruptBuffer, match=f"version {version}"):
        read_all([body])


def test_values_that_are_no_plain_block_are_encoded_in_their_order() -> None:
    values = np.arange(24, dtype=np.int16).reshape(4, 6)[::2, ::3].T
    chunk = Chunk(1, 2, "m", np.arange(4, dtype=np.int64)[::2], values)
    (back,) = read(encode_samples(*chunk))
    assert np.array_equal(samples_of(back)[1], values)
    assert samples_of(back)[0].tolist() == [0, 2]


def test_samples_are_views_of_the_buffer() -> None:
    body = encode_samples(1, 2, "id", np.arange(3), np.ones((3, 2)))
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
    (back,) = read(encode_samples(1, 2, "é" * 1_000, np.arange(1), np.ones((1, 1))))
    assert back.message_id == "é" * 512
    assert samples_of(back)[1].tolist() == [[1.0]]


@given(chunks(), st.data())
def test_a_chunk_that_is_cut_anywhere_is_corrupt(chunk: Chunk, data: st.DataObject) -> None:
    whole = encode_samples(*chunk)
    cut = whole[: data.draw(st.integers(1, len(whole) - 1))]
    with pytest.raises(CorruptBuffer):
        list(read(cut))


@given(chunks(), st.data())
def test_no_bytes_make_the_reader_fail_in_another_way(chunk: Chunk, data: st.DataObject) -> None:
    broken = bytearray(encode_samples(*chunk))
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
    body[4] = 3
    with pytest.raises(CorruptBuffer, match="version 3"):
        list(read(bytes(body)))
