"""Owners under one governor, with a real Valkey and a real folder: full, paused, let go again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import hypothesis.strategies as st
import pytest
from hypothesis import given
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from batching.errors import Leaving, Reattach
from batching.limits import governor as module
from batching.limits.governor import Governor
from batching.limits.metrics import PressureMetrics
from batching.limits.pressure import Amount, Bounds
from batching.model import Element
from batching.names import Key
from batching.partition import Partition, halves
from batching.policy import SealPolicy
from batching.verify import Report, verify
from tests.batching.conftest import Bench, entries_of

Story = Callable[[Bench], Awaitable[None]]
SIZE = 60  # of one sample, encoded, and a little more
PATIENCE_SECONDS = 20


@pytest.fixture
def play(play: Callable[[Story], None]) -> Callable[[Story], None]:
    """Run a story on a bench of its own, which must come to its end."""

    async def bounded(bench: Bench, story: Story) -> None:
        async with asyncio.timeout(2 * PATIENCE_SECONDS):
            await story(bench)

    return lambda story: play(lambda bench: bounded(bench, story))


def bounded(bench: Bench, **bounds: int) -> PressureMetrics:
    metrics = PressureMetrics(CollectorRegistry())
    bench.governor = Governor(Bounds(**bounds), metrics)
    return metrics


@asynccontextmanager
async def at_work(owner: Partition, *, store: bool = True) -> AsyncIterator[None]:
    """Let an owner seal what it is asked to, and commit unless the store is out of order."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(owner.seal_pressed_forever())]
        if store:
            tasks.append(group.create_task(owner.commit_forever()))
        yield
        for task in tasks:
            task.cancel()


async def finished(bench: Bench) -> Report:
    """Let others seal and commit the rest: what the last one asked for may still be done."""
    for _ in range(5):
        owner = await bench.attached()
        await owner.seal_all()
        with suppress(Reattach):
            await owner.drain()
            break
    report = await verify(bench.root)
    assert not report.wrong
    return report


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not holds():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


def test_the_largest_are_sealed_when_bytes_are_short(play) -> None:
    async def story(bench: Bench) -> None:
        bounded(bench, open_bytes=1_000)
        owner = await bench.attached()
        async with at_work(owner):
            await owner.append([bench.element(0, "small", 1)], 0, bench.clock.now)
            await owner.append([bench.element(1, "large", 64)], 1, bench.clock.now)
            await owner.append([bench.element(2, "small", 20)], 2, bench.clock.now)
            await until(lambda: bench.governor.held().batches != 2)
            await until(lambda: bench.governor.held().batches == 1)
        assert [(e.sensor, e.reason) for e in await entries_of(bench)] == [("large", "pressure")]

    play(story)


def test_the_oldest_are_sealed_when_there_are_too_many_sensors(play) -> None:
    async def story(bench: Bench) -> None:
        bounded(bench, open_sensors=10)
        owner = await bench.attached()
        async with at_work(owner):
            for n in range(100):
                bench.clock.now += 1_000
                await owner.append([bench.element(n, f"s{n}")], n, bench.clock.now)
                assert len(await bench.client.keys("*:[bq]:*")) <= 10  # open or sealed
        found = await entries_of(bench)
        assert [e.first for e in found] == list(range(len(found)))
        assert len(found) > 85
        assert {e.reason for e in found} == {"pressure"}

    play(story)


def test_the_intake_waits_for_a_slow_store_and_then_goes_on(play) -> None:
    async def story(bench: Bench) -> None:
        metrics = bounded(bench, open_bytes=20 * SIZE)
        owner = await bench.attached()

        async def all_in() -> None:
            for n in range(80):
                await owner.append([bench.element(n, f"s{n % 7}", 1)], n, bench.clock.now)

        with capture_logs() as logs:
            async with at_work(owner, store=False):
                sending = asyncio.create_task(all_in())
                await until(lambda: metrics.pauses.labels("open_bytes")._value.get() == 1)
                paused = owner.acked
                assert bench.governor.held().size_bytes <= 20 * SIZE
                for _ in range(50):
                    await asyncio.sleep(0.01)
                assert owner.acked == paused < 79
            async with at_work(owner):
                await sending
        said = [each["event"] for each in logs if each["log_level"] == "warning"]
        assert sum("more comes than fits" in each for each in said) == 1
        assert metrics.paused_seconds.labels("open_bytes")._value.get() > 0
        report = await finished(bench)
        assert report.batched == 80

    play(story)


