"""What the owner believes of its open buffers, and how a flush of events becomes groups.

Redis keeps each state as opaque bytes; the owner reads them at attach and from then on knows
them, since it alone appends. Where another owner was at work, the script notices that a belief
is wrong and seals the buffer: a batch may be smaller than asked, never wrong.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from batching.model import Element, SealReason
from batching.names import Key
from batching.policy import NEVER_NS, Arrival, BatchState, SealPolicy, decide
from batching.ports import Group, OpenBuffer, Shell

NEVER_US = 2**52  # a sorted set's double holds it exactly; the year 2112 in microseconds


@dataclass(slots=True)
class _Draft:
    """A group while its events are gathered."""

    key: Key
    believed: int
    policy: SealPolicy
    seal_before: SealReason | None
    first: int
    last: int
    state: BatchState
    bodies: list[bytes]
    events: int = 1
    seal_after: SealReason | None = None

    def add(self, number: int, body: bytes, state: BatchState) -> None:
        if number != self.last:
            self.events += 1
            self.last = number
        self.state = state
        self.bodies.append(body)

    def group(self) -> Group:
        return Group(
            self.key,
            self.events,
            self.first,
            self.last,
            b"".join(self.bodies),
            self.believed,
            self.state.pack(),
            due_us(self.state.due_ns),
            self.seal_before,
            self.seal_after,
        )


@dataclass(frozen=True, slots=True)
class Planned:
    """Groups of one append, and what holds once Redis has taken them."""

    groups: tuple[Group, ...]
    open: dict[Key, tuple[int, BatchState] | None]  # None: sealed
    sealed: int
    late: tuple[int, ...]  # due times of batches that an event found overdue


def due_us(due_ns: int) -> int:
    """Microseconds in which a due time lies, rounded up, so that none is early."""
    return NEVER_US if due_ns == NEVER_NS else -(-due_ns // 1_000)


class States:
    """Events and policy state of each open buffer of one partition."""

    def __init__(self, policy: Callable[[Key], SealPolicy]) -> None:
        self._policy = policy
        self._open: dict[Key, tuple[int, BatchState]] = {}
        self._open_bytes = 0  # kept beside: there may be a million of them
        self._due: list[int] = []  # a heap of due times, some of buffers long sealed

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, key: Key) -> bool:
        return key in self._open

    def open_bytes(self) -> int:
        """Encoded bytes in open buffers."""
        return self._open_bytes

    def batches(self) -> Iterator[tuple[Key, BatchState]]:
        """List open buffers and what their triggers count."""
        return ((key, state) for key, (_, state) in self._open.items())

    def reset(self, found: Iterable[OpenBuffer]) -> None:
        """Believe what Redis says."""
        self._open = {b.key: (b.events, BatchState.unpack(b.state)) for b in found}
        self._open_bytes = sum(state.size_bytes for _, state in self._open.values())
        held = (state.due_ns for _, state in self._open.values())
        self._due = [due for due in held if due != NEVER_NS]
        heapq.heapify(self._due)

    def next_due_ns(self) -> int | None:
        """Give the earliest due time, perhaps of a buffer that is sealed already."""
        return self._due[0] if self._due else None

    def believe_due(self, next_due_us: int | None) -> None:
        """Drop due times before the next one that Redis knows of."""
        limit = NEVER_NS if next_due_us is None else (next_due_us - 1) * 1_000
        while self._due and self._due[0] < limit:
            heapq.heappop(self._due)

    def drop(self, keys: Iterable[Key]) -> None:
        """Forget buffers that were sealed."""
        for key in keys:
            self._replace(key, None)

    def believe(self, shells: Iterable[Shell]) -> None:
        """Take note of buffers that were opened without content."""
        for shell in shells:
            self._replace(shell.key, (shell.events, BatchState.unpack(shell.state)))
            heapq.heappush(self._due, shell.due_us * 1_000)

    def plan(self, elements: Sequence[Element]) -> Planned:
        """Decide where batches end and lay the elements out in groups; changes nothing."""
        drafts: list[_Draft] = []
        writing: dict[Key, _Draft | None] = {}  # None: sealed by this very plan
        late: list[int] = []
        state: BatchState | None
        for key, number, enqueued_ns, samples, body in elements:
            draft = writing.get(key)
            believed, state = 0, None
            if draft is not None:
                state, policy = draft.state, draft.policy
            else:
                policy = self._policy(key)
                if key not in writing and (held := self._open.get(key)) is not None:
                    believed, state = held
            arrival = Arrival(samples, len(body), enqueued_ns)
            before, after_state, after = decide(state, arrival, policy)
            if before is not None:
                if before is SealReason.MAX_AGE and state is not None:
                    late.append(state.due_ns)
                believed = 0
                if draft is not None:
                    draft.seal_after, draft, before = before, None, None
            if draft is None:
                draft = _Draft(key, believed, policy, before, number, number, after_state, [body])
                drafts.append(draft)
                writing[key] = draft
            else:
                draft.add(number, body, after_state)
            if after is not None:
                draft.seal_after, writing[key] = after, None
        sealed = sum((d.seal_before is not None) + (d.seal_after is not None) for d in drafts)
        return Planned(
            tuple(draft.group() for draft in drafts),
            {key: _left_open(draft) for key, draft in writing.items()},
            sealed,
            tuple(late),
        )

    def keep(self, planned: Planned, resynced: Iterable[Key]) -> None:
        """Believe the plan, now that Redis has taken it, but for buffers it had to seal."""
        for key, held in planned.open.items():
            before = self._replace(key, held)
            if held is None:
                continue
            due = held[1].due_ns
            if due != NEVER_NS and (before is None or before[1].due_ns != due):
                heapq.heappush(self._due, due)
        self.drop(resynced)

    def _replace(
        self, key: Key, held: tuple[int, BatchState] | None
    ) -> tuple[int, BatchState] | None:
        """Believe something else of one buffer; give what was believed before."""
        before = self._open.pop(key, None)
        if before is not None:
            self._open_bytes -= before[1].size_bytes
        if held is not None:
            self._open[key] = held
            self._open_bytes += held[1].size_bytes
        return before


def _left_open(draft: _Draft | None) -> tuple[int, BatchState] | None:
    return None if draft is None else (draft.believed + draft.events, draft.state)
