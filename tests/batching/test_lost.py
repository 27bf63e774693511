"""The owner goes on behind numbers that the hub no longer has, and the log says so first."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from batching.errors import Reattach
from batching.model import EntryKind, LostReason, Position
from batching.partition import Partition
from batching.policy import SealPolicy
from batching.verify import verify
from tests.batching.conftest import Bench

Story = Callable[[Bench], Awaitable[None]]
GONE = LostReason.RETENTION


@pytest.fixture
def play(play: Callable[[Story], None]) -> Callable[[Story], None]:
    """Run a story on a bench of its own, with batches of four samples."""

    async def prepared(bench: Bench, story: Story) -> None:
        bench.policy = SealPolicy(max_samples=4)
        await story(bench)

    return lambda story: play(lambda bench: prepared(bench, story))


async def lost(bench: Bench) -> list[tuple[int, int, int]]:
    """Give manifest, first and last of every entry of kind lost."""
    found, n = [], 0
    while (entries := await bench.log().entries(n)) is not None:
        found += [(n, e.first, e.last) for e in entries if e.kind == EntryKind.LOST]
        n += 1
    return found


async def position(bench: Bench) -> Position:
    return (await bench.log().position())[0]


def test_the_log_says_what_is_lost_and_the_owner_goes_on_behind_it(play) -> None:
    async def story(bench: Bench) -> None:
        owner = await bench.attached()
        await bench.feed(owner, 0, 1, 2)
        assert await owner.lose(9, GONE)
        assert owner.acked == 9
        await bench.feed(owner, 10)
        await owner.drain()
        assert await lost(bench) == [(0, 3, 9)]
        report = await verify(bench.root, upto=10)
        assert (report.lost.count, report.missing.count) == (7, 0)
        view, _ = await bench.log().read()
        assert view.lost.events == 7

    play(story)


def test_a_batch_may_span_what_is_lost(play) -> None:
    async def story(bench: Bench) -> None:
        bench.policy = SealPolicy(max_samples=1_000)
        owner = await bench.attached()
        await bench.feed(owner, 0, 1)
        await owner.lose(4, GONE)
        await bench.feed(owner, 5, 6)
        await owner.seal_all()
        await owner.drain()
        entries = [e for n in (0, 1) for e in (await bench.log().entries(n) or ())]
        assert [(e.kind, e.first, e.last, e.events) for e in entries] == [
            ("lost", 2, 4, 3),
            ("batch", 0, 6, 4),
        ]
        report = await verify(bench.root)
        assert (report.wrong, report.lost.count, report.batched) == (False, 3, 4)

    play(story)


def test_what_the_log_says_already_is_not_said_again(play) -> None:
    async def story(bench: Bench) -> None:
        owner = await bench.attached()
        await bench.feed(owner, 0)
        await owner.lose(5, GONE)
        await bench.client.flushall()  # w is lost, and the hub has no more than before
        owner = await bench.attached()
        assert owner.acked == -1
        assert await owner.lose(5, GONE)  # number 0 went with Redis
        await bench.client.flushall()
        owner = await bench.attached()
        assert not await owner.lose(5, GONE)
        assert (owner.acked, await lost(bench)) == (5, [(0, 1, 5), (1, 0, 5)])

    play(story)


def test_a_redis_that_is_lost_just_then_is_not_passed_over(play) -> None:
    """W moves only from where it was: else number 0, in Redis alone, would be in no entry."""

    async def story(bench: Bench) -> None:
        owner = await bench.attached()
        await bench.feed(owner, 0)
        create = bench.root.create

        async def lose_redis_then_create(name: str, parts: list) -> bool:
            await bench.client.flushall()
            return await create(name, parts)

        bench.root.create = lose_redis_then_create  # type: ignore[method-assign]
        with pytest.raises(Reattach, match="it had 0"):
            await owner.lose(5, GONE)
        bench.root.create = create  # type: ignore[method-assign]
        owner = await bench.attached()
        assert owner.acked == -1
        await owner.lose(5, GONE)
        assert await lost(bench) == [(0, 1, 5), (1, 0, 5)]
        assert (await verify(bench.root)).lost.count == 6

    play(story)


def test_two_owners_that_find_the_same_end_with_one_line(play) -> None:
    async def story(bench: Bench) -> None:
        first, second = await bench.attached(), await bench.attached()
        declared = await asyncio.gather(first.lose(5, GONE), second.lose(5, GONE))
        assert sorted(declared) == [False, True]
        assert await lost(bench) == [(0, 0, 5)]
        assert first.acked == second.acked == 5

    play(story)


def test_a_lost_race_against_a_batch_is_planned_again(play) -> None:
    async def story(bench: Bench) -> None:
        owner: Partition = await bench.attached()
        other = await bench.attached()
        await bench.feed(other, 0, 1)
        await other.upkeep.commit_sealed()  # the first owner does not know manifest 0
        await owner.lose(5, GONE)  # it believes that nothing was appended yet
        assert await lost(bench) == [(1, 0, 5)]
        assert owner.acked == 1  # the other one is ahead: it looks again from there
        await owner.lose(5, GONE)
        assert owner.acked == 5
        await owner.drain()
        assert (await verify(bench.root)).lost.count == 4  # 0 and 1 are in a batch

    play(story)


def test_the_sum_stays_when_the_log_is_read_from_later_on(play) -> None:
    async def story(bench: Bench) -> None:
        owner = await bench.attached()
        await owner.lose(5, GONE)
        await bench.feed(owner, 6, 7)
        await owner.drain()
        assert await position(bench) == Position(7, 2, lost=6)
        await owner.lose(9, GONE)
        view, _ = await bench.log().read()
        assert (view.first, view.lost.events) == (2, 8)

    play(story)
