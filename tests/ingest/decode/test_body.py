import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.decode.body import plain_body
from ingest.decode.problem import Reason, Unusable

LIMIT = 1_000


def plain(body, encoding="", *, sniff=True) -> bytes:
    return plain_body(body, encoding, limit=LIMIT, sniff=sniff)


def reason(body, encoding="", *, sniff=True) -> Reason:
    with pytest.raises(Unusable) as caught:
        plain(body, encoding, sniff=sniff)
    return caught.value.reason


@given(st.binary(min_size=1, max_size=200), st.sampled_from(["gzip", "GZIP", " x-gzip "]))
def test_what_was_packed_comes_out_again(body, encoding) -> None:
    assert plain(gzip.compress(body), encoding) == body


@pytest.mark.parametrize("encoding", ["", "identity", "utf-8", "UTF-8"])
def test_gzip_is_known_by_its_first_bytes(encoding) -> None:
    assert plain(gzip.compress(b"{}"), encoding) == b"{}"


def test_raw_rows_that_look_like_gzip_are_left_alone() -> None:
    assert plain(b"\x1f\x8b\x08\x00", sniff=False) == b"\x1f\x8b\x08\x00"


def test_several_gzip_members_are_one_body() -> None:
    assert plain(gzip.compress(b"ab") + gzip.compress(b"cd")) == b"abcd"


def test_a_bomb_is_stopped_at_the_limit() -> None:
    assert reason(gzip.compress(bytes(50_000_000))) is Reason.TOO_LARGE
    members = b"".join(gzip.compress(bytes(LIMIT // 2)) for _ in range(3))
    assert reason(members) is Reason.TOO_LARGE


def test_the_limit_itself_is_allowed() -> None:
    assert len(plain(gzip.compress(bytes(LIMIT)))) == LIMIT
    assert len(plain(bytes(LIMIT))) == LIMIT
    assert reason(bytes(LIMIT + 1)) is Reason.TOO_LARGE


def test_nothing_is_an_empty_body() -> None:
    assert reason(b"") is Reason.EMPTY_BODY
    assert reason(gzip.compress(b"")) is Reason.EMPTY_BODY


def test_broken_or_unknown_encodings_are_named() -> None:
    packed = gzip.compress(b"abcdefgh")
    for body in (packed[:-3], packed[:5], packed + b"rest", b"\x1f\x8bno", packed[:-8] + bytes(8)):
        assert reason(body) is Reason.BAD_ENCODING
    assert reason(b"{}", "br") is Reason.BAD_ENCODING
    assert reason(b"{}", "utf-16") is Reason.BAD_ENCODING
    assert reason(b"{}", "gzip") is Reason.BAD_ENCODING
