"""Parking on a real Valkey and a real folder: what is parked is durable, and batched once."""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from batching import chunk, names, upkeep, view
from batching.adapters.embedded_valkey import EmbeddedValkey
from batching.bundle import open_bundle
from batching.errors import CorruptObject, Reattach, WrongStore
from batching.model import EntryKind
from batching.names import Key
from batching.parking import parker
from batching.parking.replay import ReplayBound
from batching.partition import Partition
from batching.policy import SealPolicy
from batching.verify import Report, verify
from tests.batching.conftest import SECOND, Bench, checked, entries_of, make_bench

Story = Callable[[Bench], Awaitable[None]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = EmbeddedValkey(tmp_path_factory.mktemp("valkey"))
    yield asyncio.run(server.start())
    asyncio.run(server.stop())


@pytest.fixture
def play(tmp_path: Path, server: str) -> Callable[[Story], None]:
    """Run a story on a bench of its own, whose replay is bound to ten events."""

    async def run(story: Story) -> None:
        async with asynccontextmanager(make_bench)(tmp_path / "blobs", server) as bench:
            bench.replay_bound = ReplayBound(events=10)
            bench.policy = SealPolicy(max_age_ns=1_000 * SECOND)
            bench.policies["quick"] = SealPolicy(max_chunks=2)
            await bench.client.flushall()
            await story(bench)

    return lambda story: asyncio.run(run(story))


async def fed(bench: Bench, owner: Partition, slow: str, fast: int) -> None:
    """One event of each slow sensor, then many of a fast one that is full after two."""
    number = owner.acked + 1
    for sensor in slow:
        await bench.feed(owner, number, sensor=sensor)
        number += 1
    for _ in range(fast):
        await bench.feed(owner, number, sensor="fast", stream="quick")
        number += 1


async def sealed(bench: Bench) -> list[tuple[str, int, int, int]]:
    """Give sensor, first, last and events of every batch in the log, slow sensors alone."""
    entries = await entries_of(bench)
    return [
        (e.sensor, e.first, e.last, e.events)
        for e in entries
        if e.kind == "batch" and e.sensor in ("a", "b", "c")
    ]


async def parked_objects(bench: Bench) -> list[str]:
    return [name async for name in bench.store.names("parked/")]


async def ended(bench: Bench, owner: Partition) -> Report:
    """Seal and commit everything; every number must be in a batch."""
    await owner.seal_all()
    await owner.drain()
    report = await checked(bench)
    assert report.batched == owner.acked + 1
    assert (report.open, report.parked) == (0, 0)
    return report


def test_what_holds_the_checkpoint_back_is_parked_and_batched_with_what_follows(play) -> None:
    async def story(bench: Bench) -> None:
        owner = await bench.attached()
        await fed(bench, owner, "abc", 6)
        await owner.drain()
        assert owner.view.checkpoint == -1  # nine events: near enough
        assert await parked_objects(bench) == []
        await fed(bench, owner, "", 2)
        await owner.drain()
        assert owner.view.checkpoint == 10
        assert len(await parked_objects(bench)) == 2
        report = await checked(bench)
        assert (report.parked, report.open, report.missing.count) == (3, 3, 0)
        await bench.feed(owner, 11, sensor="b")
        await ended(bench, owner)
        assert sorted(await sealed(bench)) == [("a", 0, 0, 1), ("b", 1, 11, 2), ("c", 2, 2, 1)]

    play(story)


def test_a_batch_counts_what_is_parked_and_ends_where_it_would_have_ended(play) -> None:
    async def story(bench: Bench) -> None:
        bench.policy = SealPolicy(max_samples=6)
        owner = await bench.attached()
        await fed(bench, owner, "aa", 9)
        await owner.drain()
        assert owner.view.pieces.events > 0
        await fed(bench, owner, "aa", 0)
        await owner.drain()
        assert await sealed(bench) == [("a", 0, 11, 3)]
        (batch,) = (e for e in await entries_of(bench) if e.sensor == "a")
        assert (batch.samples, batch.reason) == (6, "max_samples")
        await ended(bench, owner)

    play(story)


def test_the_time_of_stream_parks_too(play) -> None:
    async def story(bench: Bench) -> None:
        bench.replay_bound = ReplayBound(events=10**6, time_ns=60 * SECOND)
        owner = await bench.attached()
        await fed(bench, owner, "ab", 1)
        bench.clock.now += 59 * SECOND
        await fed(bench, owner, "", 1)
        await owner.drain()
        assert owner.view.pieces.events == 0
        bench.clock.now += 2 * SECOND
        await fed(bench, owner, "", 1)
        await owner.drain()
        assert owner.view.pieces.events == 2
        assert owner.view.checkpoint == 3
        await ended(bench, owner)

    play(story)


def test_a_new_owner_knows_how_old_the_oldest_event_is(play) -> None:
    async def story(bench: Bench) -> None:
        bench.replay_bound = ReplayBound(events=10**6, time_ns=60 * SECOND)
        owner = await bench.attached()
        await fed(bench, owner, "a", 1)
        bench.clock.now += 61 * SECOND
        owner = await bench.attached()
        await bench.feed(owner, 2, sensor="b")
        await owner.drain()
        assert owner.view.pieces.has(Key("s", "a"))

    play(story)


def test_an_emptied_redis_gets_its_buffers_back_without_their_content(play) -> None:
    async def story(bench: Bench) -> None:
        owner = await bench.attached()
        await fed(bench, owner, "abc", 12)
        await owner.drain()
        checkpoint = owner.view.checkpoint
        assert checkpoint >= 2
        before = {b.key: b for b in await bench.buffer().opened()}
        await bench.client.flushall()
        owner = await bench.attached()
        assert owner.acked == checkpoint  # the slow sensors' events are not read again
        after = {b.key: b for b in await bench.buffer().opened()}
        for sensor in "abc":
            assert after[Key("s", sensor)] == before[Key("s", sensor)]
        for number in range(checkpoint + 1, 15):
            await bench.feed(owner, number, sensor="fast", stream="quick")
        await bench.feed(owner, 15, sensor="a")
        await ended(bench, owner)
        assert await sealed(bench) == [("a", 0, 15, 2), ("b", 1, 1, 1), ("c", 2, 2, 1)]
        assert bench.metrics.resynced._value.get() == 0  # what it believed was right

    play(story)


@pytest.mark.parametrize("parks", [1, 2])
def test_a_redis_from_before_the_parking_does_no_harm(play, parks: int) -> None:
    async def story(bench: Bench) -> None:
        owner = await bench.attached()
        await fed(bench, owner, "abc", 7)
        keys = await bench.client.keys("*")
        before = {key: await bench.client.dump(key) for key in keys}
        for _ in range(parks):
            await fed(bench, owner, "ab", 11)
            await owner.drain()
        await bench.client.flushall()
        for key, content in before.items():
            await bench.client.restore(key, 0, content)
        with pytest.raises(Reattach):
            await bench.feed(owner, owner.acked + 1)
        last = owner.acked
        owner = await bench.attached()
        assert owner.acked == max(9, owner.view.checkpoint)
        slow = {0: "a", 1: "b", 2: "c", 10: "a", 11: "b", 23: "a", 24: "b"}
        for number in range(owner.acked + 1, last + 1):
            await bench.feed(owner, number, sensor=slow.get(number, "other"))
        await ended(bench, owner)
        batches = await sealed(bench)
        assert sorted(events for *_, events in batches) == [1, 1 + parks, 1 + parks]

    play(story)


def test_a_sealed_buffer_in_front_is_committed_first(play) -> None:
    async def story(bench: Bench) -> None:
        owner = await bench.attached()
        await fed(bench, owner, "ab", 1)
        await owner.seal_all()
        await fed(bench, owner, "ab", 12)
        low = await bench.buffer().low()
        assert low.sealed
        await owner.upkeep.maintain(low)
        assert owner.view.checkpoint >= 4
        assert await sealed(bench) == [("a", 0, 0, 1), ("b", 1, 1, 1)]
        await ended(bench, owner)

    play(story)


def test_parking_goes_on_where_two_owners_work_on_one_partition(play) -> None:
    async def story(bench: Bench) -> None:
        bench.policy = SealPolicy(max_chunks=4)
        owners = [await bench.attached(), await bench.attached()]
        for round_ in range(12):
            for at, owner in enumerate(owners):
                try:
                    for _ in range(7):
                        number = owner.acked + 1
                        sensor = "abc"[number % 3] if number % 5 == 0 else "fast"
                        await bench.feed(owner, number, sensor=sensor)
                    await (owner.drain() if round_ % 2 == at else owner.upkeep.commit_sealed())
                except Reattach:
                    owners[at] = await bench.attached()
        owner = await bench.attached()
        assert any(e.kind == "parked" for e in await entries_of(bench))
        await ended(bench, owner)

    play(story)


def test_an_owner_learns_what_another_parked_and_restores_it_when_it_is_due(play) -> None:
    async def story(bench: Bench) -> None:
        first, second = await bench.attached(), await bench.attached()
        await fed(bench, first, "ab", 10)
        await first._parker.park(first.view, 1)  # and dies before it moves the position
        await bench.client.flushall()
        await bench.buffer().attach(11)  # a state that knows nothing of a and b came back
        bench.clock.now += 1_031 * SECOND
        second._tenure.acked = 11
        await second.upkeep.maintain(await bench.buffer().low())
        opened = await bench.buffer().opened()
        assert {found.key.sensor for found in opened} == {"a", "b"}
        assert len(second.states) == 2
        await second.seal_all()
        await second.upkeep.commit_sealed()
        assert await sealed(bench) == [("a", 0, 0, 1), ("b", 1, 1, 1)]

    play(story)


def test_a_batch_of_which_redis_has_nothing_left_is_not_dropped_before_the_log_is_asked(
    play,
) -> None:
    """Another owner has parked all of it: only the log says that there is something."""

    async def story(bench: Bench) -> None:
        first, second = await bench.attached(), await bench.attached()
        await fed(bench, first, "ab", 0)
        await first._parker.park(first.view, 1)
        await first.seal_all()
        assert second.view.next < first.view.next
        await second.upkeep.commit_sealed()
        assert await sealed(bench) == [("a", 0, 0, 1), ("b", 1, 1, 1)]
        assert not (await bench.buffer().low()).sealed

    play(story)


def test_dead_letters_are_parked_as_well(play) -> None:
    async def story(bench: Bench) -> None:
        owner = await bench.attached()
        letter = bench.dead_letter(0)
        await owner.append([letter], 0, bench.clock.now)
        await fed(bench, owner, "a", 12)
        await owner.drain()
        assert owner.view.pieces.has(names.DEAD)
        assert (await checked(bench)).parked >= 2
        await owner.seal_all()
        await owner.drain()
        report = await checked(bench)
        assert (report.dead_letters, report.open) == (1, 0)

    play(story)


def test_old_listings_are_listed_again_so_that_the_log_need_not_be_read_for_ever(
    play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view, "CARRY_AFTER", 6)

    async def story(bench: Bench) -> None:
        owner = await bench.attached()
        await fed(bench, owner, "abc", 12)
        await owner.drain()
        bench.policies["quick"] = SealPolicy(max_chunks=1)
        owner = await bench.attached()
        for round_ in range(40):
            await bench.feed(owner, owner.acked + 1, sensor="x", stream="quick")
            if round_ == 9:  # one of the three is batched: its piece must not come back
                await bench.feed(owner, owner.acked + 1, sensor="a")
                await bench.seal_one(owner, "a")
            await owner.drain()
        position, _ = await bench.log().position()
        assert owner.view.next - position.first <= 8
        carried = [e for e in await entries_of(bench) if e.kind == EntryKind.PARKED]
        assert any(e.used for e in carried)
        newcomer = await bench.attached()
        for sensor in "abc":
            key = Key("s", sensor)
            assert newcomer.view.pieces.of(key) == owner.view.pieces.of(key)
        assert not newcomer.view.pieces.has(Key("s", "a"))
        await ended(bench, newcomer)
        batches = [batch for batch in await sealed(bench) if batch[0] in "abc"]
        assert [(s, n) for s, *_, n in batches] == [("a", 2), ("b", 1), ("c", 1)]

    play(story)


def test_what_is_listed_again_stands_in_front_of_the_batches_that_hold_it(
    play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view, "CARRY_AFTER", 1)

    async def story(bench: Bench) -> None:
        owner = await bench.attached()
        await fed(bench, owner, "ab", 12)
        await owner.drain()
        await bench.feed(owner, owner.acked + 1, sensor="a")
        await bench.seal_one(owner, "a")
        await owner.drain()
        entries = await bench.log().entries(owner.view.next - 1)
        assert [entry.kind for entry in entries or ()] == ["parked", "batch"]
        newcomer = await bench.attached()
        assert newcomer.view.first == newcomer.view.next - 1
        assert [key.sensor for key in list(newcomer.view.pieces.keys())] == ["b"]
        await ended(bench, newcomer)
        assert await sealed(bench) == [("a", 0, 14, 2), ("b", 1, 1, 1)]

    play(story)


def test_many_small_objects_are_merged_and_pieces_of_a_key_joined(
    play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parker, "MERGE_OBJECTS", 3)
    monkeypatch.setattr(upkeep, "LOOK_NS", 0)

    async def story(bench: Bench) -> None:
        owner = await bench.attached()
        numbers: dict[str, list[int]] = {"a": [], "b": []}
        for _ in range(7):
            for sensor in "ab":
                numbers[sensor].append(owner.acked + 1)
                await bench.feed(owner, owner.acked + 1, sensor=sensor)
            await fed(bench, owner, "", 12)
            await owner.drain()
            assert len(owner.view.pieces.objects) <= 3
        assert len(owner.view.pieces.of(Key("s", "a"))) <= 3
        newcomer = await bench.attached()
        for sensor in "ab":
            key = Key("s", sensor)
            assert newcomer.view.pieces.of(key) == owner.view.pieces.of(key)
            assert sum(piece.events for piece in owner.view.pieces.of(key)) == 7
        await ended(bench, newcomer)
        assert [(s, a, b, n) for s, a, b, n in await sealed(bench)] == [
            (sensor, found[0], found[-1], 7) for sensor, found in numbers.items()
        ]

    play(story)


@pytest.mark.parametrize("suffix", [".chunks", ".index.arrow"])
def test_a_parked_object_that_is_gone_stops_the_owner_and_is_told_by_verify(
    play, suffix: str
) -> None:
    async def story(bench: Bench) -> None:
        owner = await bench.attached()
        await fed(bench, owner, "abc", 12)
        await owner.drain()
        (name,) = (name for name in await parked_objects(bench) if name.endswith(suffix))
        await bench.store.delete(name)
        report = await verify(bench.root)
        assert report.damaged.examples[0].endswith("is gone")
        assert report.missing.count == 3
        await owner.seal_all()
        with pytest.raises(CorruptObject, match="gone"):
            await (owner.drain() if suffix == ".chunks" else bench.attached())

    play(story)


def test_a_store_that_is_gone_as_a_whole_is_not_taken_for_a_corrupt_one(play) -> None:
    async def story(bench: Bench) -> None:
        owner = await bench.attached()
        await fed(bench, owner, "abc", 12)
        await owner.drain()
        await owner.seal_all()
        names_ = [name async for name in bench.root.names("")]
        for name in names_:
            await bench.root.delete(name)
        with pytest.raises(WrongStore):
            await owner.upkeep.commit_sealed()

    play(story)


def test_parked_content_that_is_not_what_its_index_says_is_damage(play) -> None:
    async def story(bench: Bench) -> None:
        owner = await bench.attached()
        await fed(bench, owner, "abc", 12)
        await owner.drain()
        (name,) = (name for name in await parked_objects(bench) if name.endswith(".chunks"))
        raw = await bench.store.get(name)
        assert raw is not None
        await bench.store.delete(name)
        await bench.store.create(name, [raw[: len(raw) // 2]])
        report = await verify(bench.root)
        assert report.damaged.count == 1
        await owner.seal_all()
        with pytest.raises(CorruptObject):
            await owner.drain()

    play(story)


def test_pieces_superseded_elsewhere_and_deleted_are_learned_of(play) -> None:
    async def story(bench: Bench) -> None:
        owner = await bench.attached()
        await fed(bench, owner, "abc", 12)
        await owner.drain()
        other = await bench.attached()
        await owner.seal_all()
        sealed_ = await bench.buffer().peek(2**30, 99)
        await owner.upkeep.commit_sealed()
        for name in await parked_objects(bench):
            await bench.store.delete(name)
        fronts = await other._committer._in_front(other.view, sealed_)
        assert fronts == {}
        assert other.view.next == owner.view.next

    play(story)


def test_a_replay_bound_of_one_event_parks_everything(play) -> None:
    async def story(bench: Bench) -> None:
        bench.replay_bound = dataclasses.replace(bench.replay_bound, events=1)
        owner = await bench.attached()
        for _ in range(4):
            await fed(bench, owner, "ab", 2)
            await owner.drain()
            assert owner.view.checkpoint == owner.acked
        await ended(bench, owner)

    play(story)


def test_an_owner_has_finished_once_what_is_parked_is_in_batches_too(play) -> None:
    """What a change of rules waits for."""

    async def story(bench: Bench) -> None:
        owner = await bench.attached()
        assert await owner.finished()
        await fed(bench, owner, "abc", 6)
        assert not await owner.finished()
        await fed(bench, owner, "", 2)
        await owner.drain()
        assert (owner.view.checkpoint, len(owner.view.pieces)) == (10, 3)
        assert not await owner.finished()
        await bench.client.flushall()
        owner = await bench.attached()
        await ended(bench, owner)
        assert await owner.finished()

    play(story)


def test_an_emptied_redis_cannot_feign_that_an_owner_has_finished(play) -> None:
    async def story(bench: Bench) -> None:
        owner = await bench.attached()
        await fed(bench, owner, "a", 2)  # the fast one's batch lies above the checkpoint
        await owner.drain()
        assert owner.view.checkpoint == -1
        await bench.client.flushall()
        owner = await bench.attached()
        await owner.seal_all()
        await owner.drain()
        assert not await owner.finished()  # 0 to 2 come again, and 1 and 2 are in a batch
        await fed(bench, owner, "a", 2)
        await ended(bench, owner)
        assert await owner.finished()

    play(story)


def test_a_batch_has_what_an_older_version_parked_with_what_this_one_appends(
    play, monkeypatch
) -> None:
    async def story(bench: Bench) -> None:
        owner = await bench.attached()
        monkeypatch.setattr(chunk, "STEPS_FROM", 2**32)  # all times as they are
        older = [bench.element(number, samples=100) for number in (0, 1)]
        await owner.append(older, 1, bench.clock.now)
        await fed(bench, owner, "", 12)
        await owner.drain()
        assert len(await parked_objects(bench)) == 2
        monkeypatch.undo()
        newer = bench.element(14, samples=100)
        assert len(newer.body) < len(older[0].body)
        await owner.append([newer], 14, bench.clock.now)
        await ended(bench, owner)
        (batch,) = [entry for entry in await entries_of(bench) if entry.samples == 300]
        assert batch.bytes == 300 * (8 + 8)
        table = open_bundle(await bench.store.get(batch.data or "") or b"")
        rows = table.slice(batch.rows[0], 300)
        times_ns = np.arange(100) + bench.clock.now
        assert rows["time"].cast("int64").to_pylist() == np.tile(times_ns, 3).tolist()
        assert rows["x"].to_pylist() == np.repeat([0.0, 1.0, 14.0], 100).tolist()

    play(story)
