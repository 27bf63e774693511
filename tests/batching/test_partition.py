"""One owner after another on one partition, with a real Valkey and a real folder."""

import pytest

from batching.adapters.redis_buffer import RedisBuffer
from batching.errors import Reattach
from batching.policy import SealPolicy
from batching.ports import OpenBuffer
from tests.batching.conftest import Bench, checked, sealed


def test_a_batch_is_sealed_when_it_has_enough_samples_and_then_committed(play) -> None:
    async def story(bench: Bench) -> None:
        bench.policy = SealPolicy(max_samples=6)
        owner = await bench.attached()
        await bench.feed(owner, *range(7))
        await owner.drain()
        assert await sealed(bench) == [("a", 0, 2, "max_samples"), ("a", 3, 5, "max_samples")]
        report = await checked(bench)
        assert (report.batched, report.samples, report.partitions["0"]["to"]) == (6, 12, 5)

    play(story)


def test_a_second_owner_goes_on_and_the_first_one_notices(play) -> None:
    async def story(bench: Bench) -> None:
        bench.policy = SealPolicy(max_samples=8)
        first, second = await bench.attached(), await bench.attached()
        await bench.feed(first, 0, 1)
        await bench.feed(second, 0, 1, 2)  # 0 and 1 are appended already: refused as BEHIND
        await bench.feed(second, 3)
        await bench.feed(first, 2, 3, 4)
        await first.drain()
        with pytest.raises(Reattach, match="manifest 0 was deleted"):
            await second.drain()
        assert await sealed(bench) == [("a", 0, 3, "max_samples")]
        await checked(bench)

    play(story)


def test_an_owner_that_is_behind_in_the_midst_of_a_slice_appends_the_rest(play) -> None:
    async def story(bench: Bench) -> None:
        bench.policy = SealPolicy(max_samples=8)
        first, second = await bench.attached(), await bench.attached()
        await bench.feed(first, 0, 1)
        slice_ = [bench.element(number) for number in range(5)]
        await second.append(slice_, 4, bench.clock.now)  # Redis has 0 and 1 already
        assert second.acked == 4
        await bench.feed(second, 5, 6, 7)
        await second.seal_all()
        await second.drain()
        assert (await checked(bench)).batched == 8

    play(story)


def test_what_another_owner_appends_in_the_midst_of_an_attach_is_known(
    play, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else w goes along with it, and as many items might be others, or as many buffers."""

    async def story(bench: Bench) -> None:
        bench.policy = SealPolicy(max_samples=4)
        first = await bench.attached()
        await bench.feed(first, 0, sensor="a")
        plain = RedisBuffer.opened

        async def opened(self: RedisBuffer) -> list[OpenBuffer]:
            monkeypatch.undo()
            found = await plain(self)
            await bench.feed(first, 1, sensor="a")  # full
            await bench.feed(first, 2, sensor="b")
            return found

        monkeypatch.setattr(RedisBuffer, "opened", opened)
        second = await bench.attached()
        assert second.acked == 2
        assert list(second.states.batches()) == list(first.states.batches())

    play(story)


def test_an_emptied_redis_is_a_gap_and_everything_is_read_again(play) -> None:
    async def story(bench: Bench) -> None:
        bench.policy = SealPolicy(max_samples=4)
        owner = await bench.attached()
        await bench.feed(owner, 0, 1, 2)
        await owner.drain()
        await bench.client.flushall()
        with pytest.raises(Reattach):
            await bench.feed(owner, 3)
        owner = await bench.attached()
        assert owner.acked == 1
        await bench.feed(owner, 2, 3)
        await owner.drain()
        assert [(a, b) for _, a, b, _ in await sealed(bench)] == [(0, 1), (2, 3)]
        await checked(bench)

    play(story)


def test_a_store_that_is_older_than_redis_makes_the_partition_start_anew(play) -> None:
    async def story(bench: Bench) -> None:
        bench.policy = SealPolicy(max_samples=2)
        owner = await bench.attached()
        await bench.feed(owner, 0, 1)
        await owner.drain()
        names = [name async for name in bench.store.names("")]
        for name in names:  # a back-up from before the first commit, with the same identity
            await bench.store.delete(name)
        owner = await bench.attached()
        assert owner.acked == -1
        assert bench.metrics.wiped._value.get() == 1
        await bench.feed(owner, 0, 1)
        await owner.drain()
        assert (await checked(bench)).batched == 2

    play(story)
