"""Which decoder a body meets: the stream's format, or the event's content type if it differs."""

from collections.abc import Callable
from typing import TypeAlias

from ingest.decode import cbor_body, json_body, npy, raw, senml
from ingest.decode.body import plain_body
from ingest.decode.checks import check
from ingest.decode.columns import Decoded
from ingest.decode.json_arrays import SMALLEST_BYTES, JsonArrays
from ingest.decode.problem import Reason, Unusable
from ingest.decode.shapes import Shapes
from ingest.decode.spec import DecodeSpec, Format
from ingest.decode.times import converter

CONTENT_TYPES: dict[str, Format] = {
    "application/json": "json",
    "text/json": "json",
    "application/cbor": "cbor",
    "application/senml+json": "senml",
    "application/senml+cbor": "senml",
    "application/sensml+json": "senml",
    "application/sensml+cbor": "senml",
    "application/x-npy": "npy",
}
SAYS_NOTHING = frozenset({"", "application/octet-stream", "text/plain"})
_FIRST_BYTE_OF_CBOR = 0x80  # of a list, map or tag; JSON begins with an ASCII character
_Decode: TypeAlias = Callable[[bytes, int], Decoded]


def media_type(content_type: str) -> str:
    """Give the content type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


class Reader:
    """Decodes the bodies of one stream; `sender` is the dotted path of a sensor's name in them.

    Raises:
        SettingError: the stream's description contradicts itself.

    """

    def __init__(self, spec: DecodeSpec, sender: str | None = None) -> None:
        check(spec)
        self._spec = spec
        to_ns = converter(spec.time)
        path = tuple(sender.split(".")) if sender else ()
        shapes = Shapes(spec, to_ns, path)
        self._shapes, self._arrays = shapes, JsonArrays(spec, to_ns, path)
        packs = senml.Packs(spec)
        self._decoders: dict[Format, _Decode] = {
            "json": lambda body, _: self._json(body),
            "cbor": lambda body, _: shapes.read(cbor_body.parse(body)),
            "senml": lambda body, now_ns: packs.read(self._pack(body), now_ns),
            "npy": lambda body, _: npy.read(body, spec, to_ns),
        }
        if spec.format == "raw":
            row = raw.layout(spec)
            self._decoders["raw"] = lambda body, _: raw.read(body, row, spec, to_ns)

    def read(self, body: bytes, media: str, content_encoding: str, now_ns: int) -> Decoded:
        """Decode one body.

        Args:
            body: as it came, perhaps compressed.
            media: the event's content type, from `media_type`.
            content_encoding: the event's.
            now_ns: when the hub got the event, nanoseconds UTC.

        Raises:
            Unusable: it cannot be used, and why.

        """
        chosen = self.format_of(media)
        plain = plain_body(
            body, content_encoding, limit=self._spec.max_body_bytes, sniff=chosen != "raw"
        )
        try:
            return self._decoders[chosen](plain, now_ns)
        except Unusable as error:
            if _asked(media) is None and media not in SAYS_NOTHING:
                raise Unusable(
                    Reason.UNKNOWN_CONTENT_TYPE,
                    f"content type {media[:80]!r} is not known, and as {chosen}: {error.detail}",
                ) from None
            raise

    def format_of(self, media: str) -> Format:
        """Give the format by content type, the stream's own where that says nothing new."""
        asked = _asked(media)
        if asked is None or (self._spec.format == "senml" and asked in ("json", "cbor")):
            return self._spec.format  # SenML may be labelled as what it is written in
        return asked

    def _json(self, body: bytes) -> Decoded:
        if len(body) >= SMALLEST_BYTES:
            decoded = self._arrays.read(body)
            if decoded is not None:
                return decoded
        return self._shapes.read(json_body.parse(body, self._spec.max_samples))

    def _pack(self, body: bytes) -> object:
        if body[0] >= _FIRST_BYTE_OF_CBOR:
            return cbor_body.parse(body)
        return json_body.parse(body, self._spec.max_samples)


def _asked(media: str) -> Format | None:
    known = CONTENT_TYPES.get(media)
    if known is None and media.endswith("+json"):
        return "json"
    if known is None and media.endswith("+cbor"):
        return "cbor"
    return known
