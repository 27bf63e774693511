"""Which parked pieces of a partition are in use: listed by its log, and in no batch yet.

Kept small, since a fleet of slow sensors has one piece each or more: numbers lie in the columns
of the index objects as they were read, a key costs its own text and one number, and each piece
names the one before it of the same key. (Sizes: docs/explanation/performance.md.)
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from batching.model import Entry
from batching.names import Key
from batching.parking.objects import Index, Piece, pack_used
from batching.ports import Shell

_ROWS = 32  # bits of a code that hold the row; the object's number lies above
_ROW = 2**_ROWS - 1
_NONE = -1


@dataclass(slots=True)
class ParkedObject:
    """One object with pieces in use, and the newest manifest that lists it."""

    entry: Entry
    index: Index
    listed: int
    used: NDArray[np.bool_]
    before: NDArray[np.int64]  # code of the piece before, of the same key
    bytes_used: int = 0
    rows_used: int = 0

    @property
    def name(self) -> str:
        """Name of its content."""
        return self.entry.data or ""

    def rows(self) -> list[int]:
        """Give the rows in use."""
        return [int(row) for row in np.flatnonzero(self.used)]


class Pieces:
    """Pieces in use by key; `events` and `bytes` are sums of all of them."""

    def __init__(self) -> None:
        self._objects: dict[int, ParkedObject] = {}
        self._named: dict[str, int] = {}
        self._newest: dict[Key, int] = {}  # code of the last piece of each key
        self._made = 0
        self.events = self.bytes = 0

    def __len__(self) -> int:
        return len(self._newest)

    @property
    def objects(self) -> Collection[ParkedObject]:
        """Objects with pieces in use, in the order in which they were first seen."""
        return self._objects.values()

    def keys(self) -> Iterable[Key]:
        """Give the keys that have pieces in use."""
        return self._newest.keys()

    def knows(self, name: str) -> bool:
        """Tell whether an object of that name has pieces in use."""
        return name in self._named

    def has(self, key: Key) -> bool:
        """Tell whether the key has pieces in use."""
        return key in self._newest

    def last(self, key: Key) -> int:
        """Give the last number of the key's pieces; -1 if there are none."""
        code = self._newest.get(key)
        return -1 if code is None else self._number("last", code)

    def of(self, key: Key) -> list[Piece]:
        """Give the key's pieces, rising."""
        return [self._piece(code) for code in self._codes(key)]

    def size_of(self, key: Key) -> int:
        """Give the bytes of the key's pieces."""
        return sum(self._number("length", code) for code in self._codes(key))

    def shell(self, key: Key) -> Shell:
        """Give the open buffer that the key's pieces stand for."""
        codes = self._codes(key)
        last = codes[-1]
        return Shell(
            key=key,
            last=self._number("last", last),
            size_bytes=sum(self._number("length", code) for code in codes),
            due_us=min(self._number("due_us", code) for code in codes),
            # the last one's counts the earlier ones too
            state=self._objects[last >> _ROWS].index.states[last & _ROW].as_py(),
        )

    # --- what the log says

    def add(self, entry: Entry, index: Index, used: NDArray[np.bool_], n: int) -> None:
        """Take in a parked object that manifest n lists, with the rows that it calls used.

        Its pieces replace those of the same key whose span they contain: it was merged.
        """
        self._made += 1
        number = self._made
        before = np.full(len(index), _NONE, np.int64)
        rows = np.flatnonzero(used)
        made = ParkedObject(entry, index, n, np.zeros(len(index), np.bool_), before)
        self._objects[number], self._named[made.name] = made, number
        for row in rows.tolist():
            self._add(index.keys[row], number << _ROWS | row, made, row)
        self._tidy(number)

    def listed_again(self, name: str, n: int) -> None:
        """Take note that manifest n lists an object that is known."""
        known = self._objects[self._named[name]]
        known.listed = max(known.listed, n)

    def supersede(self, key: Key, last: int) -> None:
        """Drop the pieces that end at or below `last`: a batch holds them."""
        newest = self._newest.get(key)
        if newest is None:
            return
        codes = self._codes(key)
        kept = [code for code in codes if self._number("last", code) > last]
        if len(kept) < len(codes):
            self._chain(key, kept)
            for code in codes[: len(codes) - len(kept)]:
                self._drop(code)

    # --- what the owner asks

    def oldest_listing(self) -> int | None:
        """Give the lowest of the objects' newest listings; None if nothing is in use."""
        return min((each.listed for each in self._objects.values()), default=None)

    def listings(self, below: int) -> Iterator[Entry]:
        """Give entries that list again what was last listed below a number, oldest first."""
        old = (each for each in self._objects.values() if each.listed < below)
        for each in sorted(old, key=lambda each: each.listed):
            yield replace(each.entry, used=pack_used(each.used))

    def overdue(self, now_us: int) -> list[Key]:
        """Give the keys that have a piece which was due by `now_us`."""
        found: dict[Key, None] = {}
        for each in self._objects.values():
            late = each.used & (each.index.numbers["due_us"] <= now_us)
            found.update((each.index.keys[row], None) for row in np.flatnonzero(late).tolist())
        return list(found)

    # --- chains of codes

    def _add(self, key: Key, code: int, made: ParkedObject, row: int) -> None:
        made.used[row] = True
        made.rows_used += 1
        length, events = made.index.numbers["length"], made.index.numbers["events"]
        made.bytes_used += int(length[row])
        self.bytes += int(length[row])
        self.events += int(events[row])
        if key not in self._newest:
            self._newest[key] = code
            return
        first, last = self._number("first", code), self._number("last", code)
        codes = self._codes(key)
        inside = [c for c in codes if first <= self._number("first", c) <= last]
        kept = [c for c in codes if c not in inside] + [code]
        kept.sort(key=lambda c: self._number("first", c))
        self._chain(key, kept)
        for each in inside:
            self._drop(each)

    def _codes(self, key: Key) -> list[int]:
        codes, code = [], self._newest.get(key, _NONE)
        while code != _NONE:
            codes.append(code)
            code = int(self._objects[code >> _ROWS].before[code & _ROW])
        codes.reverse()
        return codes

    def _chain(self, key: Key, codes: list[int]) -> None:
        """Let the key's pieces be these, rising."""
        if not codes:
            del self._newest[key]
            return
        for before, code in zip([_NONE, *codes], codes, strict=False):
            self._objects[code >> _ROWS].before[code & _ROW] = before
        self._newest[key] = codes[-1]

    def _drop(self, code: int) -> None:
        number, row = code >> _ROWS, code & _ROW
        held = self._objects[number]
        held.used[row] = False
        held.rows_used -= 1
        length, events = held.index.numbers["length"], held.index.numbers["events"]
        held.bytes_used -= int(length[row])
        self.bytes -= int(length[row])
        self.events -= int(events[row])
        self._tidy(number)

    def _tidy(self, number: int) -> None:
        """Forget an object without pieces in use."""
        if not self._objects[number].rows_used:
            del self._named[self._objects.pop(number).name]

    def _number(self, name: str, code: int) -> int:
        held = self._objects[code >> _ROWS]
        return int(held.index.numbers[name][code & _ROW])

    def _piece(self, code: int) -> Piece:
        held = self._objects[code >> _ROWS]
        return held.index.piece(code & _ROW, held.name)
