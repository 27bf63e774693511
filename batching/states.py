"""What the owner believes of its open buffers, and how a flush of events becomes groups.

Redis keeps each state as opaque bytes; the owner reads them at attach and from then on knows
them, since it alone appends. Where another owner was at work, the script notices that a belief
is wrong and seals the buffer: a batch may be smaller than asked, never wrong.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

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
    state: BatchState
    seal_before: SealReason | None
    seal_after: SealReason | None = None
    first: int = -1
    last: int = -1
    events: int = 0
    bodies: list[bytes] = field(default_factory=list)

    def add(self, element: Element, state: BatchState) -> None:
        if not self.bodies:
            self.first = element.sequence_number
        if element.sequence_number != self.last:
            self.events += 1
        self.last, self.state = element.sequence_number, state
        self.bodies.append(element.body)

    def group(self) -> Group:
        return Group(
            key=self.key,
            events=self.events,
            first=self.first,
            last=self.last,
            body=b"".join(self.bodies),
            believed=self.believed,
            state=self.state.pack(),
            due_us=due_us(self.state.due_ns),
            seal_before=self.seal_before,
            seal_after=self.seal_after,
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
        writing: dict[Key, _Draft | None] = {}
        late: list[int] = []
        for element in elements:
            key = element.key
            draft = writing.get(key)
            events, state = self._held(key, draft, known=key in writing)
            arrival = Arrival(element.samples, len(element.body), element.enqueued_ns)
            before, after_state, after = decide(state, arrival, self._policy(key))
            if before is SealReason.MAX_AGE and state is not None:
                late.append(state.due_ns)
            if draft is not None and before is not None:
                draft.seal_after, draft, events, before = before, None, 0, None
            elif before is not None:
                events = 0
            if draft is None:
                draft = _Draft(key, events, after_state, before)
                drafts.append(draft)
            draft.add(element, after_state)
            draft.seal_after = after
            writing[key] = None if after is not None else draft
        sealed = sum((d.seal_before is not None) + (d.seal_after is not None) for d in drafts)
        return Planned(
            tuple(draft.group() for draft in drafts),
            {key: _left_open(draft) for key, draft in writing.items()},
            sealed,
            tuple(late),
        )

    def _held(
        self, key: Key, draft: _Draft | None, *, known: bool
    ) -> tuple[int, BatchState | None]:
        """Give events and state of the key's open buffer, as it is in the middle of a plan."""
        if draft is not None:
            return draft.believed + draft.events, draft.state
        if known:  # sealed by this very plan
            return 0, None
        return self._open.get(key, (0, None))

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
