"""Columns of a JSON body straight to arrays, without a Python object for each number.

It takes one shape alone, an object of flat lists of numbers, and of that only what it reads
exactly as `Shapes` does. Anything else, and all that must be refused, gives None, and the body is
then read by the parser that says what is wrong with it (decision 0021).
"""

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.decode.checks import SCALE_NS
from ingest.decode.columns import Decoded, Part, check_rows, values_of
from ingest.decode.problem import Unusable
from ingest.decode.spec import DecodeSpec
from ingest.decode.times import LAST_NS, Times, ToNanoseconds

try:
    from simdjson import Array, Parser
except ImportError:  # no wheel for this Python: the same result, more slowly
    Array = Parser = None  # type: ignore[assignment,misc]

SMALLEST_BYTES = 600  # below that, a buffer a column costs more than the numbers in it
LARGEST_BYTES = 2**20  # the parser keeps ten times what it has ever read
_MOST_NAMES = 100  # each is looked for from the first on
_EXACT = 2**53  # float64 holds every whole number up to here
_NAN = struct.pack("<d", float("nan"))
_UNFIT = (ValueError, TypeError, KeyError, RuntimeError, Unusable)
_Found = Mapping[str, Any]


class JsonArrays:
    """Reads bodies of one stream; `sender` is the path of the sensor's name, if any."""

    def __init__(
        self, spec: DecodeSpec, to_ns: ToNanoseconds, sender: tuple[str, ...] = ()
    ) -> None:
        self._spec, self._to_ns = spec, to_ns
        self._sender = sender[0] if sender else None
        self._known = {spec.time.field, *spec.channels, *sender[:1]}
        scale = SCALE_NS.get(spec.time.unit)
        self._latest = None if scale is None else min(_EXACT, LAST_NS // scale)
        usable = not spec.path and len(sender) <= 1 and len(spec.channels) < _MOST_NAMES
        self._parser = Parser() if usable and Parser is not None else None

    def read(self, body: bytes) -> Decoded | None:
        """Give what `Shapes` gives for the same body; None if that is not certain here."""
        if self._parser is None or len(body) > LARGEST_BYTES:
            return None
        if body[:1] != b"{" or body.count(b"{") > 1:  # one may be part of a text, too
            return None
        try:
            return self._read(self._found(self._parser.parse(body)), body.count(b"["))
        except _UNFIT:
            return None

    @staticmethod
    def _found(document: Any) -> _Found:
        """Give each name's value: a list is a proxy that the parser waits for."""
        if len(document) > _MOST_NAMES:
            raise ValueError("too many names")
        names = list(document)
        found = {name: document[name] for name in names}
        if len(found) < len(names):
            raise ValueError("a name is there twice")
        return found

    def _read(self, found: _Found, opened: int) -> Decoded | None:
        lists = {name: value for name, value in found.items() if type(value) is Array}
        if len(lists) != opened:  # a list in a list, which a buffer would unfold
            return None
        channels = {name: found.get(name) for name in self._spec.channels}
        times = lists.get(self._spec.time.field)
        if times is None or found.keys().isdisjoint(channels):
            return None
        rows = len(times)
        if any(
            each is not None and (type(each) is not Array or len(each) != rows)
            for each in channels.values()
        ):
            return None
        check_rows(rows, self._spec)
        sender = None if self._sender is None else found.get(self._sender)
        if self._sender is not None and type(sender) not in (str, int):
            return None
        times_ns = self._times(times)
        if times_ns is None:
            return None
        part = Part(sender, times_ns, self._values(channels, rows))
        return Decoded([part], len(found.keys() - self._known))

    def _times(self, column: Any) -> Times | None:
        if self._latest is None:
            return self._to_ns(column.as_list())
        try:
            return self._to_ns(np.frombuffer(column.as_buffer(of_type="i"), np.int64))
        except TypeError:  # not all are whole
            floats = np.frombuffer(column.as_buffer(of_type="d"), np.float64)
        # beyond, a whole number among them is no longer exact, or has another limit
        return self._to_ns(floats) if (np.abs(floats) < self._latest).all() else None

    def _values(self, channels: _Found, rows: int) -> NDArray[Any]:
        if self._spec.dtype == "float64":
            buffers = [
                _NAN * rows if each is None else each.as_buffer(of_type="d")
                for each in channels.values()
            ]
            return np.frombuffer(b"".join(buffers), np.float64).reshape(len(buffers), rows).T
        floats = self._spec.dtype.startswith("float")
        kind, dtype = ("d", np.float64) if floats else ("i", np.int64)
        columns = {
            name: None if each is None else np.frombuffer(each.as_buffer(of_type=kind), dtype)
            for name, each in channels.items()
        }
        return values_of(columns, rows, self._spec)
