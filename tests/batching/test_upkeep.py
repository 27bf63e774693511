"""Commits and the checkpoint, with two owners, lost manifests and replaced stores."""

import asyncio

import pytest

from batching import names, tenure
from batching.adapters.redis_buffer import RedisBuffer, prefix
from batching.errors import BufferUnavailable, CorruptBuffer, Reattach, WrongStore
from batching.limits.making import MAKING_BYTES, PEEK_BYTES
from batching.policy import SealPolicy
from batching.ports import OpenBuffer, SealedBuffer
from tests.batching.conftest import Bench, checked, sealed


def test_a_loser_of_the_race_for_a_manifest_drops_what_the_winner_covers(play) -> None:
    async def story(bench: Bench) -> None:
        bench.policy = SealPolicy(max_samples=4)
        first, second = await bench.attached(), await bench.attached()
        await bench.feed(first, 0, 1)
        await second.upkeep.commit_sealed()
        await bench.feed(first, 2, 3)
        await first.upkeep.commit_sealed()
        await first.drain()
        assert [(a, b) for _, a, b, _ in await sealed(bench)] == [(0, 1), (2, 3)]
        await checked(bench)

    play(story)


@pytest.mark.parametrize("learned", [True, False])
def test_what_was_committed_and_not_acknowledged_is_in_no_second_batch(
    play, *, learned: bool
) -> None:
    """Its owner died in between; who goes on knows of the manifest, or learns of it."""

    async def story(bench: Bench) -> None:
        bench.policy = SealPolicy(max_samples=4)
        dies, other = await bench.attached(), await bench.attached()
        await bench.feed(dies, 0, 1)
        await dies._committer._make_durable(dies.view, lambda: PEEK_BYTES, None)
        goes_on = await bench.attached() if learned else other
        await goes_on.upkeep.commit_sealed()
        assert [(a, b) for _, a, b, _ in await sealed(bench)] == [(0, 1)]
        assert not (await bench.buffer().low()).sealed
        await checked(bench)

    play(story)


def test_a_redis_that_went_back_is_noticed_also_where_nothing_is_appended(play) -> None:
    """Else the owner goes on receiving behind what Redis has lost until the next event comes."""

    async def story(bench: Bench) -> None:
        owner = await bench.attached()
        await bench.feed(owner, 0, 1)
        await bench.client.flushall()
        with pytest.raises(Reattach, match="up to -1 only, it had 1"):
            await owner.drain()
        assert await bench.store.get_versioned(names.position(bench.identity.hub_id, "0")) is None
        assert (await bench.attached()).acked == -1

    play(story)


def test_a_buffer_that_came_back_open_is_known_again_where_nothing_is_appended(play) -> None:
    """Redis went back to before a seal: else nobody would seal it when it is due."""

    async def story(bench: Bench) -> None:
        owner = await bench.attached()
        await bench.feed(owner, 0, 1)
        believed = list(owner.states.batches())
        owner.states.drop([key for key, _ in believed])
        await owner.drain()
        assert list(owner.states.batches()) == believed
        assert owner.states.next_due_ns() == believed[0][1].due_ns

    play(story)


