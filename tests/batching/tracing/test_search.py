"""A number looked for in a long log: what is found, and how little is read."""

import asyncio

import numpy as np
import pytest

from batching import names
from batching.bundle import Builder
from batching.lost import lost_entry
from batching.model import Entry, LostReason, Manifest, Position, Store, Trimmed, dump
from batching.tracing.bundles import HEAD_BYTES, read_chunks
from batching.tracing.search import EXPLAINED, STEP, Found, Search
from batching.view import Log
from tests.batching.runs.dispatch_world import Chaos, MemoryStore

HUB = "hub"
SECOND = 10**9
BEGAN = 1_700_000_000 * SECOND
AGE = 120 * SECOND
LONG = 10_000  # manifests, one a second
EACH = 20  # numbers of each


class Shelf:
    """A partition's log in memory: each manifest has a batch of a quick sensor."""

    def __init__(self, manifests: int = LONG) -> None:
        self.store = MemoryStore(Chaos())
        self.manifests = {
            n: [self.entry("quick", [EACH * n, EACH * n + 9])] for n in range(manifests)
        }
        self.position = Position(EACH * manifests - 1, manifests)

    def entry(self, sensor: str, numbers: list[int], data: str = "data") -> Entry:
        opened = BEGAN + numbers[0] * SECOND // EACH
        span = (numbers[0], numbers[-1], len(numbers))
        more = {"opened": opened, "due": opened + AGE, "data": data}
        return Entry("batch", "s", sensor, *span, chunks=(0, len(numbers)), **more)

    def batch(self, n: int, sensor: str, *numbers: int) -> None:
        """Let manifest n commit a batch, with its bundle."""
        builder = Builder(["x"])
        for number in numbers:
            builder.add_chunk(
                np.arange(2),
                np.zeros((2, 1)),
                sequence_number=number,
                enqueued_ns=BEGAN + number * SECOND // EACH,
                message_id=f"m{number}",
            )
        builder.end_batch(sensor, 0)
        name = names.data("s", HUB, "0", n, sensor)
        self.store.put(name, b"".join(builder.write()))
        self.manifests[n].append(self.entry(sensor, list(numbers), name))

    def find(self, number: int) -> Found:
        identity = Store("id", "ns", "h", HUB, "$Default", {"0": 0}, BEGAN)
        for n, entries in self.manifests.items():
            written = BEGAN + (n + 1) * SECOND
            made = Manifest("id", HUB, "0", n, written, "test", tuple(entries))
            self.store.put(names.manifest(HUB, "0", n), dump(made))
        self.store.objects[names.position(HUB, "0")] = (dump(self.position), "v")
        self.store.gets.clear()
        return asyncio.run(Search(Log(self.store, self.store, identity, "0"), number).run())


def told(found: Found) -> list[tuple[int, str, str]]:
    return [(hit.n, hit.entry.sensor, hit.told.message_id) for hit in found.hits]


@pytest.mark.parametrize("at", [0, 17, 4_999, LONG - 1])
def test_an_event_is_found_in_each_sensor_s_batch_by_reading_minutes_of_a_long_log(at: int) -> None:
    """A message of several sensors: one batch was full at once, another waited for its age."""
    shelf = Shelf()
    number = EACH * at + 15
    later = min(at + 110, LONG - 1)
    shelf.batch(at, "first", number - 4, number)
    shelf.batch(later, "slow", number - 3, number, number + 1)
    shelf.batch(later, "other", number - 3, number + 1)  # spans it, and does not hold it
    found = shelf.find(number)
    assert told(found) == [(at, "first", f"m{number}"), (later, "slow", f"m{number}")]
    assert found.manifests == LONG
    assert found.read <= len(shelf.store.gets)
    seconds = 120 + 600 + 300  # its age, lateness, clocks
    assert found.read < seconds + 4 * STEP
    assert sum(name.startswith("data/") for name in shelf.store.gets) == 3


def test_a_number_above_the_checkpoint_is_looked_for_from_first_on() -> None:
    shelf = Shelf()
    shelf.position = Position(EACH * 9_900, 9_900)
    shelf.batch(9_950, "s", EACH * 9_950 + 15)
    assert told(shelf.find(EACH * 9_950 + 15)) == [(9_950, "s", f"m{EACH * 9_950 + 15}")]
    found = shelf.find(EACH * 9_960 + 15)
    assert (found.hits, found.read) == ([], 100)


def test_a_batch_far_from_its_numbers_is_found_in_the_end() -> None:
    """A service was away for hours with the event in Redis: no clock says where to look."""
    shelf = Shelf()
    shelf.batch(9_000, "slow", 30)
    found = shelf.find(30)
    assert told(found) == [(9_000, "slow", "m30")]
    assert 9_000 < found.read < LONG


def test_what_explains_that_no_batch_holds_it_ends_the_search_sooner() -> None:
    shelf = Shelf()
    at = 5_000
    number = EACH * at + 15
    shelf.manifests[at].append(
        Entry("ignored", names.IGNORED_STREAM, "_", number - 2, number + 2, 3)
    )
    shelf.manifests[at + 1].append(lost_entry(number, number + 3, LostReason.RETENTION))
    found = shelf.find(number)
    assert [n for n, _ in found.ignored + found.lost] == [at, at + 1]
    assert found.read < 2 * EXPLAINED + 2 * STEP + 20


def test_a_log_that_retention_has_trimmed_is_read_from_where_it_begins() -> None:
    shelf = Shelf(300)
    for n in range(100):
        del shelf.manifests[n]
    shelf.store.put(names.trimmed(HUB, "0"), dump(Trimmed(below=120, upto=2_400)))
    found = shelf.find(30)
    assert (found.hits, found.manifests, found.read) == ([], 180, 180)
    assert found.trimmed.upto == 2_400


def test_what_cannot_be_read_is_told_and_the_rest_is_looked_through() -> None:
    shelf = Shelf(300)
    shelf.batch(10, "broken", 215)
    shelf.batch(11, "gone", 215)
    shelf.batch(12, "good", 215)
    del shelf.store.objects[names.data("s", HUB, "0", 11, "gone")]
    shelf.store.objects[names.data("s", HUB, "0", 10, "broken")] = (b"ARROW1\0\0", "v")
    found = shelf.find(215)
    assert told(found) == [(12, "good", "m215")]
    assert [what.rpartition("/")[2] for what in sorted(found.damaged)] == [
        "000000000010-broken.arrow is no Arrow file",
        "000000000011-gone.arrow is gone",
    ]


def test_a_long_table_of_chunks_is_read_whole_and_the_samples_are_not() -> None:
    builder = Builder(["x"])
    for number in range(3_000):
        builder.add_chunk(
            np.arange(100), np.random.default_rng(number).random((100, 1)),
            sequence_number=number, enqueued_ns=number, message_id=f"message-{number:040d}",
        )  # fmt: skip
    builder.end_batch("a", 0)
    raw = b"".join(builder.write())
    store = RangedStore(Chaos())
    store.put("bundle", raw)
    chunks = asyncio.run(read_chunks(store, "bundle"))
    assert chunks["sequence_number"].to_pylist() == list(range(3_000))
    assert store.asked[0] == HEAD_BYTES < store.asked[1]
    assert sum(store.asked) < len(raw) / 5


class RangedStore(MemoryStore):
    """Notes how much was asked for."""

    def __init__(self, chaos: Chaos) -> None:
        super().__init__(chaos)
        self.asked: list[int] = []

    async def get_range(self, name: str, offset: int, length: int) -> bytes | None:
        self.asked.append(length)
        return await super().get_range(name, offset, length)
