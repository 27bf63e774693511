"""Parked pieces in memory, held against a plain list of them, whatever the log says."""

import itertools
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batching import names, view
from batching.errors import CorruptObject
from batching.model import Entry
from batching.names import Key
from batching.parking.objects import Index, Piece, Writer, pack_used, read_index, unpack_used
from batching.parking.parker import _joined, _runs
from batching.parking.reads import GAP_BYTES, READ_BYTES, spans
from batching.view import View

KEYS = [Key("s", each) for each in "abc"]


def piece(key: Key, first: int, last: int, **more: object) -> Piece:
    made = Piece(key, first, last, last - first + 1, 2, 10 * last, b"state", "", 0, 4)
    return made._replace(**more)


@dataclass
class Told:
    """A log as owners write it, and what is in use by the plainest of rules."""

    manifests: list[tuple[Entry, ...]] = field(default_factory=list)
    indexes: dict[str, Index] = field(default_factory=dict)
    view: View = field(default_factory=lambda: View(-1, 0))
    used: dict[Key, list[tuple[int, int]]] = field(default_factory=dict)
    at: int = 0

    def commit(self, *entries: Entry) -> None:
        self.manifests.append(entries)
        self.view.apply(entries, self.indexes)

    def write(self, pieces: list[Piece]) -> Entry:
        writer = Writer()
        for each in pieces:
            writer.add(each, [b"x" * each.length])
        name = names.parked("hub", "0", self.view.next, "nonce")
        written = writer.write(name)
        self.indexes[name] = read_index(written.encoded_index.to_pybytes(), name)
        return written.entry

    def park(self, keys: list[Key]) -> None:
        pieces = []
        for key in keys:
            first, self.at = self.at, self.at + 3
            pieces.append(piece(key, first, first + 1))
            self.used.setdefault(key, []).append((first, first + 1))
        if pieces:
            self.commit(self.write(pieces))

    def batch(self, key: Key, carry: bool) -> None:  # noqa: FBT001
        first, self.at = self.at, self.at + 1
        begin = self.used.pop(key, [(first, first)])[0][0]
        entries = tuple(self.view.pieces.listings(self.view.next)) if carry else ()
        self.commit(*entries, Entry("batch", "s", key.sensor, begin, first, 1))

    def merge(self, chosen: list[int]) -> None:
        objects = list(self.view.pieces.objects)
        some = {objects[at % len(objects)].name for at in chosen} if objects else set()
        pieces = []
        for key in KEYS:
            content = {
                (p.data, p.offset): memoryview(b"")
                for p in self.view.pieces.of(key)
                if p.data in some
            }
            pieces += [_joined(run) for run in _runs(self.view.pieces.of(key), content)]
        if pieces:
            self.commit(self.write(pieces))

    def carry(self) -> None:
        if entries := tuple(self.view.pieces.listings(self.view.next)):
            self.commit(*entries)

    def spans(self, seen: View, key: Key) -> list[tuple[int, int]]:
        return [(p.first, p.last) for p in seen.pieces.of(key)]


def covers(spans: list[tuple[int, int]], pieces: list[tuple[int, int]]) -> bool:
    """Merged pieces may span several; none is left out, none overlaps another."""
    inside = all(any(a <= c and d <= b for a, b in spans) for c, d in pieces)
    ends = {a for a, _ in spans} | {b for _, b in spans}
    rising = all(b < c for (_, b), (c, _) in itertools.pairwise(spans))
    return inside and rising and ends <= {x for span in pieces for x in span}


@st.composite
def stories(draw: st.DrawFn) -> Told:
    told = Told()
    some = st.lists(st.sampled_from(KEYS), unique=True, max_size=3)
    for step in draw(st.lists(st.sampled_from("pppbbcm"), max_size=14)):
        if step == "p":
            told.park(draw(some))
        elif step == "b":
            told.batch(draw(st.sampled_from(KEYS)), draw(st.booleans()))
        elif step == "c":
            told.carry()
        else:
            told.merge(draw(st.lists(st.integers(0, 9), min_size=1, max_size=4)))
    return told


