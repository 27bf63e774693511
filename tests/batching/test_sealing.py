"""Open batches are sealed by age, or by another owner, with a real Valkey and a clock to turn."""

import asyncio

from batching.model import SealReason
from batching.policy import SealPolicy
from tests.batching.conftest import SECOND, Bench, checked, sealed


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
