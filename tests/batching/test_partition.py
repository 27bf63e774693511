"""One owner after another on one partition, with a real Valkey and a real folder."""

import asyncio

import pytest

from batching.errors import CorruptBuffer, Reattach, WrongStore
from batching.model import SealReason
from batching.policy import SealPolicy
from batching.verify import Report, verify
from tests.batching.conftest import SECOND, Bench


async def checked(bench: Bench) -> Report:
    report = await verify(bench.root)
    assert not report.wrong, (report.missing, report.twice, report.damaged)
    return report


async def sealed(bench: Bench) -> list[tuple[str, int, int, str]]:
    """Give sensor, first, last and reason of every batch in the log."""
    view, n = [], 0
    while (entries := await bench.log().entries(n)) is not None:
        view += [(e.sensor, e.first, e.last, e.reason) for e in entries]
        n += 1
    return view


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


def test_age_seals_on_time_in_silence_once_the_hub_says_that_nothing_is_left(play) -> None:
    async def story(bench: Bench) -> None:
        bench.policy = SealPolicy(max_age_ns=60 * SECOND)
        owner = await bench.attached()
        await bench.feed(owner, 0, 1)
        sweeping = asyncio.create_task(owner.sweep_forever())
        bench.clock.now += 59 * SECOND
        await asyncio.sleep(0.1)
        assert len(owner.states) == 1
        bench.clock.now += 2 * SECOND
        bench.last_enqueued = 2  # something was enqueued that is not appended yet
        await asyncio.sleep(0.1)
        assert len(owner.states) == 1
        bench.last_enqueued = 1
        await asyncio.sleep(0.2)
        sweeping.cancel()
        assert len(owner.states) == 0
        await owner.drain()
        assert await sealed(bench) == [("a", 0, 1, "max_age")]

    play(story)


def test_a_hub_that_does_not_answer_cannot_hold_age_back_for_long(play) -> None:
    async def story(bench: Bench) -> None:
        bench.policy = SealPolicy(max_age_ns=60 * SECOND)
        owner = await bench.attached()
        await bench.feed(owner, 0)
        bench.last_enqueued = 99
        sweeping = asyncio.create_task(owner.sweep_forever())
        bench.clock.now += 75 * SECOND
        await asyncio.sleep(0.1)
        assert len(owner.states) == 1  # it answers: there is more to come
        bench.hub_answers = False
        await asyncio.sleep(0.1)
        assert len(owner.states) == 1
        bench.clock.now += 11 * SECOND
        await asyncio.sleep(0.1)
        sweeping.cancel()
        assert len(owner.states) == 0

    play(story)


def test_a_backlog_gives_the_batches_that_live_traffic_would_have_given(play) -> None:
    async def story(bench: Bench) -> None:
        bench.policy = SealPolicy(max_age_ns=60 * SECOND)
        owner = await bench.attached()
        begin = bench.clock.now
        elements = []
        for number in range(30):
            bench.clock.now = begin + number * 10 * SECOND
            elements.append(bench.element(number))
        bench.clock.now = begin + 3_600 * SECOND  # an hour later, all at once
        await owner.append(elements, 29, elements[-1].enqueued_ns)
        await owner.drain()
        firsts = [(first, last) for _, first, last, _ in await sealed(bench)]
        assert firsts == [(0, 6), (7, 13), (14, 20), (21, 27)]

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


def test_a_foreign_seal_makes_a_batch_smaller_and_nothing_else(play) -> None:
    async def story(bench: Bench) -> None:
        owner, other = await bench.attached(), await bench.attached()
        await bench.feed(owner, 0, 1)
        await other.seal_all()
        await bench.feed(owner, 2)
        await bench.feed(owner, 3)
        await owner.seal_all()
        await owner.drain()
        reasons = [(first, last, why) for _, first, last, why in await sealed(bench)]
        assert reasons == [(0, 1, "drain"), (2, 2, SealReason.RESYNC), (3, 3, "drain")]
        await checked(bench)

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