def test_open_buffers_are_taken_in_page_by_page(play, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(bench: Bench) -> None:
        first = await bench.attached()
        for number in range(5):
            await bench.feed(first, number, sensor=f"s{number}")
        monkeypatch.setattr(tenure, "PAGE", 2)
        second = await bench.attached()
        assert sorted(second.states.batches()) == sorted(first.states.batches())
        assert second.states.open_bytes() == first.states.open_bytes()

    play(story)


def test_a_name_without_a_list_does_not_make_the_owner_read_again_and_again(
    play, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(bench: Bench) -> None:
        owner, reads = await bench.attached(), []
        plain = RedisBuffer.opened

        async def opened(self: RedisBuffer) -> list[OpenBuffer]:
            reads.append(self)
            return await plain(self)

        monkeypatch.setattr(RedisBuffer, "opened", opened)
        await bench.feed(owner, 0)
        await bench.client.zadd(f"{prefix(bench.identity.id, '0')}open", {"s/gone": 9})
        for _ in range(3):
            await owner.drain()
        assert len(reads) == 1
        await bench.feed(owner, 1, sensor="b")
        await owner.drain()
        assert (len(reads), len(owner.states)) == (1, 2)

    play(story)


def test_an_owner_that_loses_the_position_attaches_again(play) -> None:
    async def story(bench: Bench) -> None:
        first, second = await bench.attached(), await bench.attached()
        await first.append([], 3, bench.clock.now)
        await first.drain()
        with pytest.raises(Reattach, match="moved the checkpoint"):
            await second.drain()

    play(story)


def test_the_position_moves_only_over_manifests_that_its_owner_has_read(play) -> None:
    async def story(bench: Bench) -> None:
        bench.policy = SealPolicy(max_samples=4)
        first, second = await bench.attached(), await bench.attached()
        backup = {name: await bench.store.get(name) async for name in bench.store.names("")}
        await bench.feed(first, 0, 1)
        # Redis relies on manifest 0, which the second owner does not know
        await first.upkeep.commit_sealed()
        await second.upkeep.maintain(await bench.buffer().low())
        assert (second.view.checkpoint, second.view.next) == (1, 1)
        await bench.client.flushall()
        second._tenure.acked = -1
        await bench.feed(second, 0, 1)  # durable, so left out, on the word of manifest 0
        assert await bench.buffer().acknowledged() == 0
        for name in [name async for name in bench.store.names("")]:
            if name not in backup:
                await bench.store.delete(name)
        owner = await bench.attached()
        assert owner.acked == -1  # the store is older: everything is read again
        await bench.feed(owner, 0, 1)
        await owner.drain()
        assert (await checked(bench)).batched == 2

    play(story)


def test_redis_that_relies_on_a_manifest_that_is_not_there_is_looked_at_anew(play) -> None:
    async def story(bench: Bench) -> None:
        owner = await bench.attached()
        await bench.feed(owner, 0)
        await bench.buffer().attach(-1, 3)
        with pytest.raises(Reattach, match="relies on manifest 3"):
            await owner.upkeep.maintain(await bench.buffer().low())
        assert (await bench.attached()).acked == -1

    play(story)


def test_a_store_that_was_replaced_stops_the_owner(play) -> None:
    async def story(bench: Bench) -> None:
        owner = await bench.attached()
        await bench.feed(owner, 0)
        await bench.root.delete("headrace.json")
        with pytest.raises(WrongStore, match="replaced"):
            await owner.drain()

    play(story)


def test_a_chunk_of_an_unknown_version_wipes_the_partition(play) -> None:
    async def story(bench: Bench) -> None:
        owner = await bench.attached()
        broken = bench.element(0)._replace(body=b"\x08\x00\x00\x00\x63rest....")
        await owner.append([broken], 0, bench.clock.now)
        await owner.seal_all()
        with pytest.raises(CorruptBuffer):
            await owner.upkeep.commit_sealed()
        await owner.wipe()
        assert (await bench.attached()).acked == -1

    play(story)


def test_samples_of_a_stream_whose_channels_changed_become_dead_letters(play) -> None:
    async def story(bench: Bench) -> None:
        owner = await bench.attached()
        gone = bench.element(0)._replace(key=bench.element(0).key._replace(stream="gone"))
        await owner.append([gone], 0, bench.clock.now)
        await owner.seal_all()
        await owner.drain()
        report = await checked(bench)
        assert (report.dead_letters, report.batched) == (1, 0)

    play(story)


def test_a_drain_up_to_a_number_leaves_alone_what_another_process_appended(play) -> None:
    """One that finishes what old rules gathered must not write what came by the new ones."""

    async def story(bench: Bench) -> None:
        old = await bench.attached()
        await bench.feed(old, 0, 1)
        upto = old.acked
        new = await bench.attached()
        await bench.feed(new, 2)  # into the same buffer
        await old.seal_all()
        with pytest.raises(Reattach, match="another process appends, beyond number 1"):
            await old.drain(upto=upto)
        assert await sealed(bench) == []
        await new.drain()
        await new.drain(upto=2)
        assert await sealed(bench) == [("a", 0, 2, "drain")]
        await checked(bench)

    play(story)


def test_who_gets_no_answer_from_redis_leaves_the_room_to_other_commits(play, monkeypatch) -> None:
    """Their Redis may be well: partitions lie in different slots of a cluster."""

    async def story(bench: Bench) -> None:
        bench.policy = SealPolicy(max_samples=2)
        owner = await bench.attached()
        await bench.feed(owner, 0)
        peek, asked, well = RedisBuffer.peek, asyncio.Event(), asyncio.Event()

        async def silent(self: RedisBuffer, *bounds: int) -> list[SealedBuffer]:
            asked.set()
            if not well.is_set():
                raise BufferUnavailable("no answer")
            return await peek(self, *bounds)

        monkeypatch.setattr(RedisBuffer, "peek", silent)
        committing = asyncio.create_task(owner.upkeep.commit_sealed())
        await asked.wait()
        room, rest = bench.governor.making.room, MAKING_BYTES - PEEK_BYTES
        async with asyncio.timeout(20), room(lambda: PEEK_BYTES), room(lambda: rest):
            assert not committing.done()  # nobody else could be beside both
        well.set()
        await committing
        assert [(a, b) for _, a, b, _ in await sealed(bench)] == [(0, 0)]
        await checked(bench)

    play(story)
