"""The buffer of one partition as a program one can read: the model that Redis is held against."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from batching.model import SealReason
from batching.names import Key
from batching.ports import (
    AppendAnswer,
    Appended,
    Group,
    Low,
    OpenBuffer,
    Parkable,
    Released,
    SealedBuffer,
    Shell,
    Stored,
)

NEVER_US = (2**63 - 1) // 1000
ITEM_BYTES = 31  # of an item's head, without the state


@dataclass
class _List:
    """What lies under one name in Redis: what is told of the buffer, and elements."""

    totals: OpenBuffer
    lo: int | None  # None: all that it counts is parked
    elements: list[tuple[int, int, bytes]] = field(default_factory=list)


class BufferModel:
    """Answers `batching.ports.Buffer` from three dictionaries and three numbers."""

    def __init__(self, now_us: Callable[[], int]) -> None:
        self._now_us = now_us
        self._forget_all()

    def _forget_all(self) -> None:
        self._w: int = -1
        self._k: int = 0
        self._n: int = -1
        self._open: dict[Key, _List] = {}
        self._out: dict[int, SealedBuffer] = {}
        self._out_lo: dict[int, int | None] = {}
        self._out_bytes: dict[int, int] = {}

    async def acknowledged(self) -> int:
        return self._n

    async def wipe(self) -> None:
        self._forget_all()

    async def opened(self) -> list[OpenBuffer]:
        return [found.totals for found in self._open.values()]

    async def attach(self, checkpoint: int, manifest: int = -1) -> int:
        self._n = max(self._n, manifest)
        self._w = max(self._w, checkpoint)
        return self._w

    async def append(
        self, prev: int, last: int, groups: Sequence[Group], manifest: int = -1
    ) -> AppendAnswer:
        if self._w != prev:
            return AppendAnswer(Appended.GAP if self._w < prev else Appended.BEHIND, self._w)
        self._n = max(self._n, manifest)
        wrong = [group.key for group in groups if not self._push(group)]
        self._w = max(self._w, last)
        return AppendAnswer(Appended.OK, self._w, tuple(wrong))

    def _push(self, group: Group) -> bool:
        """Keep one group; False if the buffer was not what the owner believed."""
        if group.seal_before is not None:
            self._seal(group.key, group.seal_before)
        body = b"".join(group.bodies)
        found = self._open.get(group.key)
        items, held = (found.totals.items, found.totals.size_bytes) if found else (0, 0)
        right = items == group.believed
        if items == 1 and right:  # else another owner's shell could stand in its place
            right = held + len(body) == group.size_bytes
        if found is None:
            new = OpenBuffer(group.key, 0, group.last, 0, group.due_us, b"")
            found = self._open[group.key] = _List(new, lo=group.first)
        found.totals = OpenBuffer(
            group.key, items + 1, group.last, group.size_bytes, group.due_us, group.state
        )
        found.lo = group.first if found.lo is None else found.lo
        found.elements.append((group.first, group.last, body))
        if not right:
            self._seal(group.key, SealReason.RESYNC)
        elif group.seal_after is not None:
            self._seal(group.key, group.seal_after)
        return right

    def _seal(self, key: Key, reason: SealReason) -> None:
        found = self._open.pop(key, None)
        if found is None:
            return
        self._k += 1
        self._out[self._k] = SealedBuffer(
            k=self._k,
            key=key,
            last=found.totals.last,
            due_us=found.totals.due_us,
            reason=reason,
            sealed_us=self._now_us(),
            state=found.totals.state,
            elements=_stored(found),
        )
        self._out_lo[self._k] = found.lo
        self._out_bytes[self._k] = found.totals.size_bytes

    async def seal_open(self, reason: SealReason, limit: int) -> tuple[Key, ...]:
        def place(key: Key) -> tuple[float, bytes]:
            lo = self._open[key].lo
            return math.inf if lo is None else lo, key.text().encode()

        keys = tuple(sorted(self._open, key=place)[:limit])
        for key in keys:
            self._seal(key, reason)
        return keys

    async def seal_keys(self, reason: SealReason, keys: Sequence[Key]) -> tuple[Key, ...]:
        there = tuple(key for key in dict.fromkeys(keys) if key in self._open)
        for key in there:
            self._seal(key, reason)
        return there

    async def low(self) -> Low:
        los = [found.lo for found in self._open.values()] + list(self._out_lo.values())
        sealed = list(self._out.values())
        known = [lo for lo in los if lo is not None]
        return Low(
            w=self._w,
            lo=min(known, default=None),
            open=len(self._open),
            sealed=len(sealed),
            sealed_bytes=sum(self._out_bytes.values()),
            first_sealed_us=sealed[0].sealed_us if sealed else None,
            manifest=self._n,
        )

    async def peek(self, max_bytes: int, max_buffers: int) -> list[SealedBuffer]:
        oldest = list(self._out.values())[:max_buffers]
        sizes = list(itertools.accumulate(self._out_bytes[b.k] for b in oldest))
        return [b for j, b in enumerate(oldest) if j == 0 or sizes[j] <= max_bytes]

    async def ack(self, done: Sequence[tuple[int, Key, int]], manifest: int) -> int:
        self._n = max(self._n, manifest)
        before = len(self._out)
        for k, key, last in done:
            found = self._out.get(k)
            if found is not None and found.key == key and found.last <= last:
                del self._out[k], self._out_lo[k], self._out_bytes[k]
        return before - len(self._out)

    async def forget(self, key: Key, upto: int, manifest: int = -1) -> None:
        found = self._open.get(key)
        if found is None or found.totals.last <= upto:
            self._n = max(self._n, manifest)
            self._open.pop(key, None)

    # --- parking

    async def parkable(self, upto: int, max_bytes: int, max_buffers: int) -> list[Parkable]:
        sealed = min((lo for lo in self._out_lo.values() if lo is not None), default=self._w + 1)
        found = [
            held
            for held in self._open.values()
            if held.lo is not None and held.lo <= min(upto, sealed)
        ]
        found.sort(key=lambda held: (held.lo, held.totals.key.text().encode()))
        sizes = list(itertools.accumulate(map(_stored_bytes, found[:max_buffers])))
        chosen = [h for j, h in enumerate(found[:max_buffers]) if j == 0 or sizes[j] <= max_bytes]
        return [Parkable(held.totals, _stored(held)) for held in chosen]

    async def release(self, durable: Sequence[tuple[Key, int]], manifest: int) -> Released:
        self._n = max(self._n, manifest)
        there = [(self._open[key], mark) for key, mark in durable if key in self._open]
        gone, left = 0, []
        for held, mark in there:
            gone += self._release(held, mark)
            left.append((held.totals.key, held.totals.items))
        return Released(gone, tuple(left))

    @staticmethod
    def _release(held: _List, mark: int) -> int:
        before = len(held.elements)
        above = [max(first, mark + 1) for first, last, _ in held.elements if last > mark]
        if held.lo is not None:
            held.lo = max(held.lo, min(above)) if above else None
        while held.elements and held.elements[0][1] <= mark:
            del held.elements[0]
        held.totals = replace(held.totals, items=max(1, len(held.elements)))
        return before - len(held.elements)

    async def restore(self, shells: Sequence[Shell]) -> tuple[Key, ...]:
        opened = []
        for shell in shells:
            if shell.key not in self._open:
                told = (shell.last, shell.size_bytes, shell.due_us, shell.state)
                self._open[shell.key] = _List(OpenBuffer(shell.key, 1, *told), None)
                opened.append(shell.key)
        return tuple(opened)


def _stored(held: _List) -> tuple[Stored, ...]:
    return tuple((0, body) for _, _, body in held.elements)


def _stored_bytes(held: _List) -> int:
    """Count as Redis does, but for states, which tests keep at one length."""
    items = held.totals.items
    head = ITEM_BYTES + len(held.totals.state)
    return items * head + sum(len(body) for _, _, body in held.elements)
