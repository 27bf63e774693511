"""The owner's side of sealing: cached states, and groups cut where the policy says so."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random

from tests.protocol.objects import Key
from tests.protocol.redis_model import Group

State = tuple[int, int, int]  # items, events counted, due


@dataclass
class Draft:
    """A group while it grows."""

    key: Key
    believed: int
    seal_before: bool
    state: int
    due: int
    events: list[int] = field(default_factory=list)
    seal_after: bool = False

    def group(self) -> Group:
        events = tuple(self.events)
        return Group(
            self.key,
            self.believed,
            self.seal_before,
            events,
            self.seal_after,
            self.state,
            self.due,
        )


@dataclass
class Plan:
    groups: list[Group]
    states: dict[Key, State | None]


class Policy:
    """Seals at `max_events`, and now and then at will, since no decision may break anything."""

    def __init__(self, rnd: Random, max_events: int, patience: Callable[[Key], int]) -> None:
        self.rnd, self.max_events, self.patience = rnd, max_events, patience
        self.states: dict[Key, State] = {}

    def plan(self, elements: Iterable[tuple[int, Key]]) -> Plan:
        drafts: list[Draft] = []
        growing: dict[Key, Draft] = {}
        states: dict[Key, State | None] = {}
        for number, key in elements:
            state = states[key] if key in states else self.states.get(key)
            before = state is not None and self.rnd.random() < 0.07
            if before or key not in growing:
                growing[key] = self._draft(key, state, before=before)
                drafts.append(growing[key])
            draft = growing[key]
            draft.events.append(number)
            draft.state += 1
            draft.seal_after = draft.state >= self.max_events or self.rnd.random() < 0.03
            left = (draft.believed + 1, draft.state, draft.due)
            states[key] = None if draft.seal_after else left
            if draft.seal_after:
                del growing[key]
        return Plan([draft.group() for draft in drafts], states)

    def _draft(self, key: Key, state: State | None, *, before: bool) -> Draft:
        if before or state is None:
            return Draft(key, 0, before, 0, self.patience(key))
        return Draft(key, state[0], False, state[1], state[2])

    def released(self, left: dict[Key, int]) -> None:
        """Take note of how many items buffers have after some left."""
        for key, items in left.items():
            if key in self.states:
                self.states[key] = (items, *self.states[key][1:])

    def follow(self, plan: Plan, wrong: Iterable[Key]) -> None:
        """Take note of what Redis has now; what it sealed as wrongly believed is gone."""
        for key, state in plan.states.items():
            if state is None or key in wrong:
                self.states.pop(key, None)
            else:
                self.states[key] = state
