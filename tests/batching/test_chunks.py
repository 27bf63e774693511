"""The reader of many chunks gives what the walk from one to the next gives."""

import re
from itertools import starmap

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batching.chunk import (
    PLAIN,
    SAMPLES,
    SHORT_STEPS,
    STEPS,
    STEPS_FROM,
    Encoded,
    decoded,
    encode_ignored,
    encode_samples,
    read,
    samples_of,
)
from batching.chunks import ALIKE, Chunks, read_all
from batching.errors import CorruptBuffer
from batching.model import Chunk
from tests.batching.given import chunks, encoded

bodies = st.lists(st.lists(encoded(), max_size=4).map(b"".join), max_size=6)


def plain(chunk: Encoded) -> Encoded:
    """Give it with its payload as bytes, which compare."""
    return chunk._replace(payload=bytes(chunk.payload))  # type: ignore[arg-type]


def walked(made: list[bytes]) -> list[list[Encoded]]:
    return [[plain(chunk) for chunk in read(body)] for body in made]


def assert_the_same(found: Chunks, walk: list[Encoded]) -> None:
    assert [plain(found.one(i)) for i in range(len(found))] == walk
    assert found.numbers.tolist() == [chunk.sequence_number for chunk in walk]
    assert found.samples.tolist() == [chunk.samples for chunk in walk]
    assert found.payload_bytes.tolist() == [len(chunk.payload) for chunk in walk]
    assert found.decoded_bytes.tolist() == [len(decoded(chunk)) for chunk in walk]
    table = found.table().to_pydict()
    assert table["message_id"] == [chunk.message_id for chunk in walk]
    assert table["enqueued_ns"] == [chunk.enqueued_ns for chunk in walk]
    ends = np.cumsum([chunk.samples for chunk in walk], dtype=np.int64)
    assert table["first_row"] == (ends - table["rows"]).tolist()


@given(bodies, st.data())
def test_all_chunks_of_all_bodies_are_read_in_their_order(
    made: list[bytes], data: st.DataObject
) -> None:
    found, bounds = read_all([data.draw(st.sampled_from([bytes, memoryview]))(b) for b in made])
    walk = walked(made)
    assert np.diff(bounds).tolist() == [len(of_body) for of_body in walk]
    assert_the_same(found, [chunk for of_body in walk for chunk in of_body])


@given(bodies, st.data())
def test_some_of_them_are_as_they_were(made: list[bytes], data: st.DataObject) -> None:
    found, _ = read_all(made)
    n = len(found)
    kept = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)), np.bool_)
    some = found.only(kept)
    both = zip([c for of_body in walked(made) for c in of_body], kept.tolist(), strict=True)
    assert_the_same(some, [chunk for chunk, keep in both if keep])


@given(st.data(), st.integers(1, 3))
def test_samples_of_many_chunks_are_those_of_each_one_after_another(
    data: st.DataObject, channels: int
) -> None:
    alike = chunks(channels=st.just(channels))
    made = data.draw(st.lists(st.lists(alike, min_size=1, max_size=3), min_size=1, max_size=4))
    encoded_ = [b"".join(starmap(encode_samples, several)) for several in made]
    each = [samples_of(chunk) for body in encoded_ for chunk in read(body)]
    times_ns, values = read_all(encoded_)[0].times_and_values(channels)
    assert times_ns.tobytes() == np.concatenate([times for times, _ in each]).tobytes()
    with np.errstate(invalid="ignore"):
        wanted = np.concatenate([values for _, values in each])
    assert (values.dtype, values.shape) == (wanted.dtype, wanted.shape)
    assert values.tobytes() == wanted.tobytes()


@given(bodies.filter(any), st.data())
def test_what_is_wrong_is_told_as_the_walk_tells_it(made: list[bytes], data: st.DataObject) -> None:
    which = data.draw(st.sampled_from([i for i, body in enumerate(made) if body]))
    broken = bytearray(made[which])
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, min(len(broken) - 1, 40)))  # heads, above all
        broken[place] = data.draw(st.integers(0, 255))
    made[which] = bytes(broken[: data.draw(st.integers(1, len(broken)))])
    try:
        walk = walked(made)
    except CorruptBuffer as error:
        with pytest.raises(CorruptBuffer, match=f"^{re.escape(str(error))}$"):
            read_all(made)
    else:
        assert_the_same(read_all(made)[0], [chunk for of_body in walk for chunk in of_body])


