"""The shapes that a JSON or CBOR body may have: columns, one sample, or a list of either."""

from collections.abc import Mapping
from itertools import groupby
from typing import Any

from ingest.decode.columns import COLUMN_TYPES, Decoded, Part, check_parts, check_rows, values_of
from ingest.decode.problem import Reason, Unusable
from ingest.decode.spec import DecodeSpec
from ingest.decode.times import ToNanoseconds


def look_up(document: Any, path: tuple[str, ...]) -> Any:
    """Follow a dotted path through nested objects; None if it leads nowhere."""
    for name in path:
        if not isinstance(document, dict):
            return None
        document = document.get(name)
    return document


class Shapes:
    """Reads documents of one stream; `sender` is the path of the sensor's name, if any."""

    def __init__(
        self, spec: DecodeSpec, to_ns: ToNanoseconds, sender: tuple[str, ...] = ()
    ) -> None:
        self._spec = spec
        self._to_ns = to_ns
        self._path = tuple(spec.path.split(".")) if spec.path else ()
        self._sender = sender
        self._known = {spec.time.field, *spec.channels, *sender[:1]}

    def read(self, document: Any) -> Decoded:
        """Turn a document into parts: one for each object of columns, one for each sender of rows.

        Raises:
            Unusable: bad_shape, bad_time, bad_value, no_samples or too_large.

        """
        items = self._items(document)
        names = items[0].keys() if len(items) == 1 else set().union(*items)
        if names.isdisjoint(self._spec.channels):
            wanted = ", ".join(self._spec.channels)
            raise Unusable(Reason.NO_SAMPLES, f"the body holds none of the channels {wanted}")
        times = [item.get(self._spec.time.field) for item in items]
        if COLUMN_TYPES.isdisjoint(map(type, times)):
            check_rows(len(items), self._spec)
            parts = self._samples(items, document)
        else:
            check_rows(sum(map(_rows, times)), self._spec)
            mixed = self._columns if len(items) == 1 else self._mixed
            parts = mixed(items, document)
        return Decoded(parts, len(names - self._known))

    def _items(self, document: Any) -> list[dict[str, Any]]:
        found = look_up(document, self._path)
        if type(found) is dict:
            return [found]
        items = found if type(found) is list else [found]
        if items and set(map(type, items)) != {dict}:
            where = f"at {'.'.join(self._path)}" if self._path else "the body"
            raise Unusable(Reason.BAD_SHAPE, f"{where} is neither an object nor a list of objects")
        return items

    def _mixed(self, items: list[dict[str, Any]], document: Any) -> list[Part]:
        """Read columns and samples in the order in which they stand."""
        parts: list[Part] = []
        for is_columns, run in groupby(items, self._is_columns):
            parts_of = self._columns if is_columns else self._samples
            parts += parts_of(list(run), document)
            check_parts(len(parts))
        return parts

    def _is_columns(self, item: dict[str, Any]) -> bool:
        return type(item.get(self._spec.time.field)) in COLUMN_TYPES

    def _sender_of(self, item: Any, document: Any) -> Any:
        """Look in the object itself first, then in the body around it."""
        if not self._sender:
            return None
        found = look_up(item, self._sender)
        return look_up(document, self._sender) if found is None else found

    def _columns(self, items: list[dict[str, Any]], document: Any) -> list[Part]:
        check_parts(len(items))
        field, parts = self._spec.time.field, []
        for item in items:
            columns = {name: item.get(name) for name in self._spec.channels}
            for name, column in columns.items():
                if not (column is None or type(column) in COLUMN_TYPES):
                    raise Unusable(Reason.BAD_SHAPE, f"channel {name} is no list, but times are")
            parts.append(self._part(self._sender_of(item, document), item[field], columns))
        return parts

    def _samples(self, items: list[dict[str, Any]], document: Any) -> list[Part]:
        rows_of: dict[Any, list[dict[str, Any]]] = {}
        if not self._sender:
            rows_of[None] = items
        else:
            for item in items:
                rows_of.setdefault(_hashable(self._sender_of(item, document)), []).append(item)
        check_parts(len(rows_of))
        field = self._spec.time.field
        return [
            self._part(
                sender,
                [row.get(field) for row in rows],
                {name: [row.get(name) for row in rows] for name in self._spec.channels},
            )
            for sender, rows in rows_of.items()
        ]

    def _part(self, sender: Any, times: Any, columns: Mapping[str, Any]) -> Part:
        times_ns = self._to_ns(times)
        return Part(sender, times_ns, values_of(columns, len(times_ns), self._spec))


def _rows(times: Any) -> int:
    return len(times) if type(times) in COLUMN_TYPES else 1


def _hashable(sender: Any) -> Any:
    """Keep names of two types apart, and let what can be no name fail by its type later."""
    if sender is None or type(sender) in (str, bytes, int):
        return sender
    raise Unusable(Reason.BAD_SENSOR, f"the sensor's name is of type {type(sender).__name__}")
