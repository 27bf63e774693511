"""The decision by itself: what is sealed when too much is held, and when the intake waits."""

from dataclasses import dataclass, field

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from batching.errors import SettingError
from batching.limits.pressure import (
    BATCH_BYTES,
    LOW,
    Amount,
    Bounds,
    Limit,
    Open,
    binding,
    chosen,
    relievable,
    strained,
    within,
)
from batching.names import Key

sizes = st.integers(0, 300)
bounds = st.builds(
    Bounds, st.integers(1, 1_000), st.integers(1, 40), st.just(1), st.integers(1, 1_000)
)
amounts = st.builds(Amount, st.integers(0, 1_500), st.integers(0, 50))


@st.composite
def batches(draw: st.DrawFn) -> list[Open]:
    found = draw(st.lists(st.tuples(st.sampled_from("01"), sizes, st.integers(0, 9)), max_size=40))
    return [Open(p, Key("s", str(n)), size, at) for n, (p, size, at) in enumerate(found)]


def amount(found: list[Open]) -> Amount:
    return Amount(sum(each.size_bytes for each in found), len(found))


@given(found=batches(), wanted=amounts, limits=bounds)
def test_what_stays_open_leaves_room_for_what_comes(
    found: list[Open], wanted: Amount, limits: Bounds
) -> None:
    sealing = chosen(found, wanted, limits)
    assert len(sealing) == len(set(sealing))
    rest = [each for each in found if each not in set(sealing)]
    left = amount(rest)
    assert (
        not rest
        or left.batches + wanted.batches <= LOW * limits.open_sensors
        or not any(each.size_bytes for each in rest)
    )
    heavy = any(each.size_bytes for each in rest)
    assert not heavy or left.size_bytes + wanted.size_bytes <= LOW * limits.open_bytes


@given(found=batches(), wanted=amounts, limits=bounds)
def test_nothing_is_sealed_for_nothing(found: list[Open], wanted: Amount, limits: Bounds) -> None:
    """Without the last one sealed, what stays open would still be too much."""
    sealing = chosen(found, wanted, limits)
    if not relievable(amount(found).plus(wanted), limits):
        assert not sealing
    if sealing:
        rest = [each for each in found if each not in set(sealing)] + [sealing[-1]]
        assert relievable(amount(rest).plus(wanted).plus(Amount(1, 1)), limits)


@given(found=batches(), wanted=st.integers(0, 1_500), limit=st.integers(1, 1_000))
def test_the_largest_go_first_when_bytes_are_short(
    found: list[Open], wanted: int, limit: int
) -> None:
    sealing = chosen(found, Amount(wanted, 0), Bounds(limit, 10**9, 1))
    kept = [each.size_bytes for each in found if each not in set(sealing)]
    assert all(each.size_bytes >= max(kept, default=0) for each in sealing)


@given(found=batches(), wanted=st.integers(0, 50), limit=st.integers(1, 40))
def test_the_oldest_go_first_when_there_are_too_many(
    found: list[Open], wanted: int, limit: int
) -> None:
    sealing = chosen(found, Amount(0, wanted), Bounds(10**9, limit, 1))
    kept = [each.opened_ns for each in found if each not in set(sealing)]
    assert all(each.opened_ns <= min(kept, default=10) for each in sealing)


@dataclass
class Process:
    """What one process holds, with a store that commits when it likes."""

    limits: Bounds
    open: dict[str, int] = field(default_factory=dict)
    sealed: list[int] = field(default_factory=list)

    def held(self) -> Amount:
        return Amount(sum(self.open.values()) + sum(self.sealed), len(self.open) + len(self.sealed))

    def relieve(self, wanted: Amount) -> None:
        if strained(self.held().plus(wanted), self.limits):
            found = [Open("0", Key("s", s), size, 0) for s, size in self.open.items()]
            for each in chosen(found, wanted, self.limits):
                self.sealed.append(self.open.pop(each.key.sensor))

    def append(self, sensor: str, size: int) -> bool:
        self.relieve(Amount(size, sensor not in self.open))
        wanted = Amount(size, sensor not in self.open)  # it may have been sealed just now
        waiting = Amount(sum(self.sealed), len(self.sealed))
        if binding(self.held(), waiting, wanted, self.limits) is not None:
            return False
        self.open[sensor] = self.open.get(sensor, 0) + size
        return True


@settings(max_examples=300)
@given(
    events=st.lists(st.tuples(st.integers(0, 30).map(str), st.integers(1, 400)), max_size=80),
    commits=st.lists(st.integers(0, 3), max_size=80),
    limits=bounds,
)
def test_everything_comes_in_at_last_and_no_more_is_held_than_may_be(
    events: list[tuple[str, int]], commits: list[int], limits: Bounds
) -> None:
    process = Process(limits)
    for at, (sensor, size) in enumerate(events):
        del process.sealed[: commits[at] if at < len(commits) else 0]
        tries = 0
        while not process.append(sensor, size):
            assert process.sealed, "the intake waits, and no commit will ever make room"
            process.sealed.pop(0)
            tries += 1
            assert tries <= len(events) + 1
        held = process.held()
        alone = held.batches == 1 and size > limits.open_bytes
        assert held.size_bytes <= limits.open_bytes or alone
        assert held.batches <= limits.open_sensors


def test_what_is_larger_than_everything_comes_when_nothing_else_is_there() -> None:
    limits, none = Bounds(10, 10, 10), Amount()
    assert binding(Amount(), none, Amount(99, 1), limits) is None
    assert binding(Amount(1, 1), none, Amount(99, 1), limits) is Limit.OPEN_BYTES
    assert binding(Amount(1, 10), none, Amount(1, 1), limits) is Limit.OPEN_SENSORS
    assert binding(Amount(1, 10), none, Amount(9, 0), limits) is None


def test_nothing_comes_while_more_is_sealed_than_may_wait() -> None:
    limits = Bounds(sealed_bytes=10)
    assert binding(Amount(50, 2), Amount(10, 1), Amount(1, 1), limits) is None
    assert binding(Amount(50, 2), Amount(11, 1), Amount(1, 1), limits) is Limit.SEALED_BYTES


def test_bounds_are_lowered_to_what_redis_has() -> None:
    limits = Bounds(1_000_000, 1_000, 10)
    assert within(limits, None) == limits
    assert within(limits, 2**40) == limits
    small = within(limits, 1_000_000)
    assert small == Bounds(500_000, 1_000_000 // 4 // BATCH_BYTES, 10)


@pytest.mark.parametrize("name", ["open_bytes", "open_sensors", "in_flight_events", "sealed_bytes"])
def test_a_bound_of_nothing_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(SettingError, match=f"limits.{name}"):
        Bounds(**{name: 0})
