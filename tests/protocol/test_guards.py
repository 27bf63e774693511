"""Each guard has a reason: without it, some schedule breaks the promise."""

import os
import sys

import pytest

from tests.protocol import (
    test_parking_scenarios,
    test_retry_scenarios,
    test_scenarios,
    test_source_scenarios,
    test_store_scenarios,
)
from tests.protocol.guards import GUARDS, guard, without
from tests.protocol.simulate import mutations, row, simulate

SEEDS = range(40)
MISSED = (  # by some of these seeds
    "gap", "believed", "release checks", "restore checks", "park stops", "stop both", "ack last",
    "release last", "order", "overlap", "rising", "pieces", "mark with c", "create-only log",
    "data first", "nonce", "checkpoint", "trim batches", "trim parked", "names carry store",
    "own T", "store check", "wipe", "undispatched", "in flight", "create-only runs",
    "create-only results", "drive", "cap from the store", "settled", "vector", "receipt",
    "own end", "asked stays", "gap received", "rest of slice", "drain", "behind,rising",
    "attach keeps w,rising",
    "restore,overdue",
)  # fmt: skip
BY_HAND = {
    name: scenario
    for module in (
        test_scenarios, test_parking_scenarios, test_source_scenarios, test_store_scenarios,
        test_retry_scenarios,
    )
    for scenario in module.SCENARIOS
    for name in scenario.needs
}  # fmt: skip
ECONOMY = {
    "skip": "durable events are kept in Redis, and dropped at the commit",
    "forget": "durable buffers are kept in Redis, and dropped at the commit",
    "carry": "an attach reads more manifests",
    "acked before low": "an attach for nothing",
    "same shell": "a batch of another size than its policy asks for",
    "drop states": "more buffers are sealed as `resync`",
    "end checks": "one more attempt, which finds the result",
    "name": "a second run, which finds the result",
    "record id": "names carry the store",
}


@pytest.mark.parametrize("names", MISSED)
def test_a_guard_is_missed_when_it_is_removed(names: str) -> None:
    for seed in SEEDS:
        if simulate([seed], names.split(",")).failures:
            return
    pytest.fail(f"{len(SEEDS)} seeds do not need {names}")


@pytest.mark.slow
@pytest.mark.long
def test_the_table_of_guards() -> None:
    """Prints the table of docs/explanation/protocol.md (pytest -s)."""
    names = [name for name in GUARDS if name not in MISSED] + list(MISSED)
    unmissed = []
    for name, outcome in mutations(SEEDS, names, os.cpu_count() or 1):
        sys.stdout.write(row(name, outcome) + "\n")
        if name in MISSED and not outcome.failures:
            unmissed.append(name)
    assert not unmissed


def test_each_guard_is_shown_to_be_needed_or_named_as_economy() -> None:
    missed = {name for names in MISSED for name in names.split(",")}
    assert [name for name in GUARDS if name not in {*missed, *BY_HAND, *ECONOMY}] == []
    assert [name for name in ECONOMY if name in missed or name in BY_HAND] == []


def test_a_guard_is_back_in_force_afterwards() -> None:
    with without("gap"):
        assert not guard("gap")
    assert all(guard(name) for name in GUARDS)


def test_a_guard_that_does_not_exist_cannot_be_removed() -> None:
    with pytest.raises(KeyError, match="no such guard: gasp"), without("gasp"):
        pass
