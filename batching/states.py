"""What the owner believes of its open buffers, and how a flush of events becomes groups.

Redis keeps each state as opaque bytes; the owner reads them at attach and from then on knows
them, since it alone appends. Where another owner was at work, the script notices that a belief
is wrong and seals the buffer: a batch may be smaller than asked, never wrong.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial

from batching.due import DueTimes
from batching.model import Element, SealReason
from batching.names import Key
from batching.policy import NEVER_NS, BatchState, SealPolicy, continued, decide
from batching.ports import Group, OpenBuffer, Shell

NEVER_US = 2**52  # a double holds it exactly; the year 2112 in microseconds


_group = partial(tuple.__new__, Group)  # a third of the time of Group(...)
Held = tuple[int, BatchState]  # items of an open buffer, and what its triggers count
_NONE: tuple[int, None] = (0, None)


@dataclass(slots=True)
class Planned:
    """Groups of one append, those of a key in order, and what holds once Redis has taken them."""

    groups: list[Group] = field(default_factory=list)
    open: dict[Key, Held] = field(default_factory=dict)
    gone: list[Key] = field(default_factory=list)  # open before, and sealed by it
    due: list[Key] = field(default_factory=list)  # that it opens, if they have a due time
    late: list[int] = field(default_factory=list)  # due times that an event found overdue
    sealed: int = 0
    brought: int = 0  # bytes of the elements
    grown: int = 0  # bytes of open buffers

    def lay_out_whole(
        self, key: Key, elements: Sequence[Element], held: Held | None, policy: SealPolicy
    ) -> bool:
        """Lay a key's elements out as one group if none ends a batch; tell whether that is so.

        It takes what `lay_out` takes, and gives the same, much faster.
        """
        items, state = held or _NONE
        samples = size = latest_ns = 0
        bodies = []
        for _, _, enqueued_ns, brought, body in elements:
            samples += brought
            size += len(body)
            bodies.append(body)
            if enqueued_ns > latest_ns:  # noqa: PLR1730 `max` takes longer
                latest_ns = enqueued_ns
        _, first, first_ns, _, _ = elements[0]
        behind = continued(state, policy, samples, size, len(bodies), first_ns, latest_ns)
        if behind is None:
            return False
        last, packed, due = elements[-1][1], behind.pack(), due_us(behind[4])
        self.groups.append(
            _group((key, first, last, bodies, items, behind[1], packed, due, None, None))
        )
        self.open[key] = items + 1, behind
        if not items and due != NEVER_US:
            self.due.append(key)
        self.brought += size
        self.grown += size
        return True

    def lay_out(
        self, key: Key, elements: Sequence[Element], held: Held | None, policy: SealPolicy
    ) -> None:
        """Decide where a key's batches end.

        Args:
            key: of all elements.
            elements: what comes next, in order.
            held: what is open.
            policy: the stream's triggers.

        """
        items, state = held or _NONE
        before = self.grown if state is None else self.grown - state.size_bytes
        seal_before: SealReason | None = None
        bodies: list[bytes] = []
        first = last = 0
        for _, number, enqueued_ns, samples, body in elements:
            size = len(body)
            self.brought += size
            ended, grown, full = decide(state, policy, samples, size, enqueued_ns)
            if ended is not None:
                self._note(ended, state)
                if bodies and state is not None:
                    self._add(key, first, last, bodies, items, state, seal_before, ended)
                    seal_before, bodies = None, []
                else:
                    seal_before = ended
                items = 0
            if not bodies:
                first = number
            bodies.append(body)
            last, state = number, grown
            if full is not None:
                self._note(full, None)
                self._add(key, first, last, bodies, items, state, seal_before, full)
                seal_before, bodies, items, state = None, [], 0, None
        if state is not None:
            self._add(key, first, last, bodies, items, state, seal_before, None)
            self.open[key] = items + 1, state
            before += state.size_bytes
            if not items and state.due_ns != NEVER_NS:
                self.due.append(key)
        elif held is not None:
            self.gone.append(key)
        self.grown = before

    def _note(self, reason: SealReason, state: BatchState | None) -> None:
        self.sealed += 1
        if reason is SealReason.MAX_AGE and state is not None:
            self.late.append(state.due_ns)

    def _add(
        self,
        key: Key,
        first: int,
        last: int,
        bodies: list[bytes],
        believed: int,
        state: BatchState,
        before: SealReason | None,
        after: SealReason | None,
    ) -> None:
        _, size_bytes, _, _, due_ns = state
        facts = (size_bytes, state.pack(), due_us(due_ns), before, after)
        self.groups.append(_group((key, first, last, bodies, believed, *facts)))


def due_us(due_ns: int) -> int:
    """Microseconds in which a due time lies, rounded up, so that none is early."""
    return NEVER_US if due_ns == NEVER_NS else -(-due_ns // 1_000)


def due_ns(due_us: int) -> int:
    """Nanoseconds of a due time as a buffer tells it."""
    return NEVER_NS if due_us >= NEVER_US else due_us * 1_000


def _state(found: OpenBuffer | Shell) -> BatchState:
    return BatchState.unpack(found.state, found.size_bytes, due_ns(found.due_us))


def by_key(elements: Iterable[Element]) -> dict[Key, list[Element]]:
    """Sort elements out by key, each one's in order."""
    found: defaultdict[Key, list[Element]] = defaultdict(list)
    for element in elements:
        found[element[0]].append(element)
    return found