def test_the_intake_waits_while_more_is_sealed_than_may_wait(play) -> None:
    async def story(bench: Bench) -> None:
        metrics = bounded(bench, sealed_bytes=10 * SIZE)
        bench.policy = SealPolicy(max_samples=1)
        owner = await bench.attached()

        async def all_in() -> None:
            for n in range(80):
                await owner.append([bench.element(n, f"s{n % 7}", 1)], n, bench.clock.now)

        async with at_work(owner, store=False):
            sending = asyncio.create_task(all_in())
            await until(lambda: metrics.pauses.labels("sealed_bytes")._value.get() == 1)
            assert 10 * SIZE < bench.governor.sealed().size_bytes <= 12 * SIZE
            assert bench.governor.filling  # so a commit does not linger
            bench.governor.look()
            assert metrics.used.labels("sealed_bytes")._value.get() > 10 * SIZE
        async with at_work(owner):
            await sending
        assert {e.reason for e in await entries_of(bench)} == {"max_samples"}  # none early
        assert (await finished(bench)).batched == 80

    play(story)


def test_an_event_larger_than_the_bound_passes_alone(play) -> None:
    async def story(bench: Bench) -> None:
        bounded(bench, open_bytes=10 * SIZE)
        owner = await bench.attached()
        async with at_work(owner):
            await owner.append([bench.element(0, "a", 1)], 0, bench.clock.now)
            await owner.append([bench.element(1, "b", 500)], 1, bench.clock.now)
            await owner.append([bench.element(2, "c", 500)], 2, bench.clock.now)
            await until(lambda: bench.governor.held().batches <= 1)
        assert (await finished(bench)).batched == 3

    play(story)


def test_a_redis_without_memory_pauses_the_intake_until_commits_have_made_room(play) -> None:
    async def story(bench: Bench) -> None:
        metrics = bounded(bench)
        owner = await bench.attached()
        for n in range(40):
            await owner.append([bench.element(n, f"s{n % 9}", 2_000)], n, bench.clock.now)
        used = (await bench.client.info("memory"))["used_memory"]
        await bench.client.config_set("maxmemory", used - 200_000)
        async with at_work(owner):
            for n in range(40, 120):
                await owner.append([bench.element(n, f"s{n % 9}", 2_000)], n, bench.clock.now)
        assert metrics.pauses.labels("redis_full")._value.get() > 0
        assert bench.governor.bounds.open_bytes < Bounds().open_bytes
        report = await finished(bench)
        assert report.batched == 120
        assert "pressure" in {e.reason for e in await entries_of(bench)}

    play(story)


def test_a_call_too_large_for_what_redis_has_left_is_made_in_parts(play) -> None:
    async def story(bench: Bench) -> None:
        owner = await bench.attached()
        await bench.client.ping()
        used = (await bench.client.info("memory"))["used_memory"]
        await bench.client.config_set("maxmemory", used + 400_000)
        async with at_work(owner):
            slice_ = [bench.element(n, f"s{n}", 1_000) for n in range(60)]  # 16 kB each
            await owner.append(slice_, 59, bench.clock.now)
        assert owner.acked == 59
        assert (await finished(bench)).batched == 60

    play(story)


@given(numbers=st.lists(st.integers(0, 9)).map(sorted), beyond=st.integers(0, 2))
def test_halves_are_cut_between_events(numbers: list[int], beyond: int) -> None:
    elements = [Element(Key("s", "a"), n, 10 * n, 1, b"") for n in numbers]
    upto = max(numbers, default=0) + beyond
    parts = halves(elements, upto, 7)
    assert bool(parts) == (len(set(numbers)) > 1)
    if parts:
        (first, middle, at_ns), (second, last, last_ns) = parts
        assert [*first, *second] == elements
        assert first[-1].sequence_number == middle < second[0].sequence_number
        assert (last, at_ns, last_ns) == (upto, 10 * middle, 7)


