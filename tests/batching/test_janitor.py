"""The janitor on a real folder: what may go goes, what anybody needs stays, verify is content."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from batching import names, upkeep
from batching.adapters.embedded_valkey import EmbeddedValkey
from batching.janitor import Janitor
from batching.model import RunPosition, RunRecord, Trimmed, dump
from batching.parking.replay import ReplayBound
from batching.partition import Partition
from batching.policy import SealPolicy
from batching.retention import DAY_NS, Retention
from batching.runs.retired import retire
from batching.verify import verify
from tests.batching.conftest import SECOND, Bench, checked, make_bench

Story = Callable[[Bench], Awaitable[None]]
HOUR = 3_600 * SECOND
SHORT = Retention(bundles_ns=10 * DAY_NS, dead_letters_ns=5 * DAY_NS)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = EmbeddedValkey(tmp_path_factory.mktemp("valkey"))
    yield asyncio.run(server.start())
    asyncio.run(server.stop())


@pytest.fixture
def play(tmp_path: Path, server: str) -> Callable[[Story], None]:
    async def run(story: Story) -> None:
        async with asynccontextmanager(make_bench)(tmp_path / "blobs", server) as bench:
            bench.policy = SealPolicy(max_chunks=2)
            await bench.client.flushall()
            await story(bench)

    return lambda story: asyncio.run(run(story))


def janitor(bench: Bench, retention: Retention = SHORT) -> Janitor:
    return Janitor(bench.log(), bench.clock, bench.metrics, retention)


async def lying(bench: Bench, folder: str) -> list[int]:
    """Give the numbers of what lies under a folder, each once."""
    found = [int(n.rpartition("/")[2][:12]) async for n in bench.store.names(f"{folder}/")]
    return sorted(set(found))


async def days(bench: Bench, count: int, *, owner: Partition | None = None) -> Partition:
    """A manifest a day, with a batch of two events."""
    owner = owner or await bench.attached()
    for _ in range(count):
        await bench.feed(owner, owner.acked + 1)
        await bench.feed(owner, owner.acked + 1)
        await owner.drain()
        bench.clock.now += DAY_NS
    return owner


async def job(bench: Bench, name: str, *handed: int, settled: int) -> None:
    """Write records of a job, each up to a manifest, those below `settled` ended."""
    start = 0
    for n, to in enumerate(handed):
        span = ({"0": start}, {"0": to}, (), ("s",))
        record = RunRecord(name, n, "F", bench.identity.id, bench.identity.hub_id, 0, *span)
        await bench.store.create(names.run(name, n), [dump(record)])
        start = to
    await bench.store.replace(names.run_position(name), dump(RunPosition(settled)), None)


async def said(bench: Bench) -> Trimmed:
    return (await bench.log().trimmed())[0]


def deleted(bench: Bench, kind: str) -> float:
    return bench.metrics.deleted.labels(kind)._value.get()


def test_a_run_that_was_asked_for_again_keeps_its_bundles_until_it_has_ended(play) -> None:
    async def story(bench: Bench) -> None:
        await days(bench, 30)
        await job(bench, "a", 0, 10, 20, settled=3)
        position = names.run_position("a")
        _, version = await bench.store.get_versioned(position)
        asked = dump(RunPosition(3, {"2": 2}))
        await bench.store.replace(position, asked, version)
        await janitor(bench).tidy()
        assert await lying(bench, "log") == await lying(bench, "data") == list(range(10, 30))
        _, version = await bench.store.get_versioned(position)
        await bench.store.replace(position, dump(RunPosition(3)), version)
        await janitor(bench).tidy()
        assert await lying(bench, "log") == await lying(bench, "data") == list(range(20, 30))

    play(story)


def test_everything_is_kept_unless_it_is_told_otherwise(play) -> None:
    async def story(bench: Bench) -> None:
        await days(bench, 4)
        bench.clock.now += 10_000 * DAY_NS
        await janitor(bench, Retention()).tidy()
        assert await lying(bench, "log") == await lying(bench, "data") == [0, 1, 2, 3]
        assert (await said(bench)).below == 0

    play(story)


def test_bundles_go_with_their_manifests_when_they_are_old(play) -> None:
    async def story(bench: Bench) -> None:
        owner = await days(bench, 14)
        await janitor(bench).tidy()
        kept = list(range(5, 14))
        assert await lying(bench, "log") == await lying(bench, "data") == kept
        assert (deleted(bench, "manifests"), deleted(bench, "bundles")) == (5, 5)
        found = await said(bench)
        assert (found.below, found.upto) == (5, 9)
        report = await checked(bench)
        assert (report.partitions["0"]["from"], report.batched) == (10, 18)
        newcomer = await days(bench, 1)
        assert newcomer.view.next == owner.view.next + 1
        await checked(bench)

    play(story)


def test_a_job_holds_what_it_was_not_handed_or_what_still_runs(play) -> None:
    async def story(bench: Bench) -> None:
        await days(bench, 20)
        await job(bench, "slow", 2, 8, settled=1)  # the second record still runs
        await job(bench, "quick", 20, settled=1)
        await janitor(bench).tidy()
        assert (await lying(bench, "log"))[0] == 2

    play(story)


def test_a_job_that_is_retired_holds_nothing(play) -> None:
    async def story(bench: Bench) -> None:
        await days(bench, 20)
        await job(bench, "gone", 2, settled=1)
        await job(bench, "quick", 20, settled=1)
        await janitor(bench).tidy()
        assert (await lying(bench, "log"))[0] == 2
        await retire(bench.store, "gone", bench.clock)
        await janitor(bench).tidy()
        assert (await lying(bench, "log"))[0] > 2
        report = await verify(bench.root)
        assert (report.retired_jobs, report.pending_batches) == (["gone"], 0)

    play(story)


def test_a_job_that_begins_while_the_janitor_says_what_it_trims_keeps_its_manifests(play) -> None:
    async def story(bench: Bench) -> None:
        await days(bench, 20)
        tidying = janitor(bench)
        looks = []

        async def held() -> list[int]:
            looks.append(await said(bench))
            if len(looks) == 2:
                await job(bench, "new", 0, settled=1)
            return await Janitor._held(tidying)

        tidying._held = held
        await tidying.tidy()
        assert [each.below for each in looks] == [0, 11]  # said before jobs are looked at again
        assert (await lying(bench, "log"))[0] == (await lying(bench, "data"))[0] == 0
        await checked(bench)

    play(story)


def test_another_janitor_that_was_faster_is_left_alone(play) -> None:
    async def story(bench: Bench) -> None:
        await days(bench, 20)
        first, second = janitor(bench), janitor(bench)
        wanted, version = await first._log.trimmed()
        await second.tidy()
        assert await first._say(wanted, version) is None
        assert (await said(bench)).below == 11

    play(story)


def test_a_janitor_that_died_in_the_middle_is_gone_on_with(play) -> None:
    async def story(bench: Bench) -> None:
        await days(bench, 20)
        await janitor(bench)._say(Trimmed(below=7, upto=13), None)
        assert (await checked(bench)).partitions["0"]["from"] == 14  # nothing is deleted yet
        await bench.store.delete(names.manifest(bench.identity.hub_id, "0", 3))
        await checked(bench)
        await janitor(bench).tidy()
        assert (await lying(bench, "log"))[0] == (await lying(bench, "data"))[0] == 11
        await checked(bench)

    play(story)


def test_dead_letters_go_after_their_own_time_and_stay_counted(play) -> None:
    async def story(bench: Bench) -> None:
        owner = await bench.attached()
        await owner.append([bench.dead_letter(0)], 0, bench.clock.now)
        await owner.seal_all()
        await days(bench, 3, owner=owner)
        bench.clock.now += 3 * DAY_NS
        await owner.append([bench.dead_letter(7)], 7, bench.clock.now)
        await owner.seal_all()
        await owner.drain()
        tidying = janitor(bench, Retention(dead_letters_ns=4 * DAY_NS))
        await tidying.tidy()
        assert deleted(bench, "dead_letters") == 1
        assert await lying(bench, "data/_dead") == [3]
        assert await lying(bench, "data/s") == [0, 1, 2]
        report = await checked(bench)
        assert (report.dead_letters, report.batched, report.missing.count) == (2, 6, 0)

    play(story)


def test_parked_objects_go_an_hour_after_their_events_are_in_batches(
    play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "FIRST_STEP", 1)

    async def story(bench: Bench) -> None:
        bench.policy = SealPolicy(max_age_ns=1_000 * DAY_NS)
        bench.replay_bound = ReplayBound(events=1)
        owner = await bench.attached()
        for sensor in "abcd":
            await bench.feed(owner, owner.acked + 1, sensor=sensor)
            await owner.drain()
        parked = await lying(bench, "parked")
        assert len(parked) > 1
        tidying = janitor(bench)
        for _ in range(3):
            await tidying.tidy()
            bench.clock.now += HOUR
        assert await lying(bench, "parked") == parked
        await owner.seal_all()
        await owner.drain()
        assert owner.view.first == owner.view.next
        await tidying.tidy()
        assert await lying(bench, "parked") == parked  # who reads it just now goes on
        bench.clock.now += HOUR
        await tidying.tidy()
        assert await lying(bench, "parked") == []
        assert deleted(bench, "parked") == 2 * len(parked)
        await bench.attached()
        await checked(bench)

    play(story)


def test_parked_objects_that_no_manifest_named_go_once_their_number_is_taken(play) -> None:
    async def story(bench: Bench) -> None:
        await days(bench, 3)
        hub = bench.identity.hub_id
        late, coming = (names.parked(hub, "0", n, "nonce") for n in (1, 3))
        for name in (late, names.parked_index(late), coming):
            await bench.store.create(name, [b"x"])
        tidying = janitor(bench)
        for _ in range(2):
            await tidying.tidy()
            bench.clock.now += HOUR
        assert [name async for name in bench.store.names("parked/")] == [coming]

    play(story)


def test_bundles_that_no_manifest_names_go_after_a_day(play) -> None:
    async def story(bench: Bench) -> None:
        await days(bench, 3)
        orphans = [names.data("s", bench.identity.hub_id, "0", n, "lost") for n in (0, 2, 3)]
        for name in orphans:
            await bench.store.create(name, [b"x"])
        tidying = janitor(bench)
        bench.clock.now -= SECOND  # manifest 2 is not a day old yet
        await tidying.tidy()
        assert await bench.store.get(orphans[0]) is None
        assert await bench.store.get(orphans[1]) is not None
        assert (await said(bench)).judged == 2
        bench.clock.now += SECOND
        await tidying.tidy()
        assert await bench.store.get(orphans[1]) is None
        assert await bench.store.get(orphans[2]) is not None  # manifest 3 may come
        assert await lying(bench, "data") == [0, 1, 2, 3]
        assert deleted(bench, "orphans") == 2
        await checked(bench)

    play(story)
