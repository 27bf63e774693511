import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.hub.frames import (
    AMQP_HEADER,
    EMPTY_FRAME,
    Attach,
    Detach,
    Flow,
    Frame,
    FrameReader,
    FramingError,
    Transfer,
    error,
    frame,
    transfer_head,
)

SAID = [
    AMQP_HEADER,
    Frame(3, Flow(1, 2, 3, 4, handle=5, link_credit=7, drain=True), b""),
    Frame(0, None, b""),
    Frame(0, Transfer(1, delivery_id=300, delivery_tag=b"t", more=False), b"payload" * 100),
    Frame(9, Attach("name", 0, role=True, max_message_size=2**20), b""),
]


def raw(said: Any) -> bytes:
    if isinstance(said, bytes):
        return said
    return EMPTY_FRAME if said.performative is None else frame(*said)


@settings(deadline=None)
@given(st.lists(st.sampled_from(SAID), max_size=6), st.lists(st.integers(1, 300), min_size=1))
def test_frames_are_found_however_the_socket_cuts_them(said: list[Any], cuts: list[int]) -> None:
    stream, reader, heard = b"".join(map(raw, said)), FrameReader(), []
    for cut in itertools.cycle(cuts):
        heard += reader.feed(stream[:cut])
        stream = stream[cut:]
        if not stream:
            break
    assert heard == said


def test_every_field_of_a_performative_is_written() -> None:
    body = frame(0, Detach(1))[8:]
    assert body == b"\x00\x53\x16\xc0\x05\x03\x52\x01\x40\x40"


def test_the_short_way_to_write_a_transfer_says_the_same() -> None:
    told = Transfer(
        7, 0x01020304, b"\x01\x02\x03\x04", 0, settled=True, more=False, batchable=False
    )
    raw = transfer_head(2, 7, 0x01020304, 3) + b"abc"
    assert list(FrameReader().feed(raw)) == [Frame(2, told, b"abc")]


@pytest.mark.parametrize(
    "raw",
    [
        b"\x00\x00\x00\x07\x02\x00\x00\x00",
        b"\x7f\xff\xff\xff\x02\x00\x00\x00",
        b"\x00\x00\x00\x09\x09\x00\x00\x00\x40",
        b"\x00\x00\x00\x09\x02\x00\x00\x00\x40",
        b"\x00\x00\x00\x0c\x02\x00\x00\x00\x00\x53\x99\x45",
        b"\x00\x00\x00\x0c\x02\x00\x00\x00\x00\x53\x12\x45",  # attach without name
    ],
)
def test_what_is_no_frame_is_a_framing_error(raw: bytes) -> None:
    with pytest.raises(FramingError):
        list(FrameReader().feed(raw))


def test_an_error_has_condition_and_text() -> None:
    assert error("amqp:not-found", "gone").value[:2] == ["amqp:not-found", "gone"]
