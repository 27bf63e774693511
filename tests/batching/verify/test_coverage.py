from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batching.verify import coverage
from batching.verify.coverage import Coverage

numbers = st.lists(st.lists(st.integers(-3, 60), max_size=12), max_size=8)


@pytest.fixture(autouse=True, scope="module")
def _small_blocks() -> Iterator[None]:
    """Blocks of eight numbers, so that there are many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coverage, "BLOCK", 8)
        yield


def gaps(missing: set[int]) -> list[tuple[int, int]]:
    """Give a set's runs as [first, last] pairs."""
    firsts = sorted(n for n in missing if n - 1 not in missing)
    lasts = sorted(n for n in missing if n + 1 not in missing)
    return list(zip(firsts, lasts, strict=True))


@given(numbers, st.integers(0, 5), st.integers(-1, 70), st.integers(-1, 70))
def test_it_says_what_a_set_would_say(
    calls: list[list[int]], start: int, upto: int, beyond: int
) -> None:
    covered, seen = Coverage(start), set()
    for call in calls:
        covered.add(np.array(call, np.int64))
        seen |= {number for number in call if number >= start}
    assert list(covered.missing(upto)) == gaps(set(range(start, upto + 1)) - seen)
    assert covered.count() == len(seen)
    assert covered.count(beyond) == len({number for number in seen if number > beyond})
    assert covered.highest == max(seen, default=start - 1)


def test_numbers_in_order_leave_nothing_in_memory() -> None:
    covered = Coverage(3)
    for first in range(3, 8_003, 80):
        covered.add(np.arange(first, first + 80))
        assert len(covered._open) + len(covered._full) <= 1
    assert covered.count() == 8_000
