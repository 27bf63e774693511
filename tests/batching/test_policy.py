import itertools
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batching.errors import SettingError
from batching.model import SealReason
from batching.policy import NEVER_NS, BatchState, SealPolicy, continued, decide

SECOND = 10**9
triggers = st.none() | st.integers(1, 40)
policies = st.builds(
    SealPolicy,
    max_samples=triggers,
    max_bytes=st.integers(1, 60),
    max_chunks=st.none() | st.integers(1, 6),
    max_age_ns=st.none() | st.integers(1, 5).map(lambda s: s * SECOND),
)


class Arrival(NamedTuple):
    samples: int
    size_bytes: int
    enqueued_ns: int


@st.composite
def arrivals(draw: st.DrawFn) -> list[Arrival]:
    """Chunks of one sensor in the order of their enqueued times."""
    gaps = draw(st.lists(st.integers(0, 3), max_size=30))
    now, chunks = 1_700_000_000 * SECOND, []
    for gap in gaps:
        now += gap * SECOND
        chunks.append(Arrival(draw(st.integers(0, 12)), draw(st.integers(0, 25)), now))
    return chunks


class Batch(NamedTuple):
    chunks: list[Arrival]
    reason: SealReason | None  # None: still open


def batches(chunks: list[Arrival], policy: SealPolicy) -> list[Batch]:
    """Give what decisions make of a sensor's chunks."""
    made: list[Batch] = []
    held: list[Arrival] = []
    state: BatchState | None = None
    for chunk in chunks:
        before, after_state, after = decide(state, policy, *chunk)
        if before is not None:
            made.append(Batch(held, before))
            held = []
        held.append(chunk)
        if after is not None:
            made.append(Batch(held, after))
            held = []
        state = None if after is not None else after_state
    return [*made, Batch(held, None)] if held else made


def size(chunks: list[Arrival]) -> int:
    return sum(chunk.size_bytes for chunk in chunks)


def samples(chunks: list[Arrival]) -> int:
    return sum(chunk.samples for chunk in chunks)


@given(arrivals(), policies)
def test_every_chunk_is_in_one_batch_in_its_order_and_no_batch_is_empty(
    chunks: list[Arrival], policy: SealPolicy
) -> None:
    made = batches(chunks, policy)
    assert [chunk for batch in made for chunk in batch.chunks] == chunks
    assert all(batch.chunks for batch in made)


@given(arrivals(), policies)
def test_no_batch_is_above_max_bytes_unless_one_chunk_alone_is(
    chunks: list[Arrival], policy: SealPolicy
) -> None:
    for batch in batches(chunks, policy):
        heavy = [chunk for chunk in batch.chunks if chunk.size_bytes]
        assert size(batch.chunks) <= policy.max_bytes or len(heavy) == 1


@given(arrivals(), policies)
def test_a_trigger_fires_with_the_very_chunk_that_fulfils_it(
    chunks: list[Arrival], policy: SealPolicy
) -> None:
    for batch in batches(chunks, policy):
        all_but_last = batch.chunks[:-1]
        limits = (
            (samples, policy.max_samples, SealReason.MAX_SAMPLES),
            (len, policy.max_chunks, SealReason.MAX_CHUNKS),
        )
        for count, limit, reason in limits:
            if limit is not None:
                assert not all_but_last or count(all_but_last) < limit
                assert (count(batch.chunks) >= limit) <= (batch.reason is not None)
            if batch.reason is reason:
                assert limit is not None
                assert count(batch.chunks) >= limit


@given(arrivals(), policies)
def test_a_batch_holds_nothing_enqueued_after_it_was_due(
    chunks: list[Arrival], policy: SealPolicy
) -> None:
    made = batches(chunks, policy)
    spans = [batch.chunks[-1].enqueued_ns - batch.chunks[0].enqueued_ns for batch in made]
    if policy.max_age_ns is not None:
        assert all(span <= policy.max_age_ns for span in spans)
    for batch, after in itertools.pairwise(made):
        if batch.reason is SealReason.MAX_AGE:
            assert policy.max_age_ns is not None
            due_ns = batch.chunks[0].enqueued_ns + policy.max_age_ns
            assert after.chunks[0].enqueued_ns > due_ns


@given(arrivals().flatmap(st.permutations), policies, st.integers(0, 30))
def test_chunks_that_end_no_batch_are_counted_at_once_as_one_by_one(
    chunks: list[Arrival], policy: SealPolicy, cut: int
) -> None:
    earlier, later = chunks[:cut], chunks[cut:]
    open_before, _ = one_by_one(None, earlier, policy)
    if later:
        state, ends = one_by_one(open_before, later, policy)
        times = [chunk.enqueued_ns for chunk in later]
        about = samples(later), size(later), len(later), times[0], max(times)
        assert continued(open_before, policy, *about) == (None if ends else state)


def one_by_one(
    state: BatchState | None, chunks: list[Arrival], policy: SealPolicy
) -> tuple[BatchState | None, int]:
    """Give what is open in the end, and how many batches ended."""
    ends = 0
    for chunk in chunks:
        before, counted, after = decide(state, policy, *chunk)
        ends += (before is not None) + (after is not None)
        state = None if after is not None else counted
    return state, ends


@given(arrivals(), policies)
def test_the_state_counts_what_the_open_batch_holds(
    chunks: list[Arrival], policy: SealPolicy
) -> None:
    state: BatchState | None = None
    held: list[Arrival] = []
    for chunk in chunks:
        before, counted, after = decide(state, policy, *chunk)
        assert decide(state, policy, *chunk) == (before, counted, after)  # a function of these
        held = [chunk] if before is not None else [*held, chunk]
        opened = held[0].enqueued_ns
        due = NEVER_NS if policy.max_age_ns is None else opened + policy.max_age_ns
        assert counted == (samples(held), size(held), len(held), opened, due)
        told = counted.size_bytes, counted.due_ns  # by the buffer
        assert BatchState.unpack(counted.pack(), *told) == counted
        state, held = (None, []) if after is not None else (counted, held)


@pytest.mark.parametrize(
    ("policy", "lengths", "reason"),
    [
        (SealPolicy(max_samples=7), [2, 2], SealReason.MAX_SAMPLES),
        (SealPolicy(max_samples=8), [2, 2], SealReason.MAX_SAMPLES),
        (SealPolicy(max_chunks=3), [3], SealReason.MAX_CHUNKS),
        (SealPolicy(max_bytes=29), [2, 2], SealReason.MAX_BYTES),
        (SealPolicy(max_bytes=30), [3], SealReason.MAX_BYTES),
        (SealPolicy(max_age_ns=2 * SECOND), [3], SealReason.MAX_AGE),
    ],
)
def test_batches_of_even_chunks_are_as_long_as_the_policy_says(
    policy: SealPolicy, lengths: list[int], reason: SealReason
) -> None:
    chunks = [Arrival(4, 10, second * SECOND) for second in range(5)]
    sealed = [batch for batch in batches(chunks, policy) if batch.reason]
    assert [len(batch.chunks) for batch in sealed] == lengths
    assert {batch.reason for batch in sealed} == {reason}


@pytest.mark.parametrize("name", ["max_samples", "max_bytes", "max_chunks", "max_age_ns"])
def test_a_trigger_that_cannot_fire_is_refused_by_name(name: str) -> None:
    with pytest.raises(SettingError, match=name):
        SealPolicy(**{name: 0})
