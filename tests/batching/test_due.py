"""Due times against a program that one can read: all open keys, sorted."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from batching import due
from batching.due import SPAN_BITS, DueTimes
from batching.names import Key

KEYS = [Key("s", name) for name in "abcdefgh"]
SPAN = 2**SPAN_BITS
times = st.none() | st.integers(0, 40).map(lambda n: n * SPAN // 4)


class Times(RuleBasedStateMachine):
    """Buffers are opened, sealed and opened again, late or early, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: dict[Key, int | None] = {}
        self.times = DueTimes(self.open.get)

    @rule(key=st.sampled_from(KEYS), at_ns=times)
    def opens(self, key: Key, at_ns: int | None) -> None:
        self.open[key] = at_ns
        self.times.add(key)

    @rule(key=st.sampled_from(KEYS))
    def seals(self, key: Key) -> None:
        self.open.pop(key, None)

    @rule()
    def gathers(self) -> None:
        self.times.reset(self.open)

    @rule(horizon=st.integers(0, 44).map(lambda n: n * SPAN // 4), limit=st.integers(0, 5))
    def takes(self, horizon: int, limit: int) -> None:
        known = {key: at_ns for key, at_ns in self.open.items() if at_ns is not None}
        late = sorted((at_ns, key) for key, at_ns in known.items() if at_ns <= horizon)[:limit]
        taken = self.times.take(horizon, limit)
        assert [(at_ns, key) for key, at_ns in taken] == late
        for key, _ in taken:
            del self.open[key]

    @invariant()
    def tells_the_first(self) -> None:
        known = (at_ns for at_ns in self.open.values() if at_ns is not None)
        assert self.times.first_ns() == min(known, default=None)


TestTimes = Times.TestCase


def test_what_was_sealed_otherwise_is_not_kept_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(due, "SLACK", 10)
    open_: dict[Key, int | None] = {}
    times = DueTimes(open_.get)
    most = 0
    for number in range(500):
        open_[KEYS[0]] = (1_000 + number) * SPAN
        times.add(KEYS[0])
        most = max(most, times._entries)
        if times.crowded(len(open_)):
            times.reset(open_)
    assert most <= 10 + 2 + 1
    assert times.first_ns() == 1_499 * SPAN
