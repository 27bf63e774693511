"""What is new in buffers is what a walk finds that takes each number once, rising."""

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batching.chunk import encode_ignored, read
from batching.errors import CorruptBuffer, CorruptObject
from batching.fresh import Fresh, Held, fresh
from batching.names import Key
from batching.parking.objects import Piece
from batching.parking.reads import Parked

KEYS = [Key("s", "a"), Key("s", "b")]
Element = tuple[int, bytes]


def element(*numbers: int) -> Element:
    body = b"".join(encode_ignored(sequence_number=n, enqueued_ns=10 * n) for n in numbers)
    return 3, b"..." + body


def parked(key: Key, *numbers: int) -> Parked:
    begin, raw = element(*numbers)
    body = raw[begin:]
    span = numbers[0], numbers[-1], len(numbers)
    piece = Piece(key, *span, samples=0, due_us=0, state=b"", data="p", offset=7, length=len(body))
    return Parked(piece, memoryview(body))


def walk(held: Sequence[Held], marks: dict[Key, int]) -> Iterator[list[int]]:
    """Take one chunk after another, as PROTOCOL tells it."""
    marks = dict(marks)
    for each in held:
        taken = [number for piece in each.pieces for number in piece.numbers()]
        for begin, raw in each.elements:
            for chunk in read(raw[begin:]):
                if chunk.sequence_number > marks[each.key]:
                    taken.append(chunk.sequence_number)
                    marks[each.key] = chunk.sequence_number
        yield taken


def taken(found: Fresh, buffers: int) -> list[list[int]]:
    made: list[list[int]] = [[] for _ in range(buffers)]
    for i, which in enumerate(found.which):
        made[which] = [chunk.sequence_number for chunk in found.of(i)]
        assert made[which], "only buffers with something new are named"
    return made


numbers = st.lists(st.integers(0, 12), max_size=4)
rising = numbers.map(lambda found: sorted(set(found)))
elements = st.lists(st.one_of(rising, rising, numbers).map(lambda n: element(*n)), max_size=5)


@st.composite
def torn(draw: st.DrawFn) -> list[Element]:
    """Elements as scripts leave them, some of them pushed again by one that was torn."""
    ends = sorted(set(draw(st.lists(st.integers(1, 30), min_size=1, max_size=6))))
    whole = [element(*range(a, b)) for a, b in zip([0, *ends], ends, strict=False)]
    for at in draw(st.lists(st.integers(0, len(whole) - 1), max_size=2)):
        whole.insert(draw(st.integers(at + 1, len(whole))), whole[at])
    return whole


buffers = st.lists(
    st.builds(Held, st.sampled_from(KEYS), st.one_of(elements, torn()), st.just(())), max_size=5
)
marks = st.fixed_dictionaries(dict.fromkeys(KEYS, st.integers(-1, 8)))


@given(buffers, marks, st.data())
def test_each_number_above_the_mark_is_taken_once_and_rising(
    held: list[Held], marked: dict[Key, int], data: st.DataObject
) -> None:
    for i, each in enumerate(held):
        parts = data.draw(st.lists(rising.filter(bool), max_size=2))
        held[i] = each._replace(pieces=[parked(each.key, *part) for part in parts])
    found = fresh(held, marked.__getitem__)
    wanted = list(walk(held, marked))
    assert taken(found, len(held)) == wanted
    for i, raw in enumerate(found.raw()):
        assert [c.sequence_number for part in raw for c in read(part)] == [
            c.sequence_number for c in found.of(i)
        ]
    assert [total["events"] for total in found.totals()] == [len(w) for w in wanted if w]
    assert [(t["first"], t["last"]) for t in found.totals()] == [(w[0], w[-1]) for w in wanted if w]
    assert [t["opened"] for t in found.totals()] == [10 * w[0] for w in wanted if w]


@given(buffers, marks, st.data())
def test_some_of_the_buffers_are_as_they_were(
    held: list[Held], marked: dict[Key, int], data: st.DataObject
) -> None:
    found = fresh(held, marked.__getitem__)
    chosen = [i for i in range(len(found.which)) if data.draw(st.booleans())]
    some = found.only(chosen)
    both = taken(found, len(held)), taken(some, len(held))
    assert list(some.which) == [found.which[i] for i in chosen]
    assert all(both[0][which] == both[1][which] for which in some.which)


def test_what_a_buffer_holds_twice_within_one_element_is_taken_once() -> None:
    held = [Held(KEYS[0], [element(1, 2, 2, 1, 3)]), Held(KEYS[0], [element(2, 3, 4)])]
    assert taken(fresh(held, lambda _: 0), 2) == [[1, 2, 3], [4]]


def test_encoded_chunks_that_lie_side_by_side_are_one_piece() -> None:
    held = [Held(KEYS[0], [element(1, 2), element(3)]), Held(KEYS[1], [element(4, 5, 5, 6, 7)])]
    sizes = [[len(part) for part in raw] for raw in fresh(held, lambda _: 0).raw()]
    one = len(encode_ignored(sequence_number=1, enqueued_ns=10))
    assert sizes == [[2 * one, one], [2 * one, 2 * one]]
    assert fresh([], lambda _: 0).raw() == []


def test_nothing_at_all_is_nothing_new() -> None:
    assert fresh([], lambda _: 0).totals() == []
    assert fresh([Held(KEYS[0], [element(1), element()])], lambda _: 1).which == []


def test_an_element_that_cannot_be_read_is_refused_wherever_it_lies() -> None:
    held = [Held(KEYS[0], [(1, b"no chunk"), element(4)])]
    with pytest.raises(CorruptBuffer, match="cut off"):
        fresh(held, lambda _: 3)


def test_a_parked_piece_that_cannot_be_read_is_named() -> None:
    piece = parked(KEYS[0], 1, 2)
    broken = Parked(piece.piece, piece.content[:-1])
    with pytest.raises(CorruptObject, match="p, at byte 7: a chunk in the buffer is cut off"):
        fresh([Held(KEYS[0], [element(3)], [broken])], lambda _: 2)


@pytest.mark.parametrize("numbers", [(1,), (1, 3), (0, 2), (1, 1, 2), ()])
def test_a_parked_piece_that_is_not_what_its_index_says_is_named(numbers: tuple[int, ...]) -> None:
    begin, raw = element(*numbers)
    body = raw[begin:]
    wrong = Parked(parked(KEYS[0], 1, 2).piece, memoryview(body))
    with pytest.raises(CorruptObject, match=rf"2 events 1 to 2, it holds {len(numbers)}"):
        fresh([Held(KEYS[0], [element(3)], [wrong])], lambda _: 2)
