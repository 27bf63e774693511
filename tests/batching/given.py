"""Chunks and dead letters that hypothesis makes up, for the tests of who reads them."""

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from batching.chunk import (
    STEPS_FROM,
    DeadLetter,
    encode_dead_letter,
    encode_ignored,
    encode_samples,
)
from batching.model import DTYPES, Chunk

int64s = st.integers(-(2**63), 2**63 - 1)
all_numbers = st.integers(0, 2**63 - 1)
one_to_four = st.integers(1, 4)


few_samples = st.integers(0, 5)
many_samples = st.integers(STEPS_FROM - 1, STEPS_FROM + 5)
steps_ns = st.sampled_from([0, 1, 2**24 - 1, 2**24, 2**32 - 1])
steps_ns |= st.integers(0, 2**24 - 1) | st.integers(0, 2**32 - 1)


@st.composite
def times(draw: st.DrawFn, samples: int) -> NDArray[np.int64]:
    """Any times; of many samples such as rise in steps that fit, but for one here and there."""
    if samples < STEPS_FROM - 1:
        return np.array(draw(st.lists(int64s, min_size=samples, max_size=samples)), np.int64)
    made = np.resize(draw(st.lists(steps_ns, min_size=1, max_size=3)), samples).astype(np.int64)
    made[0] = draw(int64s)
    if draw(st.booleans()):
        made[draw(st.integers(1, samples - 1))] = draw(int64s | st.sampled_from([-1, 2**24, 2**32]))
    return np.cumsum(made)  # around the end of int64, too


@st.composite
def chunks(
    draw: st.DrawFn,
    channels: st.SearchStrategy[int] = one_to_four,
    numbers: st.SearchStrategy[int] = all_numbers,
) -> Chunk:
    """Chunks of any shape and dtype: no sample or many, a channel or several, NaN, any names."""
    samples, wide = draw(few_samples | many_samples), draw(channels)
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    row = wide * dtype.itemsize
    body = draw(st.binary(min_size=(n := min(samples, 5) * row), max_size=n))
    body = (body * samples)[: samples * row]
    return Chunk(
        draw(numbers),
        draw(int64s),
        draw(st.text(st.characters(codec="utf-8"), max_size=200)),
        draw(times(samples)),
        np.frombuffer(body, dtype).reshape(samples, wide),
    )


letters = st.builds(
    DeadLetter,
    reason=st.sampled_from(["bad_json", "no_sensor"]),
    detail=st.text(st.characters(codec="utf-8")),
    body=st.binary(),
    body_bytes=st.integers(0, 2**40),
    content_type=st.text(st.characters(codec="utf-8")),
    properties=st.dictionaries(*[st.text(st.characters(codec="utf-8"))] * 2, max_size=3),
)


@st.composite
def encoded(draw: st.DrawFn, numbers: st.SearchStrategy[int] = all_numbers) -> bytes:
    """Encoded chunks of each kind."""
    kind = draw(st.sampled_from(["samples", "samples", "dead", "ignored"]))
    if kind == "samples":
        return encode_samples(*draw(chunks(numbers=numbers)))
    number, enqueued_ns = draw(numbers), draw(int64s)
    if kind == "ignored":
        return encode_ignored(sequence_number=number, enqueued_ns=enqueued_ns)
    message_id = draw(st.text(st.characters(codec="utf-8"), max_size=8))
    return encode_dead_letter(
        draw(letters), sequence_number=number, enqueued_ns=enqueued_ns, message_id=message_id
    )
