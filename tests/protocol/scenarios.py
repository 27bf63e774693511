"""Schedules by hand, and the guards that each of them needs."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.protocol.guards import without


@dataclass(frozen=True)
class Scenario:
    """A schedule that holds, and breaks without these guards."""

    needs: tuple[str, ...]
    play: Callable[[], None]
    removed: tuple[str, ...] = ()  # taken away in both cases

    def check(self) -> None:
        with without(*self.removed):
            self.play()
        with without(*self.removed, *self.needs), pytest.raises(AssertionError):
            self.play()


def name(scenario: Scenario) -> str:
    return ",".join(scenario.needs)
