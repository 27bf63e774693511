"""Numbers in no batch are ignored, lost or missing; each once, and lost only where it must be."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from batching.verify.gaps import Ignored, split, union

HIGHEST = 30
spans = st.tuples(st.integers(0, HIGHEST), st.integers(0, HIGHEST)).map(
    lambda pair: (min(pair), max(pair))
)


def numbers(found: list[tuple[int, int]]) -> list[int]:
    return [number for first, last in found for number in range(first, last + 1)]


@given(st.lists(spans))
def test_a_union_holds_each_number_once_and_its_parts_do_not_touch(given_spans: list) -> None:
    joined = union(given_spans)
    assert numbers(joined) == sorted(set(numbers(given_spans)))
    assert all(one[1] + 1 < other[0] for one, other in pairwise(joined))


@given(st.lists(spans), st.lists(spans))
def test_a_split_loses_no_number_and_keeps_their_order(gaps: list, by: list) -> None:
    outside, inside = split(union(gaps), union(by))
    wanted, others = set(numbers(gaps)), set(numbers(by))
    assert numbers(outside) == sorted(wanted - others)
    assert numbers(inside) == sorted(wanted & others)


def test_ignored_events_fill_what_is_outside_the_lost_first() -> None:
    ignored = Ignored()
    ignored.add(5, 25, 12)
    outside, inside = split([(5, 25)], [(10, 19)])
    assert list(ignored.fill(outside)) == []
    assert [gap.said for gap in ignored.fill(inside)] == ["9 of the numbers 10 to 19"]
    assert next(iter(ignored.fill([(5, 25)]))).left == 21


@given(st.lists(spans, min_size=1), st.integers(0, 60))
def test_ignored_events_are_used_once(given_spans: list, events: int) -> None:
    ignored = Ignored()
    ignored.add(0, HIGHEST, events)
    gaps = union(given_spans)
    total = len(numbers(gaps))
    left = sum(gap.left for gap in ignored.fill(gaps))
    assert left == max(0, total - events)
    assert sum(gap.left for gap in ignored.fill(gaps)) == max(0, total - max(0, events - total))
