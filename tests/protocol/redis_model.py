"""Redis as the protocol sees it: every method is one script, hence one atomic step."""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple, Self

from tests.protocol.calls import Timeout
from tests.protocol.guards import guard
from tests.protocol.objects import Key

Namespace = tuple[str, str]  # T: id of the store, partition
UNDO = 81  # steps that a roll-back may undo


class Group(NamedTuple):
    """Events of one key within one append, and what the owner decided about them."""

    key: Key
    believed: int  # items
    seal_before: bool
    events: tuple[int, ...]
    seal_after: bool
    state: int
    due: int


class Open(NamedTuple):
    """An open buffer. `total` counts parked events too, elements are what is still in Redis.

    `items` counts elements, and what stands in their place while all is parked.
    """

    elements: tuple[tuple[int, ...], ...]  # one of each append
    items: int
    total: int
    last: int
    due: int
    state: int  # the owner's: here the number of events that its policy counted
    doubted: bool = False  # Redis came to its w twice: its owner may know another buffer
    excused: bool = False  # its owner knew another one, with as many items

    def events(self) -> tuple[int, ...]:
        return tuple(number for element in self.elements for number in element)


class Shell(NamedTuple):
    """What is known of a buffer whose events are all parked."""

    key: Key
    total: int
    first: int
    last: int
    due: int


class Sealed(NamedTuple):
    key: Key
    events: tuple[int, ...]
    last: int


class Keys:
    """The keys of one T: w, n, k, b:<key>, q:<k>, lo."""

    def __init__(self) -> None:
        self.w, self.n, self.k = -1, -1, 0
        self.torn: frozenset[Key] = frozenset()  # what a script pushed that did not end
        self.open: dict[Key, Open] = {}
        self.sealed: dict[int, Sealed] = {}
        self.lo: dict[Key | int, int] = {}

    def copy(self) -> "Keys":
        other = Keys()
        other.w, other.n, other.k, other.torn = self.w, self.n, self.k, self.torn
        other.open, other.sealed, other.lo = dict(self.open), dict(self.sealed), dict(self.lo)
        return other

    def seal(self, key: Key) -> None:
        buffer = self.open.pop(key)
        self.k += 1
        self.sealed[self.k] = Sealed(key, buffer.events(), buffer.last)
        if key in self.lo:
            self.lo[self.k] = self.lo.pop(key)

    def push(self, group: Group) -> bool:
        """Add a group and seal as told; True if the buffer was not as its owner believed."""
        if group.seal_before and group.key in self.open:
            self.seal(group.key)
        before = self.open.get(group.key) or Open((), 0, 0, -1, group.due, 0)
        other = before.state + len(group.events) != group.state
        self.open[group.key] = Open(
            (*before.elements, group.events),
            before.items + 1,
            before.total + len(group.events),
            max(before.last, group.events[-1]),
            before.due,
            group.state,
            excused=before.excused or (before.doubted and other),
        )
        self.lo.setdefault(group.key, group.events[0])
        right = before.items == group.believed
        if right and before.items == 1:  # else a shell might stand in its place
            right = not other or not guard("same shell")
        wrong = not right and guard("believed")
        if group.seal_after or wrong:
            self.seal(group.key)
        return wrong

    def release(self, key: Key, upto: int) -> int | None:
        """Let elements up to the mark leave; one that straddles it stays whole.

        Gives how many items are left, None if there is no buffer.
        """
        buffer = self.open.get(key)
        if buffer is None:
            return None
        at = -1 if guard("straddling stays") else 0
        rest = tuple(x for x in buffer.elements if x[at] > upto) if guard("release checks") else ()
        self.open[key] = buffer._replace(elements=rest, items=max(1, len(rest)))
        lo = self.lo.pop(key, -1)
        if rest:
            self.lo[key] = max(lo, upto + 1, min(x[0] for x in rest))
        return self.open[key].items


