"""The SDK's pauses while an answer is waited for: short at first, its own in the end."""

import asyncio
from collections.abc import Callable, Sequence
from contextvars import Context
from typing import TypeVarTuple, Unpack

from azure.eventhub import EventData
from azure.eventhub.aio import EventHubProducerClient

from ingest.event import Event
from ingest.hub import HubServer, HubSettings
from ingest.hub_facts import HubAddress
from ingest.hurry import PAUSE_SECONDS, Hurry, Loop
from ingest.source import Handler, Source

Ts = TypeVarTuple("Ts")
FLOOD = 8_000


class Clock(Loop):
    """Time is what it is told; it keeps which of the SDK's pauses came shorter."""

    def __init__(self) -> None:
        super().__init__()
        self.now: float | None = None
        self.shortened: list[float] = []

    def time(self) -> float:
        return super().time() if self.now is None else self.now

    def call_later(
        self,
        delay: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        handle = super().call_later(delay, callback, *args, context=context)
        if delay == PAUSE_SECONDS and (pause := handle.when() - self.time()) < delay / 2:
            self.shortened.append(pause)
        return handle


def pause(loop: Loop, delay: float = PAUSE_SECONDS) -> float:
    """Give how long the loop makes a pause."""
    handle = loop.call_later(delay, lambda: None)
    handle.cancel()
    return round(handle.when() - loop.time(), 6)


async def received(source: Source, handler: Handler, enough: asyncio.Event) -> None:
    """Receive until there is enough, and close the source."""
    task = asyncio.create_task(source.receive("0", lambda: -1, handler))
    async with asyncio.timeout(30):
        await enough.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await source.close()


def test_pauses_begin_short_and_end_as_the_sdk_makes_them() -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Clock)
        loop.now = loop.time()
        found = [pause(loop)]
        with Hurry():
            for later in (0.0, 0.4, 1.6, 60.0):
                loop.now += later
                found.append(pause(loop))
            assert pause(loop, 1.0) == 1.0, "what is no pause of the SDK's is as it was"
        assert found == [0.05, 0.001, 0.01, 0.05, 0.05]
        assert pause(loop) == PAUSE_SECONDS
        loop.now = None

    with asyncio.Runner(loop_factory=Clock) as runner:
        runner.run(story())


def test_what_began_in_a_hurry_goes_on_in_it_until_that_is_over() -> None:
    async def story() -> None:
        loop, go_on, found = asyncio.get_running_loop(), asyncio.Event(), []
        assert isinstance(loop, Clock)
        loop.now = loop.time()

        async def begun() -> None:
            found.append(pause(loop))
            await go_on.wait()
            found.append(pause(loop))

        with Hurry() as hurry:
            task = asyncio.create_task(begun())
        await asyncio.sleep(0)
        hurry.over()
        go_on.set()
        await task
        assert found == [0.001, 0.05]
        loop.now = None

    with asyncio.Runner(loop_factory=Clock) as runner:
        runner.run(story())


def test_while_much_comes_there_are_no_pauses() -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Clock)
        loop.now = loop.time()
        with Hurry() as hurry:
            hurry.over()
            found = [pause(loop)]
            hurry.flows()
            for later in (0.0, 0.04, 0.02):
                loop.now += later
                found.append(pause(loop))
        assert found == [0.05, 0.001, 0.001, 0.05]
        loop.now = None

    with asyncio.Runner(loop_factory=Clock) as runner:
        runner.run(story())


def test_the_sdk_makes_no_pauses_on_a_link_as_long_as_it_is_full() -> None:
    """Else a link brings at most what it may fetch ahead in each pause, whatever the machine."""

    async def story() -> tuple[int, int]:
        loop, last = asyncio.get_running_loop(), asyncio.Event()
        assert isinstance(loop, Clock)
        shortened: list[int] = []  # so far, at each list of events

        async def handler(events: Sequence[Event]) -> None:
            shortened.append(len(loop.shortened))
            if events[-1].sequence_number + 1 == FLOOD:
                last.set()

        async with HubServer([HubSettings("telemetry", 1)], port=0) as server:
            address = server.connection_string("telemetry")
            async with EventHubProducerClient.from_connection_string(address) as client:
                for _ in range(FLOOD // 1_000):
                    await client.send_batch([EventData("one")] * 1_000, partition_id="0")
            source = Source(HubAddress("telemetry", "$Default", address), prefetch=400, batch=400)
            await received(source, handler, last)
        return shortened[-1] - shortened[0], len(shortened)

    with asyncio.Runner(loop_factory=Clock) as runner:
        shortened, lists = runner.run(story())
    assert shortened >= lists / 2


def test_the_sdk_makes_such_pauses_for_an_answer_and_for_a_link() -> None:
    """Where this fails with a new release of the SDK, start-up takes seconds again."""

    async def story() -> tuple[int, int]:
        loop, came = asyncio.get_running_loop(), asyncio.Event()
        assert isinstance(loop, Clock)

        async def handler(_: Sequence[Event]) -> None:
            came.set()

        async with HubServer([HubSettings("telemetry", 1)], port=0) as server:
            address = server.connection_string("telemetry")
            async with EventHubProducerClient.from_connection_string(address) as client:
                await client.send_batch([EventData("one")], partition_id="0")
            assert not loop.shortened, "nobody has asked for a hurry"
            source = Source(HubAddress("telemetry", "$Default", address))
            await source.facts()
            answer = len(loop.shortened)
            await received(source, handler, came)
        return answer, len(loop.shortened) - answer

    with asyncio.Runner(loop_factory=Clock) as runner:
        for_an_answer, for_a_link = runner.run(story())
    assert for_an_answer >= 4
    assert for_a_link >= 4