@given(stories())
def test_pieces_in_use_are_those_that_no_batch_holds(told: Told) -> None:
    pieces = told.view.pieces
    assert set(pieces.keys()) == set(told.used)
    for key, used in told.used.items():
        assert covers(told.spans(told.view, key), used)
        assert pieces.last(key) == used[-1][1]
        events = sum(last - first + 1 for first, last in used)
        assert sum(piece.events for piece in pieces.of(key)) == events
        assert pieces.shell(key).last == used[-1][1]
        assert told.view.mark(key) >= used[-1][1]
    assert pieces.events == sum(2 * len(used) for used in told.used.values())
    assert pieces.bytes == sum(p.length for key in KEYS for p in pieces.of(key))
    assert sum(each.rows_used for each in pieces.objects) == sum(len(pieces.of(k)) for k in KEYS)


@given(stories(), st.data())
def test_a_newcomer_who_reads_from_first_needed_has_the_same_pieces(
    told: Told, data: st.DataObject
) -> None:
    checkpoint = data.draw(st.integers(-1, told.at + 1))
    first = told.view.first_needed(checkpoint)
    newcomer = View(checkpoint, first)
    for entries in told.manifests[first:]:
        newcomer.apply(entries, told.indexes)
    for key in KEYS:
        assert newcomer.pieces.of(key) == told.view.pieces.of(key)
        assert newcomer.mark(key) == max(checkpoint, told.view.mark(key))
    assert newcomer.first_needed(checkpoint) == first


@given(stories())
def test_overdue_keys_are_those_with_a_piece_that_was_due(told: Told) -> None:
    for now in range(0, 10 * told.at + 1, 10):
        late = {key for key in KEYS if any(p.due_us <= now for p in told.view.pieces.of(key))}
        assert set(told.view.pieces.overdue(now)) == late


def test_what_is_listed_again_says_what_is_still_in_use() -> None:
    told = Told()
    told.park(KEYS)
    told.batch(KEYS[1], carry=False)
    (entry,) = told.view.pieces.listings(9)
    (index,) = told.indexes.values()
    assert [index.keys[row] for row in np.flatnonzero(unpack_used(entry, 3))] == [KEYS[0], KEYS[2]]


def test_old_listings_are_carried_a_bounded_number_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(view, "CARRY_AFTER", 4)
    monkeypatch.setattr(view, "CARRY_BYTES", 3 * view.ENTRY_BYTES)
    told = Told()
    for _ in range(9):
        told.park(KEYS[:1])
        carried = view.carried(told.view)
        assert len(carried) <= 3
        told.commit(*carried)
    assert told.view.next - told.view.first_needed(10**6) <= 9


@pytest.mark.parametrize("used", [[], [True], [False, True] * 40, [True] * 9 + [False]])
def test_used_rows_are_spelled_and_read_back(used: list[bool]) -> None:
    bits = np.array(used, np.bool_)
    text = pack_used(bits)
    entry = Entry("parked", "_parked", "_", 0, 0, 0, used=text)
    assert unpack_used(entry, len(used)).tolist() == used
    assert (text is None) == all(used)


def test_used_rows_that_do_not_fit_are_corrupt() -> None:
    for text in ("not it", pack_used(np.array([False] * 20))):
        with pytest.raises(CorruptObject):
            unpack_used(Entry("parked", "_parked", "_", 0, 0, 0, data="name", used=text), 5)


def test_an_index_that_is_none_is_corrupt() -> None:
    for raw in (b"", b"ARROW1 but cut"):
        with pytest.raises(CorruptObject, match=r"some\.index\.arrow"):
            read_index(raw, "some.chunks")


def test_an_index_keeps_names_and_states_whatever_is_in_them() -> None:
    told = Told()
    key = Key("vib", "press 1/axis β\t🙂")
    told.commit(told.write([piece(key, 3, 2**53, state=b"\x00\xff", due_us=2**52)]))
    (found,) = told.view.pieces.of(key)
    assert (found.last, found.state, found.due_us) == (2**53, b"\x00\xff", 2**52)
    assert told.manifests[0][0].due is None


def test_pieces_that_lie_close_together_are_read_at_once() -> None:
    def at(offset: int, length: int, data: str = "x") -> Piece:
        return piece(KEYS[0], 0, 0, offset=offset, length=length, data=data)

    near, far = at(10 + GAP_BYTES, 5), at(16 + 2 * GAP_BYTES, 5)
    large = at(21 + 2 * GAP_BYTES, READ_BYTES)
    found = spans([far, at(0, 10), near, at(0, 3, "y"), large])
    assert [(s.name, s.offset, s.end) for s in found] == [
        ("x", 0, near.offset + 5),
        ("x", far.offset, far.offset + 5),
        ("x", large.offset, large.offset + READ_BYTES),
        ("y", 0, 3),
    ]