class Redis:
    """One server; it may be emptied, go back to an earlier state, or be split in two."""

    def __init__(self) -> None:
        self.keys: dict[Namespace, Keys] = {}
        self.undo: deque[tuple[Namespace, Keys]] = deque(maxlen=UNDO)
        self.reached: Counter[tuple[Namespace, int]] = Counter()  # how often w rose to this
        self.torn: Callable[[], bool] = lambda: False

    # --- faults

    def lose(self) -> None:
        self.undo.clear()
        self.keys = {}

    def roll_back(self, rnd: Random) -> None:
        for _ in range(min(rnd.randint(1, 40), len(self.undo))):
            t, state = self.undo.pop()
            self.keys[t] = state

    def fork(self) -> Self:
        """Split after a fail-over that not everybody noticed: two servers live on."""
        other = type(self)()
        other.torn, other.undo, other.reached = self.torn, self.undo.copy(), self.reached.copy()
        other.keys = {t: keys.copy() for t, keys in self.keys.items()}
        return other

    def no_way_back(self) -> None:
        """Let no later roll-back reach a state of before now."""
        self.undo.clear()

    # --- scripts

    def _read(self, t: Namespace) -> Keys:
        return self.keys.get(t) or Keys()

    def _write(self, t: Namespace, manifest: int = -1) -> Keys:
        before = self._read(t)
        self.undo.append((t, before))
        self.keys[t] = keys = before.copy()
        keys.n = max(keys.n, manifest)
        return keys

    def acknowledged(self, t: Namespace) -> int:
        """Give the highest manifest that this state relies on."""
        return self._read(t).n

    def wipe(self, t: Namespace) -> None:
        """Drop every key; nothing of before it ever comes back."""
        self.keys.pop(t, None)
        self.undo = deque((x for x in self.undo if x[0] != t), UNDO)

    def attach(self, t: Namespace, checkpoint: int, manifest: int) -> int:
        keys = self._write(t, manifest if guard("attach tells n") else -1)
        before = keys.w
        keys.w = max(before, checkpoint) if guard("attach keeps w") else checkpoint
        self.reached[t, keys.w] += keys.w != before
        return keys.w

    def append(
        self, t: Namespace, prev: int, last: int, groups: Sequence[Group], manifest: int
    ) -> tuple[str, int, tuple[Key, ...]]:
        """Add all of (prev, last] that the caller does not know to be durable."""
        w = self._read(t).w
        if w < prev and guard("gap"):
            return "GAP", w, ()
        if w > prev and guard("behind"):
            return "BEHIND", w, ()
        keys, wrong = self._write(t, manifest if guard("append tells n") else -1), []
        if self.reached[t, w] > 1:  # the caller may know w from before Redis went back
            keys.open = {key: x._replace(doubted=True) for key, x in keys.open.items()}
        for group in groups:
            if self.torn():  # the script fails half-way: earlier groups stay, w does not move
                keys.torn |= {group.key for group in groups}
                raise Timeout
            if keys.push(group):
                wrong.append(group.key)
        self.reached[t, last] += last != w
        keys.w = last
        return "OK", last, tuple(wrong)

    def seal(self, t: Namespace, several: Sequence[Key]) -> None:
        """Seal the open buffers of these keys, those that there are."""
        keys = self._write(t)
        for key in several:
            if key in keys.open:
                keys.seal(key)

    def low(self, t: Namespace) -> tuple[int, int | None, int, int]:
        """Give w, the lowest number not durable elsewhere, what both rely on, open buffers."""
        keys = self._read(t)
        return keys.w, min(keys.lo.values(), default=None), keys.n, len(keys.open)

    def peek(self, t: Namespace, limit: int) -> list[tuple[int, Sealed]]:
        """Give the oldest sealed buffers with their content, in the order of sealing."""
        return sorted(self._read(t).sealed.items())[:limit]

    def ack(self, t: Namespace, done: Sequence[tuple[int, Key, int]], manifest: int) -> None:
        """Drop sealed buffers of that key that reach no further than what was committed."""
        keys = self._write(t, manifest if guard("ack tells n") else -1)
        for k, key, last in done:
            found = keys.sealed.get(k)
            if found and ((found.key == key and found.last <= last) or not guard("ack checks")):
                del keys.sealed[k]
                keys.lo.pop(k, None)

    def opened(self, t: Namespace) -> dict[Key, Open]:
        keys = self._read(t)
        opened = dict(keys.open)
        for key, buffer in opened.items():
            # After half a script, or where Redis went back and came to the same w on another way,
            # items may be as many as believed, and others: a batch of another size, no event
            # lost or doubled.
            exact = buffer.state == buffer.total or buffer.excused or key in keys.torn
            assert exact, f"STATE of {key} is not that of its buffer"
        return opened

    def forget(self, t: Namespace, key: Key, upto: int, manifest: int) -> None:
        """Drop an open buffer that holds nothing but committed events."""
        buffer = self._read(t).open.get(key)
        if buffer and (buffer.last <= upto or not guard("forget checks")):
            keys = self._write(t, manifest if guard("forget tells n") else -1)
            del keys.open[key]
            keys.lo.pop(key, None)

    # --- parking

    def parkable(
        self, t: Namespace, upto: int, buffers: int, events: int
    ) -> list[tuple[Key, Open]]:
        """Give open buffers that hold the checkpoint back, bounded; stops at a sealed one."""
        found: list[tuple[Key, Open]] = []
        keys, size = self._read(t), 0
        for member, number in sorted(keys.lo.items(), key=lambda x: x[1]):
            if number > upto or len(found) == buffers or size >= events:
                break
            if not isinstance(member, int):
                found.append((member, keys.open[member]))
                size += sum(len(x) for x in keys.open[member].elements)
            elif guard("park stops"):
                break
        return found

    def release(
        self, t: Namespace, marks: Sequence[tuple[Key, int]], manifest: int
    ) -> dict[Key, int]:
        """Let what is durable leave; the buffers stay open. Give how many items each has."""
        left = {}
        keys = self._write(t, manifest if guard("release tells n") else -1)
        for key, upto in marks:
            if self.torn():
                raise Timeout
            if (items := keys.release(key, upto)) is not None:
                left[key] = items
        return left

    def restore(self, t: Namespace, shells: Sequence[Shell]) -> None:
        """Open buffers without content for parked pieces."""
        keys = self._write(t)
        for key, total, _, last, due in shells:
            if self.torn():
                raise Timeout
            if key not in keys.open or not guard("restore checks"):
                keys.open[key] = Open((), 1, total, last, due, total)
