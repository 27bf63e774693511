"""The plain bytes of a body: gunzipped within a bound, so that no bomb unfolds."""

import zlib

from ingest.decode.problem import Reason, Unusable

GZIP_MAGIC = b"\x1f\x8b"
GZIP = frozenset({"gzip", "x-gzip"})
PLAIN = frozenset({"", "identity", "utf-8", "utf8"})  # IoT Hub names the character set here
_GZIP_WINDOW = 16 + zlib.MAX_WBITS


def plain_body(body: bytes, content_encoding: str, *, limit: int, sniff: bool) -> bytes:
    """Give the body without its compression.

    Args:
        body: what the event carried.
        content_encoding: the event's, in any case.
        limit: most bytes that may come out.
        sniff: gunzip what begins like gzip even if nothing says so.

    Raises:
        Unusable: empty_body, too_large or bad_encoding.

    """
    encoding = content_encoding.strip().lower()
    if not body:
        raise Unusable(Reason.EMPTY_BODY, "the body is empty")
    if encoding in GZIP or (sniff and encoding in PLAIN and body.startswith(GZIP_MAGIC)):
        return _gunzip(body, limit)
    if encoding not in PLAIN:
        raise Unusable(
            Reason.BAD_ENCODING,
            f"content encoding {content_encoding[:40]!r} is not known, only gzip and utf-8 are",
        )
    if len(body) > limit:
        raise Unusable(Reason.TOO_LARGE, f"the body has {len(body)} bytes, {limit} are allowed")
    return body


def _gunzip(body: bytes, limit: int) -> bytes:
    """Unfold all members one after another, at most `limit` bytes."""
    parts, room, rest = [], limit, body
    while rest:
        member = zlib.decompressobj(wbits=_GZIP_WINDOW)
        try:
            plain = member.decompress(rest, room + 1)
        except zlib.error as error:
            raise Unusable(Reason.BAD_ENCODING, f"the body is no valid gzip: {error}") from None
        room -= len(plain)
        if room < 0:
            raise Unusable(Reason.TOO_LARGE, f"the body unfolds to more than {limit} bytes")
        if not member.eof:
            raise Unusable(Reason.BAD_ENCODING, "the body is gzip that was cut off")
        parts.append(plain)
        rest = member.unused_data
    plain = b"".join(parts)
    if not plain:
        raise Unusable(Reason.EMPTY_BODY, "the body is empty once unfolded")
    return plain
