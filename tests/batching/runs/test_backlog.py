"""What a run takes of a backlog: whole manifests, oldest first, over a limit by one at most."""

from hypothesis import given
from hypothesis import strategies as st

from batching.runs.backlog import Backlog, Waiting

Line = list[tuple[int, int, int]]
lines = st.dictionaries(
    st.sampled_from("012"),
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 50), st.integers(0, 9)), max_size=12),
    min_size=1,
)


def backlog(made: dict[str, Line], start: int = 3) -> Backlog:
    """Lines of (batches, bytes, since) per partition, from manifest `start` on."""
    filled = Backlog(list(made))
    filled.move(dict.fromkeys(made, start))
    for partition, line in made.items():
        for batches, size_bytes, since_ns in line:
            n = filled.next(partition)
            filled.add(partition, Waiting(n, batches, size_bytes, since_ns))
    return filled


@given(lines, st.integers(1, 12), st.integers(1, 120))
def test_a_share_stays_within_its_limits_but_for_its_last_manifest(
    made: dict[str, Line], at_most_batches: int, at_most_bytes: int
) -> None:
    share = backlog(made).take(at_most_batches, at_most_bytes)
    taken = [item for p, line in made.items() for item in line[: share.to[p] - 3]]
    assert share.batches == sum(batches for batches, _, _ in taken)
    assert share.size_bytes == sum(size_bytes for _, size_bytes, _ in taken)
    largest = max((batches for batches, _, _ in taken), default=0)
    biggest = max((size_bytes for _, size_bytes, _ in taken), default=0)
    assert share.batches < at_most_batches + largest or not share.batches
    empty_bytes = sum(size_bytes for batches, size_bytes, _ in taken if not batches)
    assert share.size_bytes - empty_bytes < at_most_bytes + biggest or not share.batches


@given(lines, st.integers(1, 12))
def test_shares_one_after_another_cover_everything_once(
    made: dict[str, Line], at_most_batches: int
) -> None:
    filled = backlog(made)
    total = filled.batches
    handed_out = 0
    while filled.batches:
        share = filled.take(at_most_batches, 10**9)
        assert share.batches
        before = dict(filled.vector)
        filled.move(share.to)
        assert all(filled.vector[p] >= n for p, n in before.items())
        handed_out += share.batches
    assert handed_out == total
    assert filled.since_ns is None


@given(lines)
def test_the_age_of_a_backlog_is_that_of_its_first_batch_that_waits(made: dict[str, Line]) -> None:
    firsts = [next((since for b, _, since in line if b), None) for line in made.values()]
    expected = min((since for since in firsts if since is not None), default=None)
    assert backlog(made).since_ns == expected


def test_a_line_that_was_never_read_does_not_hold_back_the_others() -> None:
    filled = backlog({"0": [(1, 10, 5)], "1": []})
    assert filled.take(1, 1).to == {"0": 4, "1": 3}
