from random import Random

from hypothesis import given
from hypothesis import strategies as st

from ingest.ownership.fair_share import wish

OWNERS = st.dictionaries(
    st.integers(0, 31).map(str), st.sampled_from(["", "a", "b", "c", "d", "e"]), max_size=32
)


def test_the_only_instance_takes_everything() -> None:
    wished = wish({"0": "", "1": "", "2": "me"}, "me", Random(1))
    assert wished == (frozenset("2"), frozenset("01"), frozenset())


def test_a_newcomer_steals_one_from_the_fullest() -> None:
    owners = {"0": "a", "1": "a", "2": "a", "3": "b", "4": "b"}
    wished = wish(owners, "me", Random(1))
    assert len(wished.steal) == 1
    assert wished.steal <= {"0", "1", "2"}


def test_a_share_that_is_one_smaller_is_fair() -> None:
    assert not wish({"0": "a", "1": "a", "2": "me"}, "me", Random(1)).steal
    assert not wish({"0": "a"}, "me", Random(1)).steal


def test_a_larger_share_is_left_to_others_once_all_of_them_are_taken() -> None:
    owners = dict(zip("0123456", ["a", "a", "a", "b", "me", "me", ""], strict=True))
    assert not wish(owners, "me", Random(1)).take
    assert wish(owners, "b", Random(1)).take == {"6"}


@given(OWNERS, st.integers())
def test_wishes_are_modest(owners: dict[str, str], seed: int) -> None:
    wished = wish(owners, "a", Random(seed))
    assert wished.keep == {partition for partition, owner in owners.items() if owner == "a"}
    assert all(owners[partition] == "" for partition in wished.take)
    live = {owner for owner in owners.values() if owner} | {"a"}
    largest = -(-len(owners) // len(live))
    assert len(wished.keep | wished.take) <= max(largest, len(wished.keep))
    assert len(wished.steal) <= 1
    assert all(owners[partition] not in ("", "a") for partition in wished.steal)


@given(OWNERS, st.integers())
def test_whoever_steals_ends_with_no_more_than_the_victim(
    owners: dict[str, str], seed: int
) -> None:
    wished = wish(owners, "a", Random(seed))
    for partition in wished.steal:
        victims = sum(owner == owners[partition] for owner in owners.values())
        assert len(wished.keep | wished.take) + 1 <= victims - 1


FAMILY = ("one.0", "one.1", "one.2")


def test_those_who_start_together_take_different_partitions_at_once() -> None:
    owners = {str(n): "" for n in range(8)}
    taken = [wish(owners, name, Random(1), FAMILY).take for name in FAMILY]
    assert sorted(map(len, taken)) == [2, 3, 3]
    assert frozenset().union(*taken) == set(owners)
    assert "0" in taken[0]


def test_a_late_sibling_finds_its_share_free() -> None:
    first = wish({str(n): "" for n in range(4)}, "one.0", Random(1), FAMILY[:2])
    owners = {str(n): "one.0" if str(n) in first.take else "" for n in range(4)}
    again = wish(owners, "one.0", Random(2), FAMILY[:2])
    assert again == (first.take, frozenset(), frozenset())
    assert len(wish(owners, "one.1", Random(3), FAMILY[:2]).take) == 2


@given(OWNERS, st.integers(), st.integers(1, 6))
def test_wishes_of_siblings_are_modest(owners: dict[str, str], seed: int, workers: int) -> None:
    family = tuple("abcdef"[:workers])
    wished = wish(owners, "a", Random(seed), family)
    live = {owner for owner in owners.values() if owner} | set(family)
    largest = -(-len(owners) // len(live))
    assert len(wished.keep | wished.take) <= max(largest, len(wished.keep))
    assert all(owners[partition] == "" for partition in wished.take)
    assert len(wished.steal) <= 1
