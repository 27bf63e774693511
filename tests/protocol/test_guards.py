"""Each guard has a reason: without it, some random schedule breaks the promise."""

import pytest

from tests.protocol.guards import GUARDS, guard, without
from tests.protocol.simulate import simulate

ENOUGH = 100  # seeds in which a guard must be missed
MISSED = (
    "gap", "believed", "release checks", "restore checks", "park stops", "stop both", "ack last",
    "order", "overlap", "rising", "pieces", "mark with c", "create-only log", "data first",
    "nonce", "checkpoint", "trim batches", "trim parked", "names carry store", "own T",
    "store check", "wipe", "undispatched", "in flight", "create-only runs", "create-only results",
    "redrive", "cap from the store", "settled", "vector", "receipt",
    "behind,rising", "attach keeps w,rising", "restore,overdue",
)  # fmt: skip


@pytest.mark.parametrize("names", MISSED)
def test_a_guard_is_missed_when_it_is_removed(names: str) -> None:
    for seed in range(ENOUGH):
        if simulate([seed], names.split(",")).failures:
            return
    pytest.fail(f"{ENOUGH} seeds do not need {names}")


def test_a_guard_is_back_in_force_afterwards() -> None:
    with without("gap"):
        assert not guard("gap")
    assert all(guard(name) for name in GUARDS)


def test_a_guard_that_does_not_exist_cannot_be_removed() -> None:
    with pytest.raises(KeyError, match="no such guard: gasp"), without("gasp"):
        pass
