"""What became of single events, on a real Valkey and a folder that the product itself wrote."""

from collections.abc import Awaitable, Callable

import pytest

from batching.model import LostReason
from batching.parking.replay import ReplayBound
from batching.policy import SealPolicy
from batching.tracing.fate import EventTrace, Fate, trace_event
from tests.batching.conftest import SECOND, Bench

Story = Callable[[Bench], Awaitable[None]]


@pytest.fixture
def play(play: Callable[[Story], None]) -> Callable[[Story], None]:
    """Run a story on a bench of its own; streams are sealed by two events, or by age."""

    async def prepared(bench: Bench, story: Story) -> None:
        bench.replay_bound = ReplayBound(events=10)
        bench.policy = SealPolicy(max_age_ns=1_000 * SECOND)
        bench.policies["quick"] = SealPolicy(max_chunks=2)
        await story(bench)

    return lambda story: play(lambda bench: prepared(bench, story))


async def fates(bench: Bench, *numbers: int, last: int | None = None) -> list[EventTrace]:
    async def ask() -> int | None:
        return last

    return [await trace_event(bench.log(), number, ask) for number in numbers]


def test_an_event_is_in_a_batch_lost_parked_open_or_not_there_yet(play) -> None:
    async def story(bench: Bench) -> None:
        owner = await bench.attached()
        await bench.feed(owner, 0, sensor="slow")
        for number in range(1, 17):
            await bench.feed(owner, number, sensor="fast", stream="quick")
        assert await owner.lose(19, LostReason.RETENTION)
        await bench.feed(owner, 20, sensor="fast", stream="quick")
        await owner.upkeep.commit_sealed()
        await owner.upkeep.maintain(await bench.buffer().low())
        found = await fates(bench, 0, 1, 16, 17, 19, 20, 21, last=20)
        assert [each.fate for each in found] == [
            Fate.PARKED,
            Fate.BATCH,
            Fate.BATCH,
            Fate.LOST,
            Fate.LOST,
            Fate.OPEN,
            Fate.NOT_YET,
        ]
        (parked,) = found[0].parked
        assert (parked.key.sensor, parked.first, parked.last, parked.events) == ("slow", 0, 0, 1)
        assert parked.due_ns is not None
        (hit,) = found[1].batches
        assert (hit.entry.sensor, hit.entry.first, hit.entry.last) == ("fast", 1, 2)
        assert (await fates(bench, 21))[0].fate is Fate.OPEN  # where the hub does not answer
        await owner.seal_all()
        await owner.drain()
        assert [each.fate for each in await fates(bench, 0, 20)] == [Fate.BATCH, Fate.BATCH]

    play(story)