@pytest.mark.parametrize("reason", ["a bundle is full", "half of what may wait is sealed"])
def test_a_commit_that_lingers_goes_on_as_soon_as(play, reason: str) -> None:
    async def story(bench: Bench) -> None:
        if reason == "a bundle is full":
            bench.bundle_bytes = 5 * SIZE
        else:
            bounded(bench, sealed_bytes=10 * SIZE)
        bench.policy, bench.linger_ns = SealPolicy(max_samples=1), 3_600 * 10**9
        owner = await bench.attached()
        async with at_work(owner):
            for n in range(4):
                await owner.append([bench.element(n, f"s{n}", 1)], n, bench.clock.now)
                await asyncio.sleep(0.05)  # it has begun to linger
            assert not await entries_of(bench)
            for n in range(4, 7):
                await owner.append([bench.element(n, f"s{n}", 1)], n, bench.clock.now)
            async with asyncio.timeout(PATIENCE_SECONDS):
                while len(await entries_of(bench)) < 7:  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.01)
        assert (await finished(bench)).batched == 7

    play(story)


def test_who_leaves_while_waiting_for_room_appends_nothing(play) -> None:
    async def story(bench: Bench) -> None:
        bounded(bench, open_bytes=5 * SIZE)
        owner = await bench.attached()
        await bench.feed(owner, *range(2))
        waiting = asyncio.create_task(owner.append([bench.element(9, "b", 50)], 9, bench.clock.now))
        await until(lambda: bench.governor.waiting)
        owner.leave()
        with pytest.raises(Leaving):
            await waiting
        assert owner.acked == 1
        assert not bench.governor.waiting
        owner.left()
        assert bench.governor.held() == Amount()

    play(story)


def test_a_bound_that_redis_had_lowered_comes_back_after_a_while(monkeypatch) -> None:
    monkeypatch.setattr(module, "FULL_SECONDS", 0.0)
    lowered = Governor()
    asyncio.run(lowered.full())
    assert lowered.bounds.open_bytes == 1
    monkeypatch.setattr(module, "CEILING_SECONDS", -1.0)
    assert lowered.bounds == Bounds()


def test_room_is_given_in_the_order_of_asking() -> None:
    async def story() -> None:
        governor, order = Governor(Bounds(in_flight_events=10)), []

        async def work(name: str, events: int, done: asyncio.Event) -> None:
            async with governor.handling(events, asyncio.Event()):
                order.append(name)
                await done.wait()

        done = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for name, events in (("first", 6), ("large", 10), ("small", 1)):
                group.create_task(work(name, events, done))
                await asyncio.sleep(0)
            assert order == ["first"]  # the small one would fit, but the large one was there before
            done.set()
        assert order == ["first", "large", "small"]

    asyncio.run(story())


def test_more_partitions_have_smaller_links() -> None:
    governor = Governor(Bounds(in_flight_events=1_000))
    assert governor.link_events == 1_000
    for n in range(4):
        governor.join(type("Member", (), {"partition": str(n)})())
    assert governor.link_events == 250


def test_pressure_is_said_to_be_over_once(monkeypatch) -> None:
    async def story() -> list[str]:
        governor = Governor(Bounds(in_flight_events=1))
        first = asyncio.Event()
        async with asyncio.TaskGroup() as group:

            async def hold(done: asyncio.Event) -> None:
                async with governor.handling(1, asyncio.Event()):
                    await done.wait()

            group.create_task(hold(first))
            await asyncio.sleep(0)
            second = group.create_task(hold(first))
            await until(
                lambda: governor._metrics.pauses.labels("in_flight_events")._value.get() == 1
            )
            first.set()
            await second
        monkeypatch.setattr(module, "QUIET_SECONDS", -1.0)
        for _ in range(3):
            governor.look()
        return []

    with capture_logs() as logs:
        asyncio.run(story())
    assert [each["log_level"] for each in logs] == ["warning", "info"]
