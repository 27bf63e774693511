"""Dead letters put back as events of partition `redrive`, each once, by any number of commands.

An object's name is the number of its first event, the next one's follows from it, and creating
it puts its events there. So who creates one has read all before it, and leaves out what they
hold: create-only decides, as it does for manifests. (Decision 0011.)
"""

import secrets
from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from batching import names
from batching.errors import CorruptObject
from batching.failpoints import reached
from batching.letters import Letter
from batching.model import Redrive, Redriven, Store, dump, load
from batching.ports import BlobStore, Clock
from batching.retry import answered

MOST_LETTERS, MOST_BYTES = 1_000, 8 * 2**20  # of one object; fewer letters than names.BLOCK
_BITS = 4_096


class Places:
    """A set of (partition, number), a bit each where they lie close together."""

    def __init__(self) -> None:
        self._blocks: dict[tuple[str, int], int] = {}

    def add(self, partition: str, number: int) -> bool:
        """Put one in; False if it was there."""
        key, bit = (partition, number // _BITS), 1 << number % _BITS
        before = self._blocks.get(key, 0)
        self._blocks[key] = before | bit
        return not before & bit

    def has(self, partition: str, number: int) -> bool:
        """Tell whether it is there."""
        return bool(self._blocks.get((partition, number // _BITS), 0) >> number % _BITS & 1)

    def count(self, partition: str, first: int, last: int) -> int:
        """Count those from `first` to `last`."""
        total = 0
        for block in range(first // _BITS, last // _BITS + 1):
            bits = self._blocks.get((partition, block), 0)
            begin, end = max(0, first - block * _BITS), min(_BITS, last - block * _BITS + 1)
            total += (bits >> begin & (1 << end - begin) - 1).bit_count()
        return total


class RedriveLog:
    """The objects of one store, in order. Every call repeats until the store answers."""

    def __init__(self, store: BlobStore, identity: Store) -> None:
        self.store, self.identity = store, identity

    async def begin_at(self, first: int) -> Redrive | None:
        """Read the object whose first event has this number; None if there is none.

        Raises:
            CorruptObject: it is not what its name says.

        """
        name = names.redriven(self.identity.hub_id, first)
        raw = await answered(lambda: self.store.get(name))
        if raw is None:
            return None
        found = load(Redrive, name, raw)
        if (found.first, found.store) != (first, self.identity.id) or not found.letters:
            raise CorruptObject(f"{name} is not what its name says")
        return found

    async def begin_before(self, number: int) -> int:
        """Give where the newest object begins that may hold an event; 0 if none does."""
        hub = self.identity.hub_id
        after = names.redriven(hub, max(0, number - MOST_LETTERS)) if number else ""
        first = max(0, number - MOST_LETTERS)
        async for name in self.store.names(f"redrive/{hub}/", after):
            found = int(name.rpartition("/")[2].removesuffix(".json"))
            if found > number:
                break
            first = found
        return first

    async def end(self, known: int = 0) -> int:
        """Give the number of the next event; `known` is where some object ends, or 0."""
        end = known or await self._newest()
        while (found := await self.begin_at(end)) is not None:
            end = found.end
        return end

    async def _newest(self) -> int:
        """Give where the newest object begins, by listing; 0 if there is none."""
        first = 0
        async for name in self.store.names(f"redrive/{self.identity.hub_id}/"):
            first = int(name.rpartition("/")[2].removesuffix(".json"))
        return first

    async def objects(self) -> AsyncIterator[Redrive]:
        """Read all, one after another."""
        first = 0
        while (found := await self.begin_at(first)) is not None:
            yield found
            first = found.end

    async def number_of(self, partition: str, number: int) -> int | None:
        """Find the number under which a dead letter came back; None if it did not."""
        async for found in self.objects():
            for back, letter in enumerate(found.letters, found.first):
                if (letter.partition, letter.sequence_number) == (partition, number):
                    return back
        return None

    async def origin_of(self, number: int) -> tuple[str, int] | None:
        """Tell where the dead letter lies that came back as event `number`; None if none did."""
        found = await self.begin_at(await self.begin_before(number))
        if found is None or not found.first <= number < found.end:
            return None
        letter = found.letters[number - found.first]
        return letter.partition, letter.sequence_number

    async def places(self) -> Places:
        """Give where the letters lie that came back."""
        places = Places()
        async for found in self.objects():
            for letter in found.letters:
                places.add(letter.partition, letter.sequence_number)
        return places


@dataclass(slots=True)
class Outcome:
    """What became of letters that were to be driven again."""

    driven: int = 0
    before: int = 0  # they had come back before
    refused: dict[str, int] = field(default_factory=dict)  # how many, by why

    @property
    def total(self) -> int:
        """Count all letters that were looked at."""
        return self.driven + self.before + sum(self.refused.values())


class Redriver:
    """Puts letters back. `open` first: it reads what came back before."""

    def __init__(self, record: RedriveLog, clock: Clock, *, writer: str) -> None:
        self._log, self._clock = record, clock
        self._writer = f"{writer}-{secrets.token_hex(4)}"  # ours is known by it: answers get lost
        self._places, self._seen, self._next = Places(), Places(), 0
        self.outcome = Outcome()
        self._gathered: list[Redriven] = []
        self._bytes = 0

    async def open(self) -> None:
        """Read all objects that there are."""
        async for found in self._log.objects():
            self._learn(found)

    def came_back(self, letter: Letter) -> bool:
        """Tell whether a letter was driven again before, as far as was read."""
        return self._places.has(letter.partition, letter.number)

    def accept(self, letter: Letter) -> bool:
        """Count a letter that cannot or need not be driven; True for the others, once each."""
        if not self._seen.add(letter.partition, letter.number):
            return False
        if (why := letter.refusal) is not None:
            self.outcome.refused[why] = self.outcome.refused.get(why, 0) + 1
        elif self.came_back(letter):
            self.outcome.before += 1
        else:
            return True
        return False

    async def add(self, letter: Letter) -> None:
        """Drive one letter that was accepted; it is on its way once `finish` has returned."""
        event = redriven(letter)
        if self._gathered and self._bytes + len(event.body) > MOST_BYTES:
            await self.finish()
        self._gathered.append(event)
        self._bytes += len(event.body)
        if len(self._gathered) >= MOST_LETTERS:
            await self.finish()

    async def finish(self) -> None:
        """Write what was gathered."""
        letters = tuple(self._gathered)
        self._gathered, self._bytes = [], 0
        while letters := self._fresh(letters):
            made = Redrive(
                store=self._log.identity.id,
                hub=self._log.identity.hub_id,
                first=self._next,
                written=self._clock.now_ns(),
                writer=self._writer,
                letters=letters,
            )
            await self._create(made)

    def _fresh(self, letters: Sequence[Redriven]) -> tuple[Redriven, ...]:
        return tuple(x for x in letters if not self._places.has(x.partition, x.sequence_number))

    async def _create(self, made: Redrive) -> None:
        """Create it, or learn what somebody else put there under its number."""
        name = names.redriven(made.hub, made.first)
        await reached("redrive.before")
        created = await answered(lambda: self._log.store.create(name, [dump(made)]))
        await reached("redrive.after")
        if not created:
            found = await self._log.begin_at(made.first)
            if found is None:
                raise CorruptObject(f"{name} exists and cannot be read: is somebody deleting here?")
            if found.writer != self._writer:
                fresh = self._learn(found)
                self.outcome.before += sum(
                    (x.partition, x.sequence_number) in fresh for x in made.letters
                )
                return
        self._learn(made)
        self.outcome.driven += len(made.letters)

    def _learn(self, found: Redrive) -> set[tuple[str, int]]:
        """Take in an object; give the places that it brings."""
        places = {(x.partition, x.sequence_number) for x in found.letters}
        for place in places:
            self._places.add(*place)
        self._next = found.end
        return places


def redriven(letter: Letter) -> Redriven:
    """Give the event by which a letter comes back."""
    said = letter.letter
    return Redriven(
        partition=letter.partition,
        sequence_number=letter.number,
        arrived_ns=said.arrived_ns or letter.enqueued_ns,
        body=b64encode(said.body).decode(),
        message_id=letter.message_id,
        partition_key=said.partition_key or said.annotations.get("x-opt-partition-key", ""),
        content_type=said.content_type,
        content_encoding=said.content_encoding,
        properties=said.properties,
        property_types=said.property_types,
        annotations=said.annotations,
        annotation_types=said.annotation_types,
    )
