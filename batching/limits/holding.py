"""What one partition's owner holds in Redis, as far as it knows, for the process's governor.

Open batches are known from `States`; sealed ones by what the last look at Redis said, and what
was sealed since. May be wrong for a moment, never for long: each round of commits looks again.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice

from batching.limits.pressure import Amount, Open
from batching.names import Key
from batching.parking.pieces import Pieces
from batching.ports import Low
from batching.states import States

_open = partial(tuple.__new__, Open)  # a third of the time of Open(...)


class Holding:
    """One partition's part of what the process holds, and which batches it was asked to seal."""

    def __init__(self, partition: str, states: States, pieces: Callable[[], Pieces]) -> None:
        self.partition = partition
        self._states, self._pieces = states, pieces
        self._sealed = Amount()  # by this owner, ever
        self._looked, self._found = Amount(), Amount()  # `_sealed` at the last look; what it found
        self._pressed: dict[Key, None] = {}  # to be sealed, in this order
        self._page: list[Key] = []  # being sealed
        self.pressing = asyncio.Event()

    def open(self) -> Amount:
        """Give what is open, without what is parked."""
        size = self._states.open_bytes() - self._pieces().bytes
        return Amount(max(0, size), len(self._states))

    def believed(self) -> Amount:
        """Give what is open, parked or not."""
        return Amount(self._states.open_bytes(), len(self._states))

    def waiting(self) -> Amount:
        """Give what is sealed and waits for its manifest."""
        return Amount(
            max(0, self._found.size_bytes + self._sealed.size_bytes - self._looked.size_bytes),
            max(0, self._found.batches + self._sealed.batches - self._looked.batches),
        )

    def open_batches(self) -> Iterator[Open]:
        """List what is open."""
        pieces, partition = self._pieces(), self.partition
        if not len(pieces):  # there may be a million batches, and as a rule nothing is parked
            for key, state in self._states.batches():
                yield _open((partition, key, state.size_bytes, state.opened_ns))
            return
        for key, state in self._states.batches():
            size = state.size_bytes - pieces.size_of(key)
            yield _open((partition, key, max(0, size), state.opened_ns))

    def sealed(self, before: Amount, batches: int, brought: int = 0) -> None:
        """Take note that batches were sealed.

        Args:
            before: what was `believed`.
            batches: how many were sealed.
            brought: bytes that the same call appended.

        """
        size = before.size_bytes + brought - self._states.open_bytes()
        self._sealed = self._sealed.plus(Amount(size, batches))

    def asked(self) -> Amount:
        """Give what `told` wants to know: what was sealed when Redis was asked."""
        return self._sealed

    def told(self, asked: Amount, low: Low) -> None:
        """Take note of what Redis says it holds sealed."""
        self._looked, self._found = asked, Amount(low.sealed_bytes, low.sealed)

    def opened_by(self, keys: set[Key]) -> int:
        """Count the batches that an append of these keys would open."""
        pressed = keys.intersection(self._pressed)
        return self._states.without(keys) + sum(key in self._states for key in pressed)

    def press(self, keys: Iterable[Key]) -> None:
        """Ask the owner to seal these soon."""
        self._pressed.update(dict.fromkeys(keys))
        self.pressing.set()

    async def pressed(self, limit: int) -> list[Key]:
        """Wait until something is to be sealed; give up to `limit` keys.

        They count as sealed at the next call.
        """
        for key in self._page:
            self._pressed.pop(key, None)
        while not self._pressed:
            self.pressing.clear()
            await self.pressing.wait()
        self._page = list(islice(self._pressed, limit))
        return self._page