def test_a_message_id_that_was_cut_within_a_character_is_read_all_the_same() -> None:
    long = Chunk(1, 2, "a" + "é" * 1_000, np.arange(1), np.ones((1, 1)))
    found, _ = read_all([encode_samples(*long), encode_samples(*long._replace(message_id="b"))])
    assert found.table()["message_id"].to_pylist() == ["a" + "é" * 511 + "\ufffd", "b"]


def test_a_character_that_two_message_ids_would_make_together_is_none() -> None:
    cut = [Chunk(i, 2, "m", np.arange(1), np.ones((1, 1))) for i in range(2)]
    made = [
        encode_samples(*c).replace(b"m", b) for c, b in zip(cut, (b"\xc3", b"\xa9"), strict=True)
    ]
    found, _ = read_all(made)
    assert found.table()["message_id"].to_pylist() == ["\ufffd", "\ufffd"]


@pytest.mark.parametrize(
    "sizes", [[10] * 9, [1, 2, 0, 3] * ALIKE, list(range(9)), [70, 0, 65] * 40]
)
def test_chunks_alike_or_not_are_gathered_with_the_ids_that_they_have(sizes: list[int]) -> None:
    rng = np.random.default_rng(len(sizes))
    made = [
        Chunk(i, 2, "é" * (n % 4), rng.integers(0, 2**31, n), rng.standard_normal((n, 2)))
        for i, n in enumerate(sizes)
    ]
    found, _ = read_all(list(starmap(encode_samples, made)))
    times_ns, values = found.times_and_values(2)
    assert np.array_equal(times_ns, np.concatenate([chunk.times_ns for chunk in made]))
    assert np.array_equal(values, np.concatenate([chunk.values for chunk in made]))
    ids = found.table()["message_id"]
    ids.validate(full=True)
    assert ids.to_pylist() == [chunk.message_id for chunk in made]


def test_a_chunk_may_not_reach_into_the_next_body() -> None:
    whole = encode_ignored(sequence_number=1, enqueued_ns=2)
    with pytest.raises(CorruptBuffer, match="cut off"):
        read_all([whole[:-4], whole])
    long = encode_samples(1, 2, "m", np.arange(4), np.ones((4, 1)))
    with pytest.raises(CorruptBuffer, match="cut off"):
        read_all([long[:-32], long[-32:]])


def test_samples_of_one_dtype_are_not_copied_once_they_are_gathered() -> None:
    body = encode_samples(1, 2, "", np.arange(3), np.ones((3, 2), np.float32))
    for array in read_all([body, body])[0].times_and_values(2):
        assert not array.flags.owndata


def test_times_that_lie_in_all_ways_are_gathered_together() -> None:
    ends = 2**63 - 3  # the steps of one chunk go around the end of int64, the sum of all as well
    rising = [np.arange(n) * (2**32 - 1) + ends for n in (STEPS_FROM, STEPS_FROM + 1)]
    times_ns = [rising[0], np.array([3, 1, 2]), rising[1], np.zeros(0, np.int64), rising[0][::-1]]
    times_ns += [np.arange(n) * (2**24 - 1) + ends for n in (STEPS_FROM + 1, STEPS_FROM)]
    made = [encode_samples(1, 2, "id", t, t.astype(np.float32)[:, None]) for t in times_ns]
    found, _ = read_all([b"".join(made[:2]), *made[2:]])
    versions = [STEPS, PLAIN, STEPS, PLAIN, PLAIN, SHORT_STEPS, SHORT_STEPS]
    assert found.heads["version"].tolist() == versions
    assert (found.heads["kind"] == SAMPLES).all()
    times, values = found.times_and_values(1)
    assert np.array_equal(times, np.concatenate(times_ns))
    assert np.array_equal(values[:, 0], np.concatenate(times_ns).astype(np.float32))