class States:
    """Items and policy state of each open buffer of one partition."""

    def __init__(self, policy: Callable[[str], SealPolicy]) -> None:
        """Take what gives the triggers of a stream."""
        self._policy = policy
        self._open: dict[Key, Held] = {}
        self._open_bytes = 0  # kept beside: there may be a million of them
        self._due = DueTimes(self._due_ns)

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
        self._open, self._open_bytes = {}, 0
        self._due.reset(())
        self.found(found)

    def found(self, some: Iterable[OpenBuffer]) -> None:
        """Believe what Redis says of some more buffers, of which nothing was believed."""
        for each in some:
            self._open[each.key] = each.items, _state(each)
            self._open_bytes += each.size_bytes
            self._due.add(each.key)

    def next_due_ns(self) -> int | None:
        """Give the earliest due time of an open buffer."""
        return self._due.first_ns()

    def take_due(self, horizon_ns: int, limit: int) -> list[tuple[Key, int]]:
        """Give up to `limit` keys that are due by the horizon, and when: seal them, `drop` them."""
        return self._due.take(horizon_ns, limit)

    def drop(self, keys: Iterable[Key]) -> None:
        """Forget buffers that were sealed."""
        for key in keys:
            self._replace(key, None)

    def believe(self, shells: Iterable[Shell]) -> None:
        """Take note of buffers that were opened without content."""
        for shell in shells:
            self._replace(shell.key, (1, _state(shell)))
            self._due.add(shell.key)

    def released(self, left: Iterable[tuple[Key, int]]) -> None:
        """Take note of how many items buffers have after some left."""
        for key, items in left:
            if (held := self._open.get(key)) is not None:
                self._open[key] = items, held[1]

    def plan(self, brought: Mapping[Key, Sequence[Element]]) -> Planned:
        """Decide where batches end and lay elements out in groups; changes nothing.

        Args:
            brought: what comes next, by key, each in order.

        """
        planned, opened, policy = Planned(), self._open.get, cache(self._policy)
        for key, elements in brought.items():
            held, triggers = opened(key), policy(key[0])
            if not planned.lay_out_whole(key, elements, held, triggers):
                planned.lay_out(key, elements, held, triggers)
        return planned

    def keep(self, planned: Planned, resynced: Iterable[Key]) -> None:
        """Believe the plan, now that Redis has taken it, but for buffers it had to seal.

        Nothing else may have changed what is believed since the plan was made.
        """
        self._open.update(planned.open)
        for key in planned.gone:
            del self._open[key]
        self._open_bytes += planned.grown
        for key in planned.due:
            self._due.add(key)
        if self._due.crowded(len(self._open)):
            self._due.reset(self._open)
        self.drop(resynced)

    def _due_ns(self, key: Key) -> int | None:
        held = self._open.get(key)
        return None if held is None or held[1].due_ns == NEVER_NS else held[1].due_ns

    def _replace(self, key: Key, held: Held | None) -> None:
        before = self._open.pop(key, None)
        if before is not None:
            self._open_bytes -= before[1].size_bytes
        if held is not None:
            self._open[key] = held
            self._open_bytes += held[1].size_bytes
