"""What the owner believes of its open buffers, and how a flush of events becomes groups.

Redis keeps each state as opaque bytes; the owner reads them at attach and from then on knows
them, since it alone appends. Where another owner was at work, the script notices that a belief
is wrong and seals the buffer: a batch may be smaller than asked, never wrong.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from batching.model import Element, SealReason
from batching.names import Key
from batching.policy import NEVER_NS, BatchState, SealPolicy, decide
from batching.ports import Group, OpenBuffer, Shell

NEVER_US = 2**52  # a sorted set's double holds it exactly; the year 2112 in microseconds


_group = partial(tuple.__new__, Group)  # a third of the time of Group(...)
Held = tuple[int, BatchState]  # items of an open buffer, and what its triggers count


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
    seal_after: SealReason | None = None

    def group(self) -> Group:
        state = self.state
        return _group(
            (
                self.key,
                self.first,
                self.last,
                self.bodies,
                self.believed,
                state.size_bytes,
                state.pack(),
                due_us(state.due_ns),
                self.seal_before,
                self.seal_after,
            )
        )


@dataclass(frozen=True, slots=True)
class Planned:
    """Groups of one append, and what holds once Redis has taken them."""

    groups: tuple[Group, ...]
    open: dict[Key, Held]
    gone: tuple[Key, ...]  # open before, and sealed by it
    brought: int  # bytes of the elements
    grown: int  # bytes of open buffers
    due: tuple[int, ...]  # times of the buffers that it opens
    sealed: int
    late: tuple[int, ...]  # due times of batches that an event found overdue


def due_us(due_ns: int) -> int:
    """Microseconds in which a due time lies, rounded up, so that none is early."""
    return NEVER_US if due_ns == NEVER_NS else -(-due_ns // 1_000)


class States:
    """Items and policy state of each open buffer of one partition."""

    def __init__(self, policy: Callable[[str], SealPolicy]) -> None:
        """Take what gives the triggers of a stream."""
        self._policy = policy
        self._open: dict[Key, Held] = {}
        self._open_bytes = 0  # kept beside: there may be a million of them
        self._due: list[int] = []  # a heap of due times, some of buffers long sealed

    def __len__(self) -> int:
        return len(self._open)

    def without(self, keys: set[Key]) -> int:
        """Count the keys that have no open buffer."""
        return len(keys.difference(self._open))  # `-` would go through all that are open

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
        self._open = {b.key: (b.items, BatchState.unpack(b.state)) for b in found}
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
            self._replace(shell.key, (1, BatchState.unpack(shell.state)))
            heapq.heappush(self._due, shell.due_us * 1_000)

    def released(self, left: Iterable[tuple[Key, int]]) -> None:
        """Take note of how many items buffers have after some left."""
        for key, items in left:
            if (held := self._open.get(key)) is not None:
                self._open[key] = items, held[1]

    def plan(self, elements: Iterable[Element]) -> Planned:
        """Decide where batches end and lay the elements out in groups; changes nothing."""
        drafts: list[_Draft] = []
        writing: dict[Key, _Draft | None] = {}  # None: sealed by this very plan
        late: list[int] = []
        sealed = brought = 0
        state: BatchState | None
        for key, number, enqueued_ns, samples, body in elements:
            size = len(body)
            brought += size
            draft = writing.get(key)
            believed, state = 0, None
            if draft is not None:
                state, policy = draft.state, draft.policy
            else:
                policy = self._policy(key[0])
                if (held := self._open.get(key)) is not None and key not in writing:
                    believed, state = held
            before, after_state, after = decide(state, policy, samples, size, enqueued_ns)
            if before is not None:
                sealed += 1
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
                draft.last, draft.state = number, after_state
                draft.bodies.append(body)
            if after is not None:
                sealed += 1
                draft.seal_after, writing[key] = after, None
        left, gone, grown, due = self._left(writing)
        groups = tuple([draft.group() for draft in drafts])
        return Planned(groups, left, gone, brought, grown, due, sealed, tuple(late))

    def _left(
        self, writing: dict[Key, _Draft | None]
    ) -> tuple[dict[Key, Held], tuple[Key, ...], int, tuple[int, ...]]:
        """Give what a plan leaves open, what it leaves no longer, their bytes, new due times."""
        left, gone, due, grown = {}, [], [], 0
        for key, draft in writing.items():
            before = self._open.get(key)
            if before is not None:
                grown -= before[1].size_bytes
            if draft is not None:
                state = draft.state
                left[key] = draft.believed + 1, state
                grown += state.size_bytes
                if draft.believed == 0 and state.due_ns != NEVER_NS:
                    due.append(state.due_ns)
            elif before is not None:
                gone.append(key)
        return left, tuple(gone), grown, tuple(due)

    def keep(self, planned: Planned, resynced: Iterable[Key]) -> None:
        """Believe the plan, now that Redis has taken it, but for buffers it had to seal.

        Nothing else may have changed what is believed since the plan was made.
        """
        self._open.update(planned.open)
        for key in planned.gone:
            del self._open[key]
        self._open_bytes += planned.grown
        for due in planned.due:
            heapq.heappush(self._due, due)
        self.drop(resynced)

    def _replace(self, key: Key, held: Held | None) -> None:
        before = self._open.pop(key, None)
        if before is not None:
            self._open_bytes -= before[1].size_bytes
        if held is not None:
            self._open[key] = held
            self._open_bytes += held[1].size_bytes
