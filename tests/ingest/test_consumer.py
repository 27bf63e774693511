"""A partition's link is opened while it is judged, and nothing comes through before."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from batching.errors import PositionLost, Reattach
from batching.limits.governor import Governor
from batching.limits.metrics import PressureMetrics
from ingest.classify import Classifier
from ingest.consumer import GIVE_WAY_EVENTS, Consumer, Parts
from ingest.hub_facts import PartitionFacts
from ingest.metrics import IngestMetrics
from ingest.settings.limits import Limits
from tests.ingest.decode.given import event, rules

BODY = b'{"t":[1],"x":[1],"y":[2]}'


class Owner:
    """Keeps numbers, and does nothing else."""

    def __init__(self) -> None:
        self.acked, self.appended = -1, list[int]()
        self.janitor = SimpleNamespace(tidy_forever=asyncio.Event().wait)
        self.sweep_forever = self.seal_pressed_forever = asyncio.Event().wait
        self._gone = asyncio.Event()

    async def attach(self) -> None: ...

    async def drain(self) -> None: ...

    async def commit_forever(self) -> None:
        await self._gone.wait()

    def leave(self) -> None:
        self._gone.set()

    def left(self) -> None: ...

    async def append(self, elements: Sequence[Any], upto: int, enqueued_ns: int) -> None:
        self.appended += [each.sequence_number for each in elements]
        self.acked = upto


@dataclass
class Hub:
    """Hands all its events over at once, wherever a link begins; `judge` says when it may."""

    judge: Callable[[Any], Awaitable[None]]
    skips: bool = False
    events: int = 3
    opened: list[int] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)  # links that were open when it was asked

    async def partition(self, _: str) -> PartitionFacts:
        return PartitionFacts(0, self.events - 1, empty=False)

    async def receive(self, _: str, after, handler, **__: Any) -> None:
        self.opened.append(after())
        events = [event(BODY)._replace(sequence_number=n) for n in range(self.events)]
        task = asyncio.create_task(handler(events))  # as the SDK, whose own ends a moment later
        try:
            await asyncio.wait({task})
            task.result()
            await asyncio.Event().wait()
        finally:
            for _ in range(20):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task})

    async def renew(self) -> None: ...

    async def same_hub(self) -> None:
        self.asked.append(len(self.opened))

    async def check(self, partition: str, acked: int) -> None: ...

    async def reconcile(self, _: str, owner: Any) -> None:
        await self.judge(owner)


def consumer(hub: Hub, owner: Owner) -> Consumer:
    registry = CollectorRegistry()
    classifier = Classifier([rules()], unmatched="dead_letter", iot_hub=False)
    governor = Governor(Limits().bounds(), PressureMetrics(registry))
    build: Any = lambda _: owner  # noqa: E731
    parts = Parts(hub, hub, classifier, IngestMetrics(registry), build, governor)
    return Consumer("0", parts)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110, what it waits for tells nobody
            await asyncio.sleep(0.001)


def test_events_that_come_before_the_judgement_wait_for_it() -> None:
    async def play() -> None:
        judged = asyncio.Event()
        hub, owner = Hub(lambda _: judged.wait()), Owner()  # type: ignore[arg-type, return-value]
        made = consumer(hub, owner)
        running = asyncio.create_task(made.run())
        await until(lambda: bool(hub.opened))
        for _ in range(50):
            await asyncio.sleep(0)
        assert (owner.appended, made.owner) == ([], None)
        judged.set()
        await until(lambda: owner.acked == 2)
        assert (owner.appended, hub.opened, hub.asked) == ([0, 1, 2], [-1], [1])
        made.stop()
        await running

    asyncio.run(play())


@pytest.mark.parametrize("found", [PositionLost("gone"), Reattach("again")])
def test_what_the_judgement_refuses_is_never_appended(found: Exception) -> None:
    async def play() -> None:
        tries = list[int]()
        hub, owner = Hub(lambda _: judge()), Owner()

        async def judge() -> None:
            await until(lambda: len(hub.opened) > len(tries))
            tries.append(1)
            if len(tries) == 2:
                made.stop()
                await asyncio.Event().wait()
            raise found

        made = consumer(hub, owner)
        if isinstance(found, Reattach):  # it begins anew, and is then asked to stop
            await made.run()
            assert len(tries) == 2
        else:
            with pytest.raises(ExceptionGroup) as caught:
                await made.run()
            assert set(caught.value.exceptions) == {found}
        assert (owner.appended, hub.asked) == ([], [])

    asyncio.run(play())


@pytest.mark.parametrize("skips", [False, True])
def test_what_a_judgement_passes_over_is_not_appended(skips) -> None:
    async def play() -> None:
        async def judge(owner: Owner) -> None:
            await until(lambda: skips or bool(hub.opened))
            for _ in range(50):
                await asyncio.sleep(0)
            owner.acked = 1  # as if two were lost

        hub, owner = Hub(judge, skips), Owner()
        made = consumer(hub, owner)
        running = asyncio.create_task(made.run())
        await until(lambda: owner.acked == 2)
        assert (owner.appended, hub.opened, hub.asked) == ([2], [1 if skips else -1], [1])
        made.stop()
        await running

    asyncio.run(play())


def test_others_go_on_while_many_events_are_decoded() -> None:
    async def judge(_: Any) -> None: ...

    async def play() -> None:
        hub, owner = Hub(judge, events=1_000), Owner()
        appended, turns, at = owner.append, 0, list[int]()

        async def append(*args: Any) -> None:
            at.append(turns)
            await appended(*args)

        owner.append = append  # type: ignore[method-assign]
        made = consumer(hub, owner)
        running = asyncio.create_task(made.run())
        while not hub.asked:  # noqa: ASYNC110, the last thing before the first event is decoded
            await asyncio.sleep(0)
        while not at:
            turns += 1
            await asyncio.sleep(0)
        assert len(owner.appended) == 1_000
        assert at[0] >= 1_000 // GIVE_WAY_EVENTS
        made.stop()
        await running

    asyncio.run(play())
